"""`cluscomp convert`: an index under another key, in the newest format, or as files of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cluscomp.cli import common, output, rows
from cluscomp.cli.common import flag
from cluscomp.cli.failures import exits_by_contract
from cluscomp.cli.progress import StageProgress
from cluscomp.errors import UsageError
from cluscomp.vocabulary import LEARNED, IfExists, Target

if TYPE_CHECKING:
    from cluscomp.indexes.conversion import ConvertReport


@exits_by_contract
def convert(
    index: common.IndexFolder,
    output_path: Annotated[
        Path | None,
        flag("--output", "-o", help="Folder of the new index, or the file of --to.", env=False),
    ] = None,
    index_key: Annotated[
        str | None, flag("--index-key", "--key", help="Key of the new index.", env=False)
    ] = None,
    embeddings: Annotated[
        Path | None,
        flag(
            "--embeddings",
            help="Vectors that the rows were made of, to encode instead of the stored codes.",
            env=False,
        ),
    ] = None,
    ids: rows.Ids = None,
    lengths: rows.Lengths = None,
    format: Annotated[
        int | None, flag("--format", help="Write the index as it is in the newest format.", env=False, min=1)
    ] = None,
    to: Annotated[
        Target | None,
        flag("--to", help="Write a file of another tool: faiss, npy, parquet, lance or cuvs.", env=False),
    ] = None,
    max_train_rows: Annotated[
        int | None,
        flag("--max-train-rows", help="Most vectors to train on. (default: by key and memory)", min=1),
    ] = None,
    if_exists: Annotated[
        IfExists, flag("--if-exists", help="What to do when --output, or an unfinished run of it, is there.")
    ] = "fail",
    dry_run: common.DryRun = False,
    seed: common.Seed = 0,
    threads: common.Threads = None,
    max_memory: common.MaxMemory = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Write an index under another key, in the newest format, or as files of other tools.

    A new key is trained anew, on --embeddings or else on what the stored codes stand for. Ids, encoder and
    texts are kept, deleted rows are left out, and INDEX stays as it is.

    Examples:
    cluscomp convert my.index --index-key OPQ48,IVF4096,PQ48 --embeddings x.npy --output new.index

    cluscomp convert my.index --to npy --output vectors.npy

    cluscomp convert my.index --to lance --output codebooks.npz

    """
    from cluscomp.indexes.conversion import convert_index

    common.set_threads(threads)
    with StageProgress(quiet=quiet) as progress:
        report = convert_index(
            index,
            output_path,
            index_key=index_key,
            format=format,
            to=to,
            max_memory=max_memory,
            max_train_rows=max_train_rows,
            seed=seed,
            if_exists=if_exists,
            dry_run=dry_run,
            progress=progress,
            **_source(index, embeddings, ids, lengths),
        )
    _show(report, dry_run, as_json)


def _source(index: Path, embeddings: Path | None, ids: Path | None, lengths: Path | None) -> dict[str, Any]:
    """The vectors, their ids as the index has them, and lengths of documents."""
    if embeddings is None:
        if ids is not None or lengths is not None:
            raise UsageError("--ids and --lengths belong to --embeddings, which are not given")
        return {}
    from cluscomp.indexes.index import open_index
    from cluscomp.indexes.kind import kind_of
    from cluscomp.inputs.embeddings import open_embeddings
    from cluscomp.inputs.ragged import open_ragged

    opened = open_index(index)
    if kind_of(opened.spec.dense).ragged:
        source, numbers, names = open_ragged(embeddings, lengths, ids)
        more = {"lengths": numbers}
    else:
        source, more = open_embeddings(embeddings, ids), {}
        names = source.ids
    return {"source": source, "ids": None if names is None else rows.ids_for(opened, names), **more}


def _show(report: ConvertReport, dry_run: bool, as_json: bool) -> None:
    if as_json:
        output.result_json({"written": not dry_run, **report.to_json()})
        return
    shown = [
        ("key before", report.key_before),
        ("now", report.key or report.to or f"format {report.format_version}"),
    ]
    if report.to not in LEARNED:
        shown += [("rows", str(report.rows)), ("deleted rows left out", str(report.dropped))]
    if report.key is not None:
        shown.append(("titles and texts", "yes" if report.texts else "none"))
    output.result_table(["", ""], shown)
    if report.coded_twice:
        output.result(
            f"coded twice: rows are encoded from the codes of {report.key_before}, whose errors stay; "
            "--embeddings avoids it"
        )
    if report.added_error is not None:
        output.result(
            f"error of the new codes: {report.added_error:.4f} of the mean squared length "
            f"({report.error_rows} vectors)"
        )
    if dry_run:
        output.result("nothing was written: the conversion can be done")
        return
    for name in report.files:
        output.result(f"written: {name}")
