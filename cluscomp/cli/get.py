"""`cluscomp get`: what an index holds of some rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluscomp.cli import common, filters, output, rows
from cluscomp.cli.failures import exits_by_contract

if TYPE_CHECKING:
    from cluscomp.indexes.any_index import AnyIndex
    from cluscomp.indexes.records import Record


@exits_by_contract
def get(
    index: common.IndexFolder,
    ids: rows.Ids = None,
    id_: rows.Id = None,
    missing: rows.Missing = "fail",
    tenant: filters.Tenant = None,
    all_tenants: filters.AllTenants = False,
    config: common.Config = None,
    verbose: common.Verbose = 0,
) -> None:
    """Print rows of an index by id, as a JSON list.

    Each has id, title and text where the index stores them, and what its finest codes stand for: "vector",
    or "vectors" of a document, or "terms"; null for keys whose codes have no way back. An id that is not
    there is exit code 4, or left out with --missing ignore.

    Example: cluscomp get my.index --id doc7
    """
    from cluscomp.indexes.index import open_index

    opened = open_index(index)
    wanted = rows.named_ids(opened, ids, id_)
    whose = filters.tenant_options(tenant, all_tenants)
    output.result_json([_shown(opened, record) for record in opened.get(wanted, missing=missing, **whose)])


def _shown(index: AnyIndex, record: Record) -> dict[str, Any]:
    name = "vectors" if index.spec.sums_tokens else "vector"
    if isinstance(record.vector, dict):
        name = "terms"
    shown: dict[str, Any] = {"id": record.id, name: record.vector}
    if index.has_texts:
        shown |= {"title": record.title, "text": record.text}
    if record.attributes:
        shown["attributes"] = {name: _plain(value) for name, value in record.attributes.items()}
    return shown


def _plain(value: Any) -> Any:
    """A value as JSON has it: times in ISO 8601."""
    return value.isoformat() if hasattr(value, "isoformat") else value
