"""`cluscomp delete`: rows that no search finds any more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluscomp import errors
from cluscomp.cli import common, filters, output, rows
from cluscomp.cli.failures import exits_by_contract

if TYPE_CHECKING:
    from cluscomp.indexes.any_index import AnyIndex


@exits_by_contract
def delete(
    index: common.IndexFolder,
    ids: rows.Ids = None,
    id_: rows.Id = None,
    filter_: filters.Filter = None,
    tenant: filters.Tenant = None,
    all_tenants: filters.AllTenants = False,
    missing: rows.Missing = "fail",
    wait: common.Wait = "5s",
    dry_run: common.DryRun = False,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Delete rows of an index by attributes, or by id: all or none if an id is not there (exit code 4).

    Deleted rows take room until `cluscomp compact`. Readers meet the old state or the new one. No other
    command changes the index meanwhile: it waits, or ends with exit code 5.

    Examples:
    cluscomp delete my.index --id doc7 --id doc8

    cluscomp delete my.index --ids gone.txt --missing ignore --dry-run

    cluscomp delete my.index --filter "year < 2015" --dry-run

    """
    wanted: Any = None
    with rows.changing(index, wait, dry_run=dry_run) as opened:
        if filter_ is None:
            wanted = rows.named_ids(opened, ids, id_)
            deleted = opened.delete(wanted, missing=missing, **filters.tenant_options(tenant, all_tenants))
        else:
            deleted = opened.delete(**_by_filter(opened, ids, id_, filter_, tenant, all_tenants))
    is_written = deleted > 0 and not dry_run
    n_missing = 0 if wanted is None else len(wanted) - deleted
    if as_json:
        counts = {"deleted": deleted, "missing": n_missing, "rows": len(opened)}
        output.result_json({"index": str(index), "written": is_written, **counts})
    elif not quiet:
        verb = "would be deleted" if dry_run else "deleted"
        what = f"{deleted} rows" if wanted is None else f"{deleted} of {len(wanted)} ids"
        output.note(f"{index}: {what} {verb}, {len(opened)} rows")


def _by_filter(
    index: AnyIndex, ids: Path | None, names: list[str] | None, filter_: str, tenant: str | None,
    all_tenants: bool,
) -> dict[str, Any]:  # fmt: skip
    """Arguments of `delete` for --filter."""
    if ids is not None or names:
        raise errors.UsageError("--filter and --ids or --id contradict each other; pass one of them")
    return filters.filter_options(index, filter_, tenant, all_tenants, None)
