"""Documents of a store, and which of them pass a filter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cluscomp.attributes import matching_bits, parse_filter, require_fit
from cluscomp.attributes.expressions import fields
from cluscomp.eval.integrations.metadata import metadata_of
from cluscomp.indexes.records import Record


@dataclass(frozen=True, eq=False)
class StoredRow:
    """A document of a store. vector: (dim,) float32, or None where none was asked for. score: of a search."""

    id: str
    text: str | None
    metadata: dict[str, Any] = field(default_factory=dict)
    vector: np.ndarray | None = None
    score: float = float("nan")


def row_of(record: Record) -> StoredRow:
    """The document of what an index holds of a row; a title is among its metadata."""
    metadata = metadata_of(record.attributes)
    if record.title is not None:
        metadata.setdefault("title", record.title)
    return StoredRow(str(record.id), record.text, metadata, record.vector)


def passing_ids(index: Any, filter: Any) -> list[str]:
    """Ids of the rows that pass a condition; None and True: all of them, False: none."""
    if filter is False:
        return []
    ids = [str(name) for name in index.ids.tolist()]
    if filter is None or filter is True:
        return ids
    expression = parse_filter(filter)
    require_fit(expression, index.attribute_schema)
    table = index.attributes(sorted(set(fields(expression))))
    bits = np.unpackbits(matching_bits(expression, table), count=len(ids), bitorder="little")
    return [ids[row] for row in np.flatnonzero(bits)]
