"""`cluscomp build-index`: texts or vectors in, an index folder out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluscomp import errors
from cluscomp.cli import common, filters, output
from cluscomp.cli.build_files import BuildFiles, Maker
from cluscomp.cli.common import flag
from cluscomp.cli.failures import INFEASIBLE, exits_by_contract
from cluscomp.cli.progress import StageProgress
from cluscomp.vocabulary import EmptyDocuments, EncoderKind, IfExists, MetricName

if TYPE_CHECKING:
    from cluscomp.indexes.build import BuildReport
    from cluscomp.indexes.build.plan import BuildPlan
    from cluscomp.indexes.keys.specs import IndexSpec


INPUT, INDEX = "Input", "Index"
WORDS_KEY = "Sparse(bm25,bits=8)"
"""What --hybrid puts behind the key."""


@exits_by_contract
def build_index(
    ctx: typer.Context,
    corpus: Annotated[
        Path | None,
        flag(
            "--corpus",
            help="Texts: a BEIR folder, a hub id (BeIR/scifact), or a .jsonl, .tsv, .txt or .parquet file.",
            panel=INPUT,
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        flag(
            "--encoder",
            help="Model for --corpus, or that made --embeddings: 'minilm', hub name or folder.",
            panel=INPUT,
        ),
    ] = None,
    encoder_kind: Annotated[
        EncoderKind | None,
        flag("--encoder-kind", help="What the model gives for a text. (default: dense)", panel=INPUT),
    ] = None,
    bf16: Annotated[
        bool,
        flag(
            "--bf16/--no-bf16",
            help="Encode in bfloat16, sooner where the processor has it; queries then too.",
            env=False,
            panel=INPUT,
        ),
    ] = False,
    embeddings: Annotated[
        Path | None,
        flag(
            "--embeddings",
            help="Vectors instead of texts: .npy, .npz, .fvecs, .fbin, .parquet. With --hybrid, beside "
            "--corpus or --terms.",
            panel=INPUT,
        ),
    ] = None,
    ids: Annotated[
        Path | None, flag("--ids", help="Text file with one id a line for --embeddings.", panel=INPUT)
    ] = None,
    lengths: Annotated[
        Path | None,
        flag(
            "--lengths",
            help="For keys with a pool: .npy with the number of token vectors of each document.",
            panel=INPUT,
        ),
    ] = None,
    terms: Annotated[
        Path | None,
        flag(
            "--terms",
            help="With --hybrid, weighted terms of the same rows: .jsonl, or .npz of a sparse matrix.",
            panel=INPUT,
        ),
    ] = None,
    columns: Annotated[
        str | None,
        flag(
            "--columns",
            help="Fields with other than usual names: id=key,text=body,title=head,vectors=emb.",
            panel=INPUT,
            metavar="ROLE=NAME,...",
        ),
    ] = None,
    empty_documents: Annotated[
        EmptyDocuments, flag("--empty-documents", help="What to do with documents without text.", panel=INPUT)
    ] = "fail",
    cache: Annotated[
        bool,
        flag("--cache/--no-cache", help="Keep encodings for later builds.", env=False, panel=INPUT),
    ] = True,
    attributes: filters.Attributes = None,
    attributes_from: filters.AttributesFrom = None,
    attribute_kinds: filters.AttributeKinds = None,
    index_key: Annotated[
        str | None,
        flag(
            "--index-key",
            "--key",
            help="Kind of index, such as SQ8 or OPQ48,IVF1024,PQ48; cluscomp keys lists all.",
            panel=INDEX,
        ),
    ] = None,
    hybrid: Annotated[
        bool,
        flag(
            "--hybrid/--no-hybrid",
            help=f"Index the words of the texts as well, and search both: KEY+{WORDS_KEY}.",
            panel=INDEX,
        ),
    ] = False,
    word_encoder: Annotated[
        str | None,
        flag(
            "--word-encoder",
            help="For --hybrid: 'words', 'words(stem=porter)' or a model of sparse vectors. "
            "(default: words(stem=porter))",
            panel=INPUT,
        ),
    ] = None,
    codec: Annotated[
        Path | None,
        flag("--codec", help="Folder of a trained codec: RepCONC(DIR) in --index-key.", panel=INDEX),
    ] = None,
    metric: Annotated[MetricName, flag("--metric", help="Similarity to search by.", panel=INDEX)] = "ip",
    output_folder: Annotated[
        Path | None, flag("--output", "-o", help="Folder to write the index to.", panel=INDEX)
    ] = None,
    store_texts: Annotated[
        bool,
        flag(
            "--store-texts", help="Keep titles and texts in the index, to show them with hits.", panel=INDEX
        ),
    ] = False,
    max_train_rows: Annotated[
        int | None,
        flag(
            "--max-train-rows",
            "--train-rows",
            help="Most vectors to train on. (default: by index key and memory)",
            panel=INDEX,
            min=1,
        ),
    ] = None,
    if_exists: Annotated[
        IfExists,
        flag("--if-exists", help="What to do when --output, or an unfinished build of it, is there."),
    ] = "fail",
    dry_run: Annotated[
        bool,
        flag("--dry-run", help="Print the plan (memory, disk, time by stage) and write nothing.", env=False),
    ] = False,
    seed: common.Seed = 0,
    threads: common.Threads = None,
    max_memory: common.MaxMemory = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Build an index from a corpus of texts or from an array of vectors.

    Input is streamed in blocks that --max-memory allows. The index is written beside --output and renamed
    when it is complete; an interrupted build goes on with --if-exists resume.

    Examples:
    cluscomp build-index --corpus scifact --encoder minilm --index-key OPQ48,IVF64,PQ48 --output scifact.index

    cluscomp build-index --embeddings x.npy --ids ids.txt --metric ip --index-key Flat --output x.index

    cluscomp build-index --corpus trec-covid --encoder minilm --attributes-from metadata --key SQ8 -o c.index

    cluscomp build-index --corpus scifact --encoder minilm --encoder-kind tokens --index-key
    Pool16,IVF1024,PQ96 --output late.index

    cluscomp build-index --corpus scifact --index-key "Sparse(bm25)" --output words.index

    cluscomp build-index --corpus scifact --encoder minilm --index-key OPQ48,PQ48 --hybrid --output both.index

    cluscomp build-index --embeddings x.npy --ids ids.txt --corpus scifact --index-key SQ8 --hybrid -o b.index

    """
    target = _required(output_folder, "--output", dry_run)
    files = BuildFiles(corpus, embeddings, ids, lengths, terms)
    spec = _complete_key(_required(index_key, "--index-key", codec is not None), codec, hybrid)
    made_by = Maker(encoder, encoder_kind, bf16, word_encoder).checked(spec, files)
    kinds = filters.parse_kinds(attribute_kinds)
    common.set_threads(threads)
    settings: dict[str, Any] = {
        "index_key": str(spec),
        "metric": metric,
        "max_memory": max_memory,
        "seed": seed,
        "max_train_rows": max_train_rows,
        "store_texts": store_texts,
        "empty_documents": empty_documents,
        "attributes": attributes,
        "attributes_from": attributes_from,
        "attribute_kinds": kinds,
    }
    source, more = files.open(spec, common.parse_columns(columns))
    model = made_by.load()
    settings |= more
    if dry_run:
        from cluscomp.indexes.build import plan_build

        plan = plan_build(source, encoder=model, **settings)
        _show_plan(plan, as_json)
        raise typer.Exit(0 if plan.feasible else INFEASIBLE)
    with StageProgress(quiet=quiet) as progress:
        from cluscomp.indexes.build import build_index as build

        report = build(
            source,
            output=target,
            encoder=model,
            if_exists=if_exists,
            cache=cache,
            progress=progress,
            config=_resolved(ctx),
            **settings,
        )
    _show_report(report, as_json)


def _complete_key(index_key: str | None, codec: Path | None, hybrid: bool) -> IndexSpec:
    """The key with the trained codec in it, and that of words behind it; checked before a model is loaded,
    which takes seconds.
    """
    from cluscomp.indexes.keys.grammar import parse_key, with_codec

    if codec is not None:
        index_key = with_codec(index_key, f"RepCONC({codec})") if index_key else f"RepCONC({codec})"
    if hybrid:
        index_key = f"{index_key}+{WORDS_KEY}"
    spec = parse_key(index_key or "")
    spec.resolved()
    return spec


def _required(value: Any, name: str, optional: bool = False) -> Any:
    if value is None and not optional:
        raise errors.UsageError(f"{name} is missing")
    return value


def _resolved(ctx: typer.Context) -> dict[str, Any]:
    """Flags with their values, however they were given, for the record in the index."""
    # What leaves no trace in the index; --if-exists differs between a build and its resumption.
    hidden = {
        "config",
        "quiet",
        "verbose",
        "as_json",
        "dry_run",
        "if_exists",
        "output_folder",
        "threads",
        "cache",
    }
    return {
        name.replace("_", "-"): str(value) if isinstance(value, Path) else value
        for name, value in ctx.params.items()
        if name not in hidden and value is not None
    }


def _show_plan(plan: BuildPlan, as_json: bool) -> None:
    if as_json:
        output.result_json(plan.to_json())
        return
    size = output.size_text
    output.result(
        f"plan: {plan.key}, {plan.metric}, {plan.n} rows of dim {plan.dim} ({plan.source_dtype}), "
        f"training on {plan.train_rows}, blocks of {plan.block_rows}"
    )
    rows = [
        (stage.name, str(stage.rows), size(plan.baseline_bytes + stage.memory_bytes), size(stage.disk_bytes),
         output.seconds_text(stage.seconds))
        for stage in plan.stages
    ]  # fmt: skip
    output.result_table(["stage", "rows", "peak memory", "disk", "time"], rows)
    limit = f" of {size(plan.max_memory)} allowed" if plan.max_memory is not None else ""
    output.result(
        f"peak memory:    {size(plan.peak_memory)}{limit} (process as it is now: {size(plan.baseline_bytes)})"
    )
    output.result(f"peak disk:      {size(plan.peak_disk)}, of it {size(plan.index_bytes)} for the index")
    output.result(
        f"per document:   {plan.code_bytes_per_document} B codes, {plan.bytes_per_document:.1f} B with "
        "everything"
    )
    output.result(f"estimated time: {output.seconds_text(plan.seconds)}")
    output.result("feasible: yes" if plan.feasible else f"feasible: no; {plan.remedy()}")


def _show_report(report: BuildReport, as_json: bool) -> None:
    if as_json:
        output.result_json(report.to_json())
        return
    what = "built" if report.stages else "was complete already, seen"
    output.result(
        f"{report.output}: {report.key}, {report.n} rows, {output.size_text(report.index_bytes)} "
        f"({report.code_bytes_per_document} code bytes of {report.bytes_per_document:.1f} bytes a "
        f"document), {what} in {output.seconds_text(report.seconds)}, "
        f"peak memory {output.size_text(report.measured_peak)} "
        f"(planned {output.size_text(report.planned_peak)})"
    )
