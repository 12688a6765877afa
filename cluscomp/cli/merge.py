"""`cluscomp merge`: several indexes of one training into one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluscomp.cli import common, output
from cluscomp.cli.common import flag
from cluscomp.cli.failures import exits_by_contract
from cluscomp.errors import UsageError
from cluscomp.vocabulary import IfTaken

if TYPE_CHECKING:
    from cluscomp.indexes.merging import IndexMergeReport


@exits_by_contract
def merge(
    indexes: Annotated[
        list[Path],
        typer.Argument(metavar="INDEX...", help="Folders of indexes, two or more.", show_default=False),
    ],
    output_folder: Annotated[
        Path | None, flag("--output", "-o", help="Folder of the merged index.", env=False)
    ] = None,
    if_exists: Annotated[IfTaken, flag("--if-exists", help="fail, or replace an index.")] = "fail",
    dry_run: common.DryRun = False,
    threads: common.Threads = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Merge indexes that grew from one trained index; no row is encoded again.

    Files are linked, or copied where links do not work, and the sources stay. Key, metric, encoder and
    trained arrays must be the same, and no id may be in two of them. `cluscomp compact` makes fewer segments
    afterwards.

    Example: cluscomp merge monday.index tuesday.index --output week.index
    """
    if output_folder is None:
        raise UsageError("--output is missing")
    from cluscomp.indexes.merging import merge_indexes

    common.set_threads(threads)
    report = merge_indexes(indexes, output_folder, if_exists=if_exists, dry_run=dry_run)
    _show(report, output_folder, dry_run, as_json)


def _show(report: IndexMergeReport, folder: Path, dry_run: bool, as_json: bool) -> None:
    if as_json:
        output.result_json({"output": str(folder), "written": not dry_run, **report.to_json()})
        return
    rows = [
        ("key", report.key),
        ("rows that can be found", str(report.rows)),
        ("deleted rows", str(report.deleted)),
        ("segments", str(report.segments)),
        ("bytes of the arrays", str(report.bytes)),
        ("titles and texts", "yes" if report.texts else "none"),
    ]
    output.result_table(["", ""], rows)
    output.result("nothing was written: the indexes can be merged" if dry_run else f"merged index: {folder}")
