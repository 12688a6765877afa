"""Attributes of rows: columns of one length by name."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cluscomp import checks, errors
from cluscomp.attributes.columns import Column, Scalars, column_of_parts, empty_column, joined
from cluscomp.attributes.schema import Field, Schema, file_part

if TYPE_CHECKING:
    import pyarrow

PREFIX = "attr."
_TOKENS = itertools.count()


class Attributes:
    """Columns (n,) of attributes by name. Made by `make_attributes`, and by `index.attributes()`.

    `table.to_dict()` gives Python values; `table.to_arrow()`, and `pyarrow.table(table)`, an Arrow table.

    Args:
        columns: by name.
        n_rows: rows of each.

    Attributes:
        columns: by name.
        n_rows: rows of each.
    """

    def __init__(self, columns: Mapping[str, Column], n_rows: int) -> None:
        self.columns, self.n_rows = dict(columns), n_rows
        self.token = next(_TOKENS)  # no other table has it, and columns never change

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, token=next(_TOKENS))

    def __getitem__(self, name: str) -> Column:
        if name not in self.columns:
            raise checks.unknown("attribute", name, self.columns)
        return self.columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __repr__(self) -> str:
        kinds = ", ".join(f"{name}: {column.kind}" for name, column in self.columns.items())
        return f"Attributes({self.n_rows} rows; {kinds})"

    @property
    def schema(self) -> Schema:
        """Kinds of the columns."""
        return Schema({name: Field(column.kind) for name, column in self.columns.items()})  # type: ignore[arg-type]

    def take(self, rows: np.ndarray) -> Attributes:
        """Make a table of other rows.

        Args:
            rows: (m,) their numbers, in order; -1 stands for a row without any attributes.

        Returns:
            The table of m rows.
        """
        return Attributes({name: column.take(rows) for name, column in self.columns.items()}, len(rows))

    def by_text(self, name: str | None) -> Attributes:
        """Make a table in which the rows of one column of texts are kept by text, too.

        Args:
            name: of the column; nothing changes for None, and where there is no such column.

        Returns:
            The table.
        """
        column = None if name is None else self.columns.get(name)
        if not isinstance(column, Scalars) or column.grouped:
            return self
        return Attributes({**self.columns, str(name): column.by_text()}, self.n_rows)

    def only(self, names: Sequence[str] | None) -> Attributes:
        """Make a table of some columns.

        Args:
            names: of the columns, in order; None: all.

        Returns:
            The table.

        Raises:
            UnknownKeyError: a column that is not there.
        """
        if names is None:
            return self
        return Attributes({name: self[name] for name in names}, self.n_rows)

    def to_dict(self) -> dict[str, list[Any]]:
        """Give Python values of each column, None where a row has none.

        Returns:
            bool, int, float, str, datetime (UTC) or list of str by column.
        """
        return {name: column.objects() for name, column in self.columns.items()}

    def to_arrow(self) -> pyarrow.Table:
        """The columns as an Arrow table.

        Returns:
            A pyarrow.Table, with dictionaries decoded.

        Raises:
            OptionalDependencyError: pyarrow is not installed.
        """
        arrow = errors.require("pyarrow", extra="parquet", why="to_arrow()")
        kinds = {
            "bool": arrow.bool_(),
            "int64": arrow.int64(),
            "float64": arrow.float64(),
            "timestamp": arrow.timestamp("us", tz="UTC"),
            "text": arrow.string(),
            "texts": arrow.list_(arrow.string()),
        }
        columns = {
            name: arrow.array(column.objects(), type=kinds[column.kind])
            for name, column in self.columns.items()
        }
        return arrow.table(columns)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    # ---- storage ----

    def arrays(self) -> dict[str, np.ndarray]:
        """Give all arrays of the columns.

        Returns:
            Arrays by the names that files have: attr.COLUMN.PART.
        """
        return {
            array_name(name, part): array
            for name, column in self.columns.items()
            for part, array in column.parts().items()
        }

    @classmethod
    def of_arrays(
        cls, schema: Mapping[str, Field], arrays: Mapping[str, np.ndarray], n_rows: int
    ) -> Attributes:
        """Make a table of arrays that were stored.

        Args:
            schema: kinds of the columns; those without arrays are left out.
            arrays: by name, as `arrays` gave them, of the dtypes and shapes of `columns.part_shapes`.
            n_rows: rows of each column.

        Returns:
            The table.
        """
        columns = {}
        for name, field in schema.items():
            prefix = array_name(name, "")
            parts = {key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)}
            if parts:
                columns[name] = column_of_parts(field.kind, parts)
        return cls(columns, n_rows)

    def faults(self) -> Iterator[tuple[str, str]]:
        """Find columns whose values are wrong, as those of a damaged file.

        Returns:
            Name and fault of each.
        """
        for name, column in self.columns.items():
            fault = column.fault()
            if fault is not None:
                yield name, fault


def array_name(column: str, part: str) -> str:
    """Name of one array of a column."""
    return f"{PREFIX}{file_part(column)}.{part}"


def joined_tables(tables: Sequence[Attributes], schema: Mapping[str, Field]) -> Attributes:
    """Tables one behind the other; rows whose table lacks a column have no value in it. Columns that all lack
    stay away.
    """
    n_rows = sum(table.n_rows for table in tables)
    columns: dict[str, Column] = {}
    for name, field in schema.items():
        if any(name in table for table in tables):
            parts = [
                table[name] if name in table else empty_column(field.kind, table.n_rows) for table in tables
            ]
            columns[name] = joined(parts)
    tenant = next((name for name, field in schema.items() if field.tenant), None)
    return Attributes(columns, n_rows).by_text(tenant)
