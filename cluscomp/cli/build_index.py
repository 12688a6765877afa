"""`cluscomp build-index`: texts or vectors in, an index folder out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluscomp import errors
from cluscomp.cli import build_flags, common, filters, output
from cluscomp.cli.build_files import BuildFiles, Maker, complete_key
from cluscomp.cli.common import flag
from cluscomp.cli.failures import INFEASIBLE, exits_by_contract
from cluscomp.cli.progress import StageProgress
from cluscomp.vocabulary import EngineName, IfExists, Training

if TYPE_CHECKING:
    from cluscomp.indexes.build import BuildReport
    from cluscomp.indexes.build.plan import BuildPlan


@exits_by_contract
def build_index(
    ctx: typer.Context,
    corpus: build_flags.Corpus = None,
    encoder: build_flags.EncoderName = None,
    encoder_kind: build_flags.Kind = None,
    bf16: build_flags.Bf16 = False,
    embeddings: build_flags.Embeddings = None,
    ids: build_flags.Ids = None,
    lengths: build_flags.Lengths = None,
    terms: build_flags.Terms = None,
    columns: build_flags.Columns = None,
    empty_documents: build_flags.Empty = "fail",
    cache: build_flags.Cache = True,
    attributes: filters.Attributes = None,
    attributes_from: filters.AttributesFrom = None,
    attribute_kinds: filters.AttributeKinds = None,
    index_key: build_flags.IndexKey = None,
    hybrid: build_flags.Hybrid = False,
    word_encoder: build_flags.WordEncoder = None,
    codec: build_flags.CodecFolder = None,
    metric: build_flags.Metric = "ip",
    output_folder: build_flags.Output = None,
    store_texts: build_flags.StoreTexts = False,
    pool_sample: build_flags.PoolSample = None,
    max_train_rows: build_flags.MaxTrainRows = None,
    shards: build_flags.Shards = None,
    engine: Annotated[
        EngineName | None,
        flag(
            "--engine",
            help="What runs the steps of --shards: local, or ray. (default: local)",
            panel=build_flags.INDEX,
        ),
    ] = None,
    train: Annotated[
        Training | None,
        flag(
            "--train",
            help="Where lists are trained: single, in one process, or distributed, in --shards of them. "
            "(default: single)",
            panel=build_flags.INDEX,
        ),
    ] = None,
    address: Annotated[
        str | None,
        flag(
            "--address",
            help="Of a running Ray cluster. (default: one on this machine)",
            panel=build_flags.INDEX,
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

    cluscomp build-index --embeddings x.npy --index-key IVF4096,PQ48 --shards 8 --engine ray --output x.index

    """
    target = _required(output_folder, "--output", dry_run)
    files = BuildFiles(corpus, embeddings, ids, lengths, terms)
    spec = complete_key(_required(index_key, "--index-key", codec is not None), codec, hybrid)
    made_by = Maker(encoder, encoder_kind, bf16, word_encoder).checked(spec, files)
    kinds = filters.parse_kinds(attribute_kinds)
    if shards is None and any(given is not None for given in (engine, train, address)):
        raise errors.UsageError("--engine, --train and --address are of --shards, which is not given")
    if shards is not None and pool_sample is not None:
        raise errors.UsageError("--pool-sample does not go with --shards; leave one of them out")
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

        plan = plan_build(source, encoder=model, pool_sample=pool_sample, **settings)
        _show_plan(plan, as_json)
        raise typer.Exit(0 if plan.feasible else INFEASIBLE)
    if shards is not None:
        from cluscomp.distributed import build as build_shards

        options = files.paths() | settings | {"columns": common.parse_columns(columns), "cache": cache}
        with StageProgress(quiet=quiet) as progress:
            report = build_shards(
                files.source(), encoder=model, output=target, shards=shards, engine=engine or "local",
                train=train or "single", address=address, if_exists=if_exists, progress=progress, **options,
            )  # fmt: skip
        _show_report(report, as_json)
        return
    with StageProgress(quiet=quiet) as progress:
        from cluscomp.indexes.build import build_index as build

        report = build(
            source,
            output=target,
            encoder=model,
            if_exists=if_exists,
            cache=cache,
            pool_sample=pool_sample,
            progress=progress,
            config=_resolved(ctx),
            **settings,
        )
    _show_report(report, as_json)


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
