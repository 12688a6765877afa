"""`cluscomp compact`: fewer segments, and no deleted rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cluscomp.cli import common, output, rows
from cluscomp.cli.common import flag
from cluscomp.cli.failures import exits_by_contract
from cluscomp.cli.progress import StageProgress
from cluscomp.errors import UsageError

if TYPE_CHECKING:
    from cluscomp.indexes.compaction import CompactReport


@exits_by_contract
def compact(
    index: common.IndexFolder,
    segments: Annotated[
        int | None, flag("--segments", help="Most segments that are left. (default: 16)", env=False, min=1)
    ] = None,
    dead: Annotated[
        float | None,
        flag(
            "--dead",
            help="Share of deleted rows up to which a segment may stay. (default: 0.2)",
            env=False,
            min=0,
            max=1,
        ),
    ] = None,
    everything: Annotated[
        bool, flag("--all", help="One segment without deleted rows: --segments 1 --dead 0.", env=False)
    ] = False,
    rebalance: Annotated[
        bool,
        flag(
            "--rebalance",
            help="Move rows of balanced lists (BIVF) until each keeps its bound; results may change.",
            env=False,
        ),
    ] = False,
    by_list: Annotated[
        int | None,
        flag(
            "--by-list",
            help="Cut into so many segments of neighbouring lists, for searches over shards.",
            env=False,
            min=1,
        ),
    ] = None,
    gc: Annotated[
        bool,
        flag("--gc", help="Remove files of older generations now, not ten minutes after.", env=False),
    ] = False,
    wait: common.Wait = "5s",
    dry_run: common.DryRun = False,
    threads: common.Threads = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Merge the segments of an index and drop its deleted rows; every search finds what it found before.

    Nothing is decoded, trained or encoded, but for the rows that --rebalance moves. Readers meet
    the old state or the new one, also after a kill; --gc takes the files of older generations from those that
    are opening one. The rows of merged segments are held in memory twice.

    With --by-list, each segment has the rows of some lists (keys with IVF), and searches over shards ask
    those of the lists that they visit; rows of different lists with equal scores may change places.

    Example: cluscomp compact my.index --all
    """
    from cluscomp.indexes.compaction import MAX_DEAD, MAX_SEGMENTS

    if everything and (segments is not None or dead is not None):
        raise UsageError("--all stands for --segments 1 --dead 0; leave these out, or leave out --all")
    if by_list is not None and (everything or segments is not None or dead is not None):
        raise UsageError(
            "--by-list says how many segments there are, without deleted rows; leave out the others"
        )
    common.set_threads(threads)
    most, share = (1, 0.0) if everything else (MAX_SEGMENTS, MAX_DEAD)
    most, share = most if segments is None else segments, share if dead is None else dead
    with StageProgress(quiet=quiet) as progress, rows.changing(index, wait, dry_run=dry_run) as opened:
        report = opened.compact(
            segments=most, dead=share, rebalance=rebalance, by_list=by_list, progress=progress
        )
        if gc and not dry_run:
            opened.save(index, grace=0)
    changed = report.rewritten > 0 or report.segments_before != report.segments_after
    _show(report, index, changed, dry_run, as_json)


def _show(report: CompactReport, folder: Path, changed: bool, dry_run: bool, as_json: bool) -> None:
    if as_json:
        output.result_json({"index": str(folder), "written": changed and not dry_run, **report.to_json()})
        return
    rows = [
        ("rows that can be found", str(report.rows), str(report.rows)),
        ("deleted rows", str(report.deleted + report.dropped), str(report.deleted)),
        ("segments", str(report.segments_before), str(report.segments_after)),
        ("bytes of the arrays", str(report.bytes_before), str(report.bytes_after)),
    ]
    output.result_table(["", "before", "after"], rows)
    if report.lists is not None:
        lists = report.lists
        bound = output.bound_text(lists.bound, lists.exceeded_by)
        output.result(f"lists: max / mean {lists.max_over_mean:.2f}{bound}")
    if report.moved:
        output.result(
            f"{report.moved} vectors went to other lists, {report.encoded} of them were encoded again"
        )
    if dry_run:
        output.result(f"nothing was written: {report.rewritten} segments would be rewritten")
    elif not changed:
        output.result("nothing was to be done")
