"""`cluscomp get`: what an index holds of some rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluscomp import errors
from cluscomp.cli import common, output, rows
from cluscomp.cli.failures import exits_by_contract
from cluscomp.cli.search import stored_texts

if TYPE_CHECKING:
    from cluscomp.indexes.any_index import AnyIndex


@exits_by_contract
def get(
    index: common.IndexFolder,
    ids: rows.Ids = None,
    id_: rows.Id = None,
    config: common.Config = None,
    verbose: common.Verbose = 0,
) -> None:
    """Print rows of an index by id, as a JSON list.

    Each has id, title and text where the index stores them, and what its finest codes stand for: "vector",
    or "vectors" of a document, or "terms"; null for keys whose codes have no way back. An id that is not
    there is exit code 4.

    Example: cluscomp get my.index --id doc7
    """
    from cluscomp.indexes.index import open_index

    opened = open_index(index)
    wanted = list(rows.named_ids(opened, ids, id_))
    records = _vectors(opened, wanted)
    for record, (title, text) in zip(records, _texts(index, wanted), strict=False):
        record["title"], record["text"] = title, text
    output.result_json(records)


def _vectors(index: AnyIndex, wanted: list[Any]) -> list[dict[str, Any]]:
    from cluscomp.indexes.kind import kind_of
    from cluscomp.indexes.sparse.index import SparseIndex

    if isinstance(index, SparseIndex):
        return [{"id": one, "terms": row} for one, row in zip(wanted, index.terms(wanted), strict=True)]
    name = "vectors" if kind_of(index.spec).ragged else "vector"
    try:
        found: Any = index.vectors(wanted)
    except errors.UsageError:  # the transform has no way back; the ids were looked up before
        return [{"id": one, name: None} for one in wanted]
    if isinstance(found, tuple):
        vectors, lengths = found
        starts = [int(lengths[:number].sum()) for number in range(len(wanted) + 1)]
        found = [vectors[starts[number] : starts[number + 1]] for number in range(len(wanted))]
    return [{"id": one, name: vector} for one, vector in zip(wanted, found, strict=True)]


def _texts(folder: Path, wanted: list[Any]) -> list[tuple[str, str]]:
    return stored_texts(folder, [str(one) for one in wanted])
