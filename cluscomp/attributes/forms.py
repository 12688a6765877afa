"""Attributes in the forms that callers have: Arrow tables, data frames, dicts of columns, records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cluscomp import errors
from cluscomp.attributes.building import TableBuilder
from cluscomp.attributes.table import Attributes
from cluscomp.errors import DTypeError


def make_attributes(
    data: Any,
    n_rows: int | None = None,
    *,
    kinds: Mapping[str, str] | None = None,
    ids: Sequence[Any] | None = None,
) -> Attributes:
    """Make typed columns of what a caller has.

    Whole numbers of a column of integers may stand as floats; a column of timestamps takes ISO 8601 texts
    if `kinds` says so. NaN and None stand for a missing value. A column without any value is left out,
    unless its kind is known.

    Args:
        data: an Arrow table or batch, a data frame of pandas or polars, a dict of columns, or a list of
            dicts, one a row.
        n_rows: how many rows there must be; None: as many as there are.
        kinds: kinds of columns, where they are known already.
        ids: of the rows, for messages.

    Returns:
        The table.

    Raises:
        InputError: a value does not fit its column; the message names column, row and id.
        DimensionError: columns of different lengths, or not n_rows rows.
        DTypeError: a type that no column can hold.
        UsageError: names that no column may have, or more than 256 columns.
    """
    if isinstance(data, Attributes):
        if n_rows in (None, data.n_rows) and _fit(data, kinds or {}):
            return data
        n_rows, data = data.n_rows if n_rows is None else n_rows, data.to_dict()
    builder = TableBuilder(kinds, ids)
    builder.add(columns_of(data), n_rows)
    return builder.finish()


def columns_of(data: Any) -> dict[str, Any]:
    """Columns of a table in any form. Raises DTypeError."""
    if isinstance(data, Mapping):
        return dict(data)
    if hasattr(data, "column_names") and hasattr(data, "schema"):  # Arrow
        names = list(data.column_names)
        _require_different(names)
        return {name: data.column(i) for i, name in enumerate(names)}
    if hasattr(data, "iloc") and hasattr(data, "columns"):  # pandas
        names = list(data.columns)
        _require_different(names)
        return {name: data.iloc[:, i] for i, name in enumerate(names)}
    if hasattr(data, "__arrow_c_stream__"):  # polars, DuckDB and others
        arrow = errors.require("pyarrow", extra="parquet", why=f"attributes in a {type(data).__name__}")
        return columns_of(arrow.table(data))
    if isinstance(data, (list, tuple)) and all(isinstance(record, Mapping) for record in data):
        return columns_of_records(data)
    raise DTypeError(
        f"attributes are of type {type(data).__name__}; pass an Arrow table, a data frame, a dict of "
        "columns, or a list of dicts, one a row"
    )


def columns_of_records(records: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Columns of records, None where a record lacks a name."""
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


def _require_different(names: list[Any]) -> None:
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise DTypeError(f"the attribute {twice!r} occurs twice among the columns; names must be different")


def _fit(table: Attributes, kinds: Mapping[str, str]) -> bool:
    return all(kinds.get(name, column.kind) == column.kind for name, column in table.columns.items())
