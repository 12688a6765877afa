"""Metadata of documents, which may hold anything that JSON can, as attributes of the rows of an index.

A value that a column can hold becomes an attribute of that name, and can be filtered by. The others (dicts,
lists of numbers, None ...) are kept as JSON in the column `_rest`, so that a document comes back as it was.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np

from cluscomp.attributes.schema import MAX_NAME_BYTES, file_part
from cluscomp.errors import InputError

REST = "_rest"
"""Column of what no other column gives back: a JSON object."""
_TYPES: dict[str, type] = {"bool": bool, "int64": int, "float64": float, "text": str, "texts": list}
_INT64 = range(-(2**63), 2**63)


def attributes_of(
    metadatas: Sequence[Mapping[str, Any]],
    ids: Sequence[str],
    kinds: Mapping[str, str],
    columns: Collection[str] | None,
) -> list[dict[str, Any]]:
    """Attributes of rows, from which `metadata_of` makes the metadata again.

    kinds: of the columns that the index has already. columns: names that become columns; None: all that can.
    Instants come back in UTC, and tuples as lists. Raises InputError for a value that neither a column nor
    JSON can hold, and for a name that is no text.
    """
    rows = [{name: _plain(value) for name, value in row.items()} for row in metadatas]
    floats = {name: "float64" for row in rows for name, value in row.items() if isinstance(value, float)}
    known = {**floats, **kinds}
    return [_attributes(row, name, known, columns) for row, name in zip(rows, ids, strict=True)]


def metadata_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a row. attributes: as an index gives them."""
    found = {name: value for name, value in attributes.items() if name != REST}
    return {**found, **json.loads(attributes[REST])} if REST in attributes else found


def _attributes(
    row: Mapping[str, Any], name_of_row: str, kinds: Mapping[str, str], columns: Collection[str] | None
) -> dict[str, Any]:
    found, rest = {}, {}
    for name, value in row.items():
        _require_name(name, name_of_row)
        is_column = (columns is None or name in columns) and _can_be_column(name, value)
        if is_column:
            found[name] = value
        wanted = _TYPES.get(kinds.get(name, ""), type(value))
        if not is_column or (type(value) is not wanted and not isinstance(value, date)):
            rest[name] = value
    if rest:
        found[REST] = _as_json(rest, name_of_row)
    return found


def _require_name(name: Any, name_of_row: str) -> None:
    if not isinstance(name, str) or name == REST:
        raise InputError(
            f"the metadata of {name_of_row!r} has the name {name!r}; names must be texts other than {REST!r}"
        )


def _can_be_column(name: str, value: Any) -> bool:
    if not name.strip() or not name.isprintable() or len(file_part(name)) > MAX_NAME_BYTES:
        return False
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    if isinstance(value, float):
        return not math.isnan(value)
    if isinstance(value, int):
        return value in _INT64
    return isinstance(value, (str, date))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def _as_json(rest: Mapping[str, Any], name_of_row: str) -> str:
    try:
        return json.dumps(rest, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as exc:
        raise InputError(
            f"the metadata of {name_of_row!r} cannot be kept ({exc}); values must be texts, numbers, bools, "
            "instants, or what JSON can hold"
        ) from exc
