"""Vectors from a Parquet file: a list or fixed-size-list column, with a column of ids beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp import errors
from cluscomp.arrays import narrowed
from cluscomp.errors import DimensionError, DTypeError, EmptyInputError, MalformedFileError
from cluscomp.inputs.columns import Columns, check_columns
from cluscomp.inputs.parquet import iter_parquet_batches, open_parquet
from cluscomp.inputs.rowfile import handed_out_dtype
from cluscomp.inputs.sources import (
    Ids,
    check_block_rows,
    check_ids,
    check_range,
    check_rows,
    rechunk,
)

_VECTOR_NAMES = ("embedding", "embeddings", "vector", "vectors", "emb")
_ID_NAMES = ("id", "_id", "docid", "doc_id", "docno", "ids")
_BATCH_ROWS = 4096


class ParquetVectors:
    """VectorSource over one Parquet file. Raises MalformedFileError, DimensionError, DTypeError,
    EmptyInputError.

    columns: names under "vectors" and "id". Without them the column of vectors is the one named "embedding",
    "embeddings", "vector" or "vectors", else the only list column, and ids come from a column "id", "_id",
    "docid" or the like: int64 from integers, str from strings. id_column: its name, or None. Reading starts
    at row groups, so `take` reads every group that holds a wanted row.
    """

    def __init__(self, path: Path, columns: Columns | None = None) -> None:
        self.path = path
        named = check_columns(columns, ("vectors", "id"))
        self._file = open_parquet(path, why=f"reading the vectors of {path.name}")
        for name in named.values():
            _require_column(self._file.schema_arrow, path, name)
        self._column = named.get("vectors") or _vector_column(self._file.schema_arrow, path)
        self.id_column = named.get("id") or _id_column(self._file.schema_arrow)
        meta = self._file.metadata
        if meta.num_rows == 0:
            raise EmptyInputError(f"{path} holds 0 rows, at least 1 is needed")
        self.n = int(meta.num_rows)
        sizes = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.dim, self.dtype = self._first_row()
        self.ids: Ids | None = self._read_ids()

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """See VectorSource."""
        return rechunk(self._rows(0, self.n, check_block_rows(rows)), rows)

    def read(self, start: int, stop: int) -> np.ndarray:
        """See VectorSource."""
        check_range(start, stop, self.n)
        out = np.empty((stop - start, self.dim), self.dtype)
        done = 0
        for block in self._rows(start, stop, _BATCH_ROWS):
            out[done : done + len(block)] = block
            done += len(block)
        return out

    def take(self, rows: np.ndarray) -> np.ndarray:
        """See VectorSource."""
        numbers = check_rows(rows, self.n)
        out = np.empty((len(numbers), self.dim), self.dtype)
        cuts = np.searchsorted(numbers, self._starts)
        for begin, end in pairwise(cuts.tolist()):
            if begin < end:
                self._take_near(numbers[begin:end], out[begin:end])
        return out

    def _take_near(self, numbers: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` with the rows `numbers`, all of one row group."""
        position = int(numbers[0])
        for block in self._rows(position, int(numbers[-1]) + 1, _BATCH_ROWS):
            begin, end = np.searchsorted(numbers, [position, position + len(block)])
            out[begin:end] = block[numbers[begin:end] - position]
            position += len(block)

    def _rows(self, start: int, stop: int, batch_rows: int) -> Iterator[np.ndarray]:
        """Blocks that cover rows start to stop in order."""
        if start == stop:
            return
        group = int(np.searchsorted(self._starts, start, side="right")) - 1
        groups = range(group, len(self._starts) - 1)
        position = int(self._starts[group])
        for batch in self._batches(batch_rows, [self._column], groups):
            lo, hi = max(start - position, 0), min(stop - position, batch.num_rows)
            if lo < hi:
                yield self._matrix(batch.column(0).slice(lo, hi - lo), position + lo)
            position += batch.num_rows
            if position >= stop:
                return

    def _batches(
        self, rows: int, columns: Sequence[str], groups: Sequence[int] | None = None
    ) -> Iterator[Any]:
        return iter_parquet_batches(self._file, self.path, rows=rows, columns=columns, row_groups=groups)

    def _matrix(self, lists: Any, first_row: int) -> np.ndarray:
        """(rows, dim) array from a column of lists. Raises MalformedFileError for nulls, DimensionError."""
        if lists.null_count or lists.flatten().null_count:
            self._refuse_nulls(lists, first_row)
        lengths = _list_lengths(lists)
        wrong = np.flatnonzero(lengths != self.dim)
        if wrong.size:
            row = int(wrong[0])
            raise DimensionError(
                f"{self.path}: row {first_row + row} has dim {lengths[row]}, row 0 has dim {self.dim}; "
                "all vectors of a file need the same dim"
            )
        values = lists.flatten().to_numpy(zero_copy_only=False)
        rows = values.reshape(len(lists), self.dim)
        if self.dtype == np.float16:
            return np.ascontiguousarray(rows, dtype=np.float16)
        ids = None if self.ids is None else self.ids[first_row : first_row + len(rows)]
        return narrowed(rows, name=str(self.path), ids=ids, first_row=first_row)

    def _refuse_nulls(self, lists: Any, first_row: int) -> None:
        values = [i for i, row in enumerate(lists.to_pylist()) if row is None or None in row]
        what = "is null" if lists[values[0]].as_py() is None else "holds a null"
        raise MalformedFileError(
            f"{self.path}: column {self._column!r} {what} in row {first_row + values[0]}; drop that row"
        )

    def _first_row(self) -> tuple[int, np.dtype[Any]]:
        batch = next(self._batches(1, [self._column]))
        lists = batch.column(0)
        if not _is_number_list(lists.type, self.path):
            raise DTypeError(
                f"{self.path}: column {self._column!r} has type {lists.type}, but lists of numbers are needed"
            )
        if lists.null_count:
            self._refuse_nulls(lists, 0)
        dim = int(_list_lengths(lists)[0])
        if dim < 1:
            raise DimensionError(f"{self.path}: row 0 has {dim} dimensions, at least 1 is needed")
        values = lists.flatten().to_numpy(zero_copy_only=False)
        return dim, handed_out_dtype(values.dtype, self.path)

    def _read_ids(self) -> Ids | None:
        name = self.id_column
        if name is None:
            return None
        where = f"{self.path}, column {name!r} (its ids)"
        kind = self._file.schema_arrow.field(name).type
        if not _is_id_type(kind, self.path):
            raise DTypeError(f"{where} has type {kind}, integers or strings are needed")
        ids: list[Any] = []
        for batch in self._batches(1 << 16, [name]):
            ids += batch.column(0).to_pylist()
        if None in ids:
            raise MalformedFileError(f"{where} is null in row {ids.index(None)}; every row needs its id")
        return check_ids(ids, self.n, where)


def _require_column(schema: Any, path: Path, name: str) -> None:
    if name not in schema.names:
        raise MalformedFileError(f"{path} has no column {name!r}; it has: {', '.join(schema.names)}")


def _id_column(schema: Any) -> str | None:
    return next((name for name in _ID_NAMES if name in schema.names), None)


def _is_id_type(kind: Any, path: Path) -> bool:
    """Whether values are integers or strings, stored as such, as views, or by number (dictionaries)."""
    types = errors.require("pyarrow.types", extra="parquet", why=f"reading {path.name}")
    if types.is_dictionary(kind):
        kind = kind.value_type
    is_view = getattr(types, "is_string_view", lambda _: False)  # pyarrow 16 and newer
    return bool(
        types.is_integer(kind) or types.is_string(kind) or types.is_large_string(kind) or is_view(kind)
    )


def _is_number_list(kind: Any, path: Path) -> bool:
    types = errors.require("pyarrow.types", extra="parquet", why=f"reading {path.name}")
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(is_list and (types.is_floating(kind.value_type) or types.is_integer(kind.value_type)))


def _vector_column(schema: Any, path: Path) -> str:
    lists = [field.name for field in schema if _is_number_list(field.type, path)]
    named = [name for name in _VECTOR_NAMES if name in lists]
    if named:
        return named[0]
    if len(lists) == 1:
        return str(lists[0])
    raise MalformedFileError(
        f"{path} has {len(lists)} columns of number lists {lists} among {schema.names}; name the column of "
        "vectors 'embedding', or say which it is: columns={'vectors': 'NAME'}"
    )


def _list_lengths(lists: Any) -> np.ndarray:
    compute = errors.require("pyarrow.compute", extra="parquet", why="reading vectors from Parquet")
    return np.asarray(compute.list_value_length(lists))
