"""What is shown of documents besides their ids: texts, attributes, vectors, terms."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from cluscomp.indexes.records import Record
from cluscomp.server.served import Served
from cluscomp.vocabulary import Missing


def shown_fields(
    served: Served,
    ids: Sequence[str],
    include: Collection[str],
    whose: Mapping[str, Any],
    missing: Missing = "ignore",
) -> dict[str, dict[str, Any]]:
    """The fields of documents by id, those that are asked for and there; blocks. include, whose, missing: as
    `Served.records` and requests have them. Raises what `Served.records` raises.
    """
    vectors = "vector" in include
    records = served.records(ids, whose, vectors=vectors, missing=missing)
    found = {name: _fields(served, record, include) for name, record in records.items()}
    if vectors and served.both and found:
        index: Any = served.index
        terms = index.terms([record.id for record in records.values()], **whose)
        for fields, its in zip(found.values(), terms, strict=True):
            fields["terms"] = its
    return found


def as_json(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes as JSON values: instants in ISO 8601."""
    return {
        name: value.isoformat() if isinstance(value, datetime.datetime) else value
        for name, value in attributes.items()
    }


def _fields(served: Served, record: Record, include: Collection[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if "text" in include and served.has_texts:
        fields |= {"title": record.title, "text": record.text}
    if "attributes" in include and record.attributes:
        fields["attributes"] = as_json(record.attributes)
    if isinstance(record.vector, np.ndarray):
        fields["vectors"] = np.atleast_2d(record.vector).tolist()
    elif isinstance(record.vector, dict):
        fields["terms"] = record.vector
    return fields
