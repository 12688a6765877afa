"""Attributes of the rows of an index: given with them, changed later, read back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cluscomp.array_forms import id_values
from cluscomp.attributes import Attributes, Schema, make_attributes
from cluscomp.attributes.columns import Column, empty_column, joined
from cluscomp.attributes.table import joined_tables
from cluscomp.errors import InputError
from cluscomp.indexes.filters.allowed import table_of
from cluscomp.indexes.filters.filterable import UNSAID, Filterable
from cluscomp.indexes.segments.given import given_texts
from cluscomp.indexes.segments.id_lookup import find_all, live_matches, live_rows, require_kind
from cluscomp.indexes.segments.ids import IdColumn, make_ids
from cluscomp.indexes.segments.texts import RowTexts


class Described(NamedTuple):
    """The table of new rows, and the schema with its columns; both None where nothing was said. texts: titles
    and texts of the rows, or None.
    """

    table: Attributes | None
    schema: Schema | None
    texts: RowTexts | None = None


NOTHING_NEW = Described(None, None)


class Attributed(Filterable):
    """Base of `StoredIndex`: its attributes, and the lock of changes."""

    _lock: Any
    _segments: tuple[Any, ...]

    def declare_attributes(self, columns: Any) -> None:
        """Say which attributes rows may have, before any row has them.

        It is needed for columns of timestamps that come as texts, and for a tenant column; others are known
        by the first add that has them.

        Args:
            columns: {name: kind}, the kinds being "bool", "int64", "float64", "timestamp", "text" and "texts"
                (lists of texts), or Field("text", tenant=True): then each search has to say whose rows it
                wants.

        Raises:
            UsageError: a name or a kind that cannot be, or two tenant columns.
            InputError: a column of this name is there, and of another kind.
        """
        declared = Schema.of(columns)
        with self._lock:
            for name, field in declared.items():
                if name in self._schema and self._schema[name] != field:
                    raise InputError(
                        f"the attribute {name!r} is declared as {field}, but is {self._schema[name]} already"
                    )
            self._schema = Schema.of({**self._schema, **declared})

    @property
    def attribute_schema(self) -> Schema:
        """Columns of attributes by name, with their kinds."""
        return self._schema

    def attributes(self, columns: Sequence[str] | None = None, *, tenant: Any = UNSAID) -> Attributes:
        """Return the attributes of all rows that can be found.

        Args:
            columns: names; None: all.
            tenant: whose rows, where the index has a tenant column; None: those of all.

        Returns:
            One row for each of `index.ids`, in their order, without those of other tenants: `to_dict()` has
            Python values, `to_arrow()` an Arrow table.

        Raises:
            UnknownKeyError: a column that is not there.
            UsageError: no tenant was said.
        """
        segments, schema = self.segments_of(tenant), self._schema
        tables = [table_of(segment).take(live_rows(segment)) for segment in segments]
        whole = joined_tables(tables, schema)
        for name, field in schema.items():
            if name not in whole:
                whole.columns[name] = empty_column(field.kind, whole.n_rows)
        return whole.only(list(schema) if columns is None else columns)

    def set_attributes(self, ids: Any, attributes: Any, *, new_attributes: bool = False) -> None:
        """Change attributes of rows: those of the columns that are passed, None included.

        Vectors and codes stay as they are, and files of them too at the next save.

        Args:
            ids: of rows, different from each other.
            attributes: one row for each id, in any form of `add`.
            new_attributes: whether there may be columns that the index does not have yet.

        Raises:
            InputError: an id is not in the index, a value does not fit its column, or a column is new.
            DuplicateIdError: an id is given twice.
            DTypeError, DimensionError, UsageError: as `add`.
        """
        values = id_values(ids)
        if not len(values):
            return
        with self._lock:
            wanted = make_ids(values, len(values))
            require_kind(self._id_kind, wanted)
            find_all(self._segments, wanted)
            described = self._described(attributes, wanted, new_attributes)
            if described.schema is not None and described.table is not None:
                table, self._schema = described.table, described.schema
                self._segments = tuple(_with_values(segment, wanted, table) for segment in self._segments)

    def _described(self, attributes: Any, ids: IdColumn, new: bool, documents: Any = None) -> Described:
        """Attributes and texts of new rows. Raises InputError, DTypeError, DimensionError, UsageError."""
        texts = given_texts(documents, ids)
        if attributes is None:
            return Described(None, None, texts)
        table = make_attributes(attributes, len(ids), kinds=self._schema.kinds, ids=_Names(ids))
        schema = self._schema.joined(table.schema, new=new or not have_attributes(self._segments))
        return Described(table.by_text(schema.tenant), schema, texts)


def have_attributes(segments: Sequence[Any]) -> bool:
    """Whether any row may have some. The first that do bring columns of their own beside those declared."""
    return any(segment.attributes is not None for segment in segments)


class _Names(Sequence[Any]):
    """Ids, one read at a time."""

    def __init__(self, ids: IdColumn) -> None:
        self._ids = ids

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, row: Any) -> Any:
        return self._ids.take(np.array([row])).tolist()[0]


def _with_values(segment: Any, wanted: IdColumn, table: Attributes) -> Any:
    """A segment with the values of a table for some of its rows; the same where none of the ids is in it."""
    rows = live_matches(segment, wanted)
    given = np.flatnonzero(rows >= 0)
    if not given.size:
        return segment
    source = np.arange(segment.n_rows)
    source[rows[given]] = segment.n_rows + given
    old = table_of(segment)
    columns: dict[str, Column] = dict(old.columns)
    for name, column in table.columns.items():
        before = old[name] if name in old else empty_column(column.kind, segment.n_rows)
        columns[name] = joined([before, column]).take(source)
    return segment.described(Attributes(columns, segment.n_rows))
