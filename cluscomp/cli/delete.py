"""`cluscomp delete`: rows that no search finds any more."""

from __future__ import annotations

from typing import Annotated

from cluscomp import vocabulary
from cluscomp.cli import common, output, rows
from cluscomp.cli.common import flag
from cluscomp.cli.failures import exits_by_contract


@exits_by_contract
def delete(
    index: common.IndexFolder,
    ids: rows.Ids = None,
    id_: rows.Id = None,
    missing: Annotated[
        vocabulary.Missing,
        flag("--missing", help="Ids that are not in the index: fail, or ignore them.", env=False),
    ] = "fail",
    dry_run: common.DryRun = False,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Delete rows of an index by id; all of them, or none if an id is not there (exit code 4).

    Deleted rows take room until `cluscomp compact`. The folder is replaced at once when all is written,
    unless somebody changed it meanwhile (exit code 2).

    Examples:
    cluscomp delete my.index --id doc7 --id doc8

    cluscomp delete my.index --ids gone.txt --missing ignore --dry-run

    """
    from cluscomp.indexes.index import open_index

    opened = open_index(index)
    wanted = rows.named_ids(opened, ids, id_)
    deleted = opened.delete(wanted, missing=missing)
    is_written = deleted > 0 and not dry_run
    if is_written:
        opened.save(index)
    if as_json:
        counts = {"deleted": deleted, "missing": len(wanted) - deleted, "rows": len(opened)}
        output.result_json({"index": str(index), "written": is_written, **counts})
    elif not quiet:
        verb = "would be deleted" if dry_run else "deleted"
        output.note(f"{index}: {deleted} of {len(wanted)} ids {verb}, {len(opened)} rows")
