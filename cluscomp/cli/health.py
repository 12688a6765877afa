"""`cluscomp health`: whether an index still fits its rows, or should be trained anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluscomp.cli import common, output, rows
from cluscomp.cli.common import flag
from cluscomp.cli.failures import exits_by_contract
from cluscomp.cli.progress import StageProgress
from cluscomp.errors import UsageError
from cluscomp.vocabulary import FailOn

if TYPE_CHECKING:
    from cluscomp.indexes.any_index import AnyIndex
    from cluscomp.indexes.health import Health, HealthItem


@exits_by_contract
def health(
    index: common.IndexFolder,
    probe: Annotated[
        bool, flag("--probe", help="Also search, by default and through all lists.", env=False)
    ] = False,
    new: Annotated[
        Path | None,
        flag("--new", help="Vectors to be added: what training on them would gain.", env=False),
    ] = None,
    lengths: rows.Lengths = None,
    fail_on: Annotated[
        FailOn | None, flag("--fail-on", help="End with 1 for this state or a worse one.", env=False)
    ] = None,
    sample: Annotated[
        int | None,
        flag("--sample", help="Rows to decode where figures lack. (default: 4096)", env=False, min=1),
    ] = None,
    threads: common.Threads = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Tell whether an index still fits its rows, or should be trained anew; nothing is changed.

    Rows are compared with those of the training by figures that were kept of both: how far they lie from
    their centroids, in which lists, and what their codes lose. To train anew is `cluscomp convert` into a new
    folder.

    Example: cluscomp health my.index --probe --fail-on retrain
    """
    from cluscomp.indexes.health.checkup import SAMPLE
    from cluscomp.indexes.index import open_index

    if lengths is not None and new is None:
        raise UsageError("--lengths belong to --new, which is not given")
    common.set_threads(threads)
    opened = open_index(index)
    given = {} if new is None else _new(opened, new, lengths)
    with StageProgress(quiet=quiet) as progress:
        found = opened.health(SAMPLE if sample is None else sample, probe, progress=progress, **given)
    _show(found, as_json)
    if fail_on is not None and found.reaches(fail_on):
        raise typer.Exit(1)


def _new(index: AnyIndex, new: Path, lengths: Path | None) -> dict[str, Any]:
    from cluscomp.indexes.kind import kind_of
    from cluscomp.inputs.embeddings import open_embeddings
    from cluscomp.inputs.ragged import open_ragged

    if kind_of(index.spec).ragged:
        source, numbers, _ = open_ragged(new, lengths)
        return {"new": source, "lengths": numbers}
    if lengths is not None:
        raise UsageError(f"--lengths belong to token vectors, but {index.key!r} stores single ones")
    return {"new": open_embeddings(new)}


def _show(found: Health, as_json: bool) -> None:
    if as_json:
        output.result_json(found.to_json())
        return
    columns = ["", "value", "watch", "retrain", "state", ""]
    output.result_table(columns, [_row(item) for item in found.items])
    output.result(f"{found.key}, {found.rows} rows: {found.state}")


def _row(item: HealthItem) -> tuple[str, ...]:
    value = "-" if item.value is None else f"{item.value:.3g}"
    return item.name, value, f"{item.watch:g}", f"{item.retrain:g}", item.state, item.sentence
