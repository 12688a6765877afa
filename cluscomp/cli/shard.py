"""`cluscomp shard STEP`: the steps of a build in shards, one command each, for any scheduler."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cluscomp.cli import build_flags, common, filters, output
from cluscomp.cli.build_files import BuildFiles, Maker, complete_key
from cluscomp.cli.common import flag
from cluscomp.cli.failures import exits_by_contract
from cluscomp.cli.progress import StageProgress
from cluscomp.errors import UsageError
from cluscomp.vocabulary import IfExists, IfTaken

PlanFolder = Annotated[
    Path,
    typer.Argument(metavar="PLAN", help="Folder of the plan, which all steps can see.", show_default=False),
]
ShardNumber = Annotated[
    int, flag("--shard", help="Number of the shard, from 0.", env=False, min=0, show_default=False)
]

shard_app = typer.Typer(
    name="shard",
    no_args_is_help=True,
    help="Build an index in shards by steps for any scheduler: plan, train, encode of each shard, commit.",
)


@shard_app.command("plan")
@exits_by_contract
def plan(
    folder: PlanFolder,
    corpus: build_flags.Corpus = None,
    encoder: build_flags.EncoderName = None,
    encoder_kind: build_flags.Kind = None,
    bf16: build_flags.Bf16 = False,
    embeddings: build_flags.Embeddings = None,
    ids: build_flags.Ids = None,
    lengths: build_flags.Lengths = None,
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
    store_texts: build_flags.StoreTexts = False,
    max_train_rows: build_flags.MaxTrainRows = None,
    shards: build_flags.Shards = None,
    if_exists: Annotated[
        IfExists,
        flag("--if-exists", help="When there is a plan: fail, resume the same one, or replace it."),
    ] = "fail",
    seed: common.Seed = 0,
    threads: common.Threads = None,
    max_memory: common.MaxMemory = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Say how an index is built in shards; writes PLAN/plan.json, and no row.

    All steps read the source by its path, and leave what they make in PLAN: both must be seen from every
    machine.

    Example: cluscomp shard plan x.plan --embeddings x.npy --index-key IVF4096,PQ48 --shards 8

    """
    from cluscomp.distributed.build import arguments_of, plan_shards

    if shards is None:
        raise UsageError("--shards is missing")
    if index_key is None and codec is None:
        raise UsageError("--index-key is missing")
    files = BuildFiles(corpus, embeddings, ids, lengths)
    spec = complete_key(index_key, codec, hybrid)
    made_by = Maker(encoder, encoder_kind, bf16, word_encoder).checked(spec, files)
    common.set_threads(threads)
    model = made_by.load()
    arguments = arguments_of(
        files.source(), encoder=model, index_key=str(spec), metric=metric, seed=seed, cache=cache,
        columns=common.parse_columns(columns), max_memory=max_memory, max_train_rows=max_train_rows,
        store_texts=store_texts, empty_documents=empty_documents, attributes=attributes,
        attributes_from=attributes_from, attribute_kinds=filters.parse_kinds(attribute_kinds),
        **files.paths(),
    )  # fmt: skip
    made = plan_shards(folder, arguments, shards, encoder=model, if_exists=if_exists)
    if as_json:
        output.result_json(made.to_json())
        return
    output.result(
        f"{folder}: {made.arguments.index_key}, {made.n} rows in {made.shards} shards, "
        f"{output.size_text(made.building.peak_memory)} of memory a step"
    )


@shard_app.command("train")
@exits_by_contract
def train(
    folder: PlanFolder,
    threads: common.Threads = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Train the index of a plan, once, before all shards; a killed step goes on behind its last stage.

    Example: cluscomp shard train x.plan
    """
    _run(folder, "train", None, threads, quiet, as_json)


@shard_app.command("choose")
@exits_by_contract
def choose(
    folder: PlanFolder,
    shard: ShardNumber,
    threads: common.Threads = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Choose the lists of the rows of one shard, for keys with BIVF; then `place`, then `encode`.

    Example: cluscomp shard choose x.plan --shard 0
    """
    _run(folder, "choose", shard, threads, quiet, as_json)


@shard_app.command("place")
@exits_by_contract
def place(
    folder: PlanFolder,
    threads: common.Threads = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Place the rows of all shards in lists of bounded size, once, for keys with BIVF.

    Example: cluscomp shard place x.plan
    """
    _run(folder, "place", None, threads, quiet, as_json)


@shard_app.command("encode")
@exits_by_contract
def encode(
    folder: PlanFolder,
    shard: ShardNumber,
    threads: common.Threads = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Encode the rows of one shard; shards may be encoded at the same time, and more than once.

    Example: cluscomp shard encode x.plan --shard 0
    """
    _run(folder, "encode", shard, threads, quiet, as_json)


@shard_app.command("commit")
@exits_by_contract
def commit(
    folder: PlanFolder,
    output_folder: build_flags.Output = None,
    if_exists: Annotated[IfTaken, flag("--if-exists", help="fail, or replace an index.")] = "fail",
    keep: Annotated[bool, flag("--keep", help="Leave the plan and what the steps made.", env=False)] = False,
    threads: common.Threads = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Check what all shards made, and publish it as one index; then the plan goes.

    Example: cluscomp shard commit x.plan --output x.index
    """
    from cluscomp.distributed.build import commit_plan

    if output_folder is None:
        raise UsageError("--output is missing")
    common.set_threads(threads)
    report = commit_plan(folder, output_folder, if_exists=if_exists, keep=keep)
    if as_json:
        output.result_json(report.to_json())
        return
    output.result(
        f"{report.output}: {report.key}, {report.n} rows, {output.size_text(report.index_bytes)}, "
        f"committed in {output.seconds_text(report.seconds)}"
    )


def _run(folder: Path, name: str, shard: int | None, threads: int | None, quiet: bool, as_json: bool) -> None:
    from cluscomp.distributed.steps import Step, run_step_at

    common.set_threads(threads)
    with StageProgress(quiet=quiet) as progress:
        facts: dict[str, Any] = run_step_at(folder, Step(name, shard), progress)
    which = name if shard is None else f"{name} {shard}"
    if as_json:
        output.result_json({"plan": str(folder), "step": name, "shard": shard, **facts})
        return
    output.result(f"{folder}: {which} is done")
