"""What every reader of vectors offers, and the one for arrays already in memory."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from cluscomp.array_forms import id_values
from cluscomp.arrays import as_rows, to_float32
from cluscomp.errors import DimensionError, DTypeError, DuplicateIdError, EmptyInputError, UsageError

Ids = np.ndarray | list[str]
"""int64 array (n,) or list of n strings."""


class VectorSource(Protocol):
    """A matrix of n row vectors that is read in pieces.

    n, dim: shape. dtype: float32 or float16, of all arrays handed out (other stored types are converted
    block by block). ids: permanent ids of the rows, or None. Rows are not checked for NaN; that is the
    caller's part, who knows the ids.
    """

    n: int
    dim: int
    dtype: np.dtype[Any]
    ids: Ids | None

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """Yield all rows in order, (rows, dim) each but the last; memory: one block."""
        ...

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows start to stop as a new array (stop - start, dim)."""
        ...

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The rows with these numbers (m,), which must ascend, as a new array (m, dim)."""
        ...


class ArraySource:
    """VectorSource over an array: NumPy, torch, nested list, or a memory map (whose pages are given back).

    Raises DimensionError, DTypeError, EmptyInputError; DuplicateIdError for repeated ids.
    """

    def __init__(self, x: Any, ids: Any = None) -> None:
        self._x = (
            x if len(getattr(x, "shape", ())) == 2 else as_rows(x, name="embeddings", check_finite=False)
        )
        self.n, self.dim = int(self._x.shape[0]), int(self._x.shape[1])
        if self.n == 0:
            raise EmptyInputError("embeddings has 0 rows, at least 1 is needed")
        self.dtype = self._convert(self._x[:1]).dtype
        self.ids = None if ids is None else check_ids(ids, self.n, "ids")

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """See VectorSource."""
        for start in range(0, self.n, check_block_rows(rows)):
            yield self.read(start, min(start + rows, self.n))

    def read(self, start: int, stop: int) -> np.ndarray:
        """See VectorSource."""
        check_range(start, stop, self.n)
        return self._convert(self._x[start:stop], start)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """See VectorSource."""
        return self._convert(self._x[check_rows(rows, self.n)])

    def _convert(self, block: Any, first_row: int = 0) -> np.ndarray:
        rows = as_rows(block, name="embeddings", min_rows=0, check_finite=False, first_row=first_row)
        if isinstance(self._x, np.memmap):
            rows = np.array(rows)  # a copy, so that the pages below can go
            release_pages(self._x)
        return to_float32(rows) if rows.dtype == np.uint16 else rows


def check_ids(ids: Any, n: int, where: str) -> Ids:
    """Return ids, in any form of `array_forms.id_values`, as int64 array or list of str, n of them, all
    different.

    Raises DimensionError (both counts), DTypeError, DuplicateIdError; `where` begins the message.
    """
    values = id_values(ids)
    if len(values) != n:
        raise DimensionError(
            f"{where}: there are {len(values)} ids for {n} vectors; one id a vector is needed"
        )
    array = np.asarray(values)
    if array.ndim == 1 and array.dtype.kind in "iu":
        return _check_integer_ids(array, where)
    # one loop over the given sequence: np.asarray turns [1, "a"] into two strings without a word
    strings = [_string_id(item, position, where) for position, item in enumerate(values)]
    _refuse_repeated_strings(strings, where)
    return strings


def check_range(start: int, stop: int, n: int) -> None:
    """Raise UsageError unless 0 <= start <= stop <= n."""
    if not 0 <= start <= stop <= n:
        raise UsageError(f"rows {start} to {stop} are asked for, the source has rows 0 to {n}")


def check_block_rows(rows: int) -> int:
    """Return `rows`. Raises UsageError unless it is positive."""
    if rows < 1:
        raise UsageError(f"a block of {rows} rows is asked for, at least 1 is needed")
    return rows


def check_rows(rows: Any, n: int) -> np.ndarray:
    """Row numbers as int64 array. Raises UsageError unless they ascend within range(n)."""
    numbers = np.asarray(rows, dtype=np.int64)
    if numbers.size and (numbers[0] < 0 or numbers[-1] >= n or np.any(np.diff(numbers) < 0)):
        raise UsageError(f"row numbers must ascend and lie in 0 to {n - 1}; sort them first")
    return numbers


def rechunk(arrays: Iterable[np.ndarray], rows: int) -> Iterator[np.ndarray]:
    """Regroup consecutive row blocks of any height into blocks of `rows` rows (the last may be lower)."""
    pending: list[np.ndarray] = []
    held = 0
    for array in arrays:
        while len(array):
            part = array[: rows - held]
            array = array[len(part) :]
            pending.append(part)
            held += len(part)
            if held == rows:
                yield _joined(pending)
                pending, held = [], 0
    if pending:
        yield _joined(pending)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.ascontiguousarray(parts[0]) if len(parts) == 1 else np.concatenate(parts)


def _check_integer_ids(array: np.ndarray, where: str) -> np.ndarray:
    if array.size and array.dtype.kind == "u" and int(array.max()) > np.iinfo(np.int64).max:
        raise DTypeError(f"{where}: id {array.max()} exceeds the largest int64, {np.iinfo(np.int64).max}")
    array = array.astype(np.int64)
    order = np.argsort(array, kind="stable")
    repeated = np.flatnonzero(array[order][1:] == array[order][:-1])
    if repeated.size:
        first, second = order[repeated[0]], order[repeated[0] + 1]
        raise DuplicateIdError(
            f"{where}: id {array[first]} stands at positions {first} and {second}; ids must be unique"
        )
    return array


def _string_id(item: Any, position: int, where: str) -> str:
    if isinstance(item, str):
        return str(item)
    raise DTypeError(
        f"{where}: the id at position {position} is a {type(item).__name__}; ids must be all integers or "
        "all strings"
    )


def _refuse_repeated_strings(ids: Sequence[str], where: str) -> None:
    if len(set(ids)) == len(ids):
        return
    first: dict[str, int] = {}
    for position, item in enumerate(ids):
        if first.setdefault(item, position) != position:
            raise DuplicateIdError(
                f"{where}: id {item!r} stands at positions {first[item]} and {position}; ids must be unique"
            )


def release_pages(x: np.ndarray) -> None:
    """Give the pages of a shared mapping back; they count as resident memory else, up to the whole file.

    Other arrays are left alone.
    """
    mapping = getattr(x, "_mmap", None)
    if mapping is not None and getattr(x, "mode", "c") != "c" and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)
