"""Columns that grow batch by batch, as files are read: each batch is a dict of columns in any form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cluscomp.attributes.arrow_values import chunk_of_arrow
from cluscomp.attributes.chunks import NAMES, Chunk, Clash, converted
from cluscomp.attributes.columns import Column, Lists, Scalars
from cluscomp.attributes.python_values import chunk_of_values
from cluscomp.attributes.schema import MAX_COLUMNS, checked_name
from cluscomp.attributes.table import Attributes
from cluscomp.attributes.words import sorted_words
from cluscomp.errors import DimensionError, InputError, UsageError


class ColumnBuilder:
    """Chunks of one column.

    kind: the one that it must have, or None, which takes that of the first value; whole numbers that floats
    follow become floats then.
    """

    def __init__(self, kind: str | None, n_before: int) -> None:
        self.kind, self.chunks, self.n_rows = kind, [_missing_chunk(n_before)], n_before
        self.is_free = kind is None
        self.words: dict[str, int] = {}

    def add(self, chunk: Chunk) -> None:
        """Add the rows of a chunk. Raises Clash."""
        if self.kind is None:
            self.kind = chunk.kind
        if self.is_free and self.kind == "int64" and chunk.kind == "float64" and not self._is_whole(chunk):
            self.chunks = [converted(old, "float64") for old in self.chunks]
            self.kind = "float64"
        if self.kind is not None:
            chunk = converted(chunk, self.kind)
        self.chunks.append(self._own_words(chunk))
        self.n_rows += len(chunk)

    def finish(self, n_rows: int) -> Column | None:
        """The column of n_rows rows; None where its kind is not known, since no row has a value."""
        if self.kind is None:
            return None
        chunks = [*self.chunks, _missing_chunk(n_rows - self.n_rows)]
        missing = np.concatenate([chunk.missing for chunk in chunks])
        if self.kind == "texts":
            lengths = [np.zeros(len(c), np.int64) if c.lengths is None else c.lengths for c in chunks]
            numbers = [chunk.values for chunk in chunks if chunk.lengths is not None]
            words, order = sorted_words(list(self.words))
            flat = np.concatenate([np.empty(0, np.int32), *numbers]).astype(np.int64)
            return Lists.of(np.concatenate(lengths), order[flat], words, missing)
        values = np.concatenate([chunk.values for chunk in chunks])
        if self.kind != "text":
            return Scalars.of(self.kind, values, missing)
        words, order = sorted_words(list(self.words))
        numbers_of_rows = order[values.astype(np.int64)] if len(order) else values
        return Scalars.of(self.kind, numbers_of_rows, missing, words)

    def _is_whole(self, chunk: Chunk) -> bool:
        try:
            converted(chunk, "int64")
        except Clash:
            return False
        return True

    def _own_words(self, chunk: Chunk) -> Chunk:
        """The chunk with numbers of the words of the whole column."""
        if chunk.words is None:
            return chunk
        numbers = [self.words.setdefault(word, len(self.words)) for word in chunk.words]
        renumbered = np.array([*numbers, 0], dtype=np.int32)[chunk.values]
        return replace(chunk, values=renumbered, words=None)


class TableBuilder:
    """Batches of rows.

    kinds: kinds of columns that are known already. ids: of the rows, for messages.
    """

    def __init__(self, kinds: Mapping[str, str] | None = None, ids: Sequence[Any] | None = None) -> None:
        self.kinds, self.ids, self.n_rows = dict(kinds or {}), ids, 0
        self.columns: dict[str, ColumnBuilder] = {}

    def add(self, batch: Mapping[str, Any], n_rows: int | None = None) -> None:
        """Add rows by their columns; columns that a batch lacks have no values in it.

        n_rows: how many there are; None: as many as the columns have.

        Raises InputError naming column, row and id; DimensionError, DTypeError, UsageError.
        """
        chunks = {checked_name(name): self._chunk(name, values) for name, values in batch.items()}
        n = next(iter(map(len, chunks.values())), 0) if n_rows is None else n_rows
        for name, chunk in chunks.items():
            if len(chunk) != n:
                whose = "there are" if n_rows is not None else f"{next(iter(chunks))!r} has"
                raise DimensionError(
                    f"the attribute {name!r} has {len(chunk)} rows, but {whose} {n}; pass one value a row"
                )
        for name, chunk in chunks.items():
            self._add(name, chunk)
        self.n_rows += n

    def finish(self) -> Attributes:
        """The table of all rows."""
        finished = {name: builder.finish(self.n_rows) for name, builder in self.columns.items()}
        return Attributes(
            {name: column for name, column in finished.items() if column is not None}, self.n_rows
        )

    def _chunk(self, name: str, values: Any) -> Chunk:
        label = f"the attribute {name!r}"
        try:
            is_arrow = type(values).__module__.split(".")[0] == "pyarrow"
            return chunk_of_arrow(values, label) if is_arrow else chunk_of_values(values, label)
        except Clash as exc:
            raise self._error(name, exc) from exc

    def _add(self, name: str, chunk: Chunk) -> None:
        if name not in self.columns:
            if len(self.columns) >= MAX_COLUMNS:
                raise UsageError(f"there are more than {MAX_COLUMNS} attributes, {name!r} among them")
            self.columns[name] = ColumnBuilder(self.kinds.get(name), self.n_rows)
        builder = self.columns[name]
        if builder.n_rows < self.n_rows:
            builder.add(_missing_chunk(self.n_rows - builder.n_rows))
        try:
            builder.add(chunk)
        except Clash as exc:
            raise self._error(name, exc) from exc

    def _error(self, name: str, clash: Clash) -> InputError:
        row = self.n_rows + clash.row
        who = f" (id {self.ids[row]!r})" if self.ids is not None and row < len(self.ids) else ""
        builder = self.columns.get(name)
        kind = self.kinds.get(name) or (builder.kind if builder is not None else None)
        wanted = f", but the column is one of {kind} and needs {NAMES[kind]}" if kind else ""
        return InputError(f"the attribute {name!r} of row {row}{who} {clash.found}{wanted}")


def _missing_chunk(n: int) -> Chunk:
    return Chunk(None, np.zeros(n, dtype=np.int32), np.ones(n, dtype=bool))
