"""Permanent ids of rows: int64 or text, one column a segment.

Three forms: `RangeIds` (consecutive integers, nothing stored), `IntIds` (int64 array) and `TextIds` (UTF-8
bytes end to end, with offsets). All can be memory-mapped. -1 is no id: it stands for a missing hit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from cluscomp import native
from cluscomp.array_forms import id_values
from cluscomp.arrays import iter_blocks
from cluscomp.errors import CorruptIndexError, DimensionError, DTypeError, DuplicateIdError, InputError
from cluscomp.portable import Portable

INT, TEXT = "int64", "str"
MAX_ID = 2**63 - 1
_KEYS_PER_BLOCK = 1 << 17  # looked up by one NumPy call


class IdColumn(Protocol):
    """Ids of the rows 0..n-1. kind: INT or TEXT."""

    kind: str

    def __len__(self) -> int: ...

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Ids of the given rows: int64, or object array of str."""

    def find(self, wanted: IdColumn) -> np.ndarray:
        """Row (len(wanted),) int64 of each wanted id, -1 where it is not here; ids must be of one kind."""

    def first_duplicate(self) -> Any:
        """An id that occurs twice, or None."""

    def arrays(self) -> dict[str, np.ndarray]:
        """What is stored: name of the part -> array."""


class RangeIds:
    """start, start + 1, ..., start + n - 1."""

    kind = INT

    def __init__(self, start: int, n: int) -> None:
        self.start, self.n = start, n

    def __len__(self) -> int:
        return self.n

    def take(self, rows: np.ndarray) -> np.ndarray:
        return rows.astype(np.int64) + self.start

    def find(self, wanted: IdColumn) -> np.ndarray:
        rows = wanted.take(np.arange(len(wanted))) - self.start
        return np.where((rows >= 0) & (rows < self.n), rows, -1)

    def first_duplicate(self) -> None:
        return None

    def arrays(self) -> dict[str, np.ndarray]:
        return {}


class IntIds(Portable):
    """An int64 array of ids."""

    kind = INT
    caches = ("_order",)

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self._order: np.ndarray | None = None

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def take(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.values[rows])

    def find(self, wanted: IdColumn) -> np.ndarray:
        keys = wanted.take(np.arange(len(wanted)))
        order = self._sorted_rows()
        found = np.empty(len(keys), dtype=np.int64)
        for block in iter_blocks(len(keys), _KEYS_PER_BLOCK):
            slots = np.searchsorted(self.values, keys[block], sorter=order)
            rows = order[np.minimum(slots, len(self) - 1)]
            found[block] = np.where(self.values[rows] == keys[block], rows, -1)
        return found

    def first_duplicate(self) -> Any:
        ordered = self.values[self._sorted_rows()]
        same = np.flatnonzero(ordered[1:] == ordered[:-1])
        return int(ordered[same[0]]) if same.size else None

    def arrays(self) -> dict[str, np.ndarray]:
        return {"ids": self.values}

    def _sorted_rows(self) -> np.ndarray:
        if self._order is None:  # made when first used: search never needs it
            self._order = np.argsort(self.values, kind="stable")
        return self._order


class TextIds(Portable):
    """UTF-8 texts: row i is blob[offsets[i]:offsets[i + 1]]. blob: uint8, offsets: (n + 1,) int64."""

    kind = TEXT
    caches = ("_hashes",)

    def __init__(self, blob: np.ndarray, offsets: np.ndarray) -> None:
        self.blob, self.offsets = blob, offsets
        self._hashes: tuple[np.ndarray, np.ndarray] | None = None

    @classmethod
    def from_texts(cls, texts: Sequence[str]) -> TextIds:
        """Raises InputError for a text that is not valid Unicode."""
        encoded = [_utf8(text) for text in texts]
        offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
        np.cumsum([len(item) for item in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)

    def __len__(self) -> int:
        return int(self.offsets.shape[0]) - 1

    def hashes(self) -> np.ndarray:
        """XXH64 (n,) uint64 of all ids, the same in every process; raises CorruptIndexError as `raw` does."""
        starts, stops = self.offsets[:-1], self.offsets[1:]
        wrong = (starts < 0) | (starts > stops) | (stops > self.blob.shape[0])
        if wrong.any():
            self.raw(int(np.argmax(wrong)))
        return native.hash_texts(self.blob, self.offsets)

    def raw(self, row: int) -> bytes:
        """UTF-8 bytes of one id; raises CorruptIndexError where offsets read from a file are inconsistent."""
        start, stop = int(self.offsets[row]), int(self.offsets[row + 1])
        if not 0 <= start <= stop <= self.blob.shape[0]:
            raise CorruptIndexError(
                f"id {row} lies at bytes {start} to {stop} of {self.blob.shape[0]}: the ids of the "
                "index are damaged"
            )
        return self.blob[start:stop].tobytes()

    def text(self, row: int) -> str:
        """One id."""
        try:
            return self.raw(row).decode("utf-8")
        except UnicodeDecodeError as exc:
            raise CorruptIndexError(
                f"id {row} is not UTF-8 ({exc}): the ids of the index are damaged"
            ) from exc

    def take(self, rows: np.ndarray) -> np.ndarray:
        out = np.empty(rows.shape, dtype=object)
        for i, row in enumerate(rows.flat):
            out.flat[i] = self.text(int(row))
        return out

    def find(self, wanted: IdColumn) -> np.ndarray:
        if not isinstance(wanted, TextIds):
            raise DTypeError("integer ids cannot be looked up among text ids")
        ordered, order = self._sorted_hashes()
        found = np.full(len(wanted), -1, dtype=np.int64)
        hashes = wanted.hashes()
        slots = np.searchsorted(ordered, hashes)
        if not len(self):
            return found
        for i in np.flatnonzero(ordered[np.minimum(slots, len(self) - 1)] == hashes).tolist():
            raw, slot = wanted.raw(i), int(slots[i])
            while slot < len(self) and ordered[slot] == hashes[i]:
                if self.raw(int(order[slot])) == raw:
                    found[i] = order[slot]
                    break
                slot += 1
        return found

    def first_duplicate(self) -> Any:
        ordered, order = self._sorted_hashes()
        for rows in equal_runs(ordered, order):
            seen: set[bytes] = set()
            for row in rows.tolist():
                if self.raw(row) in seen:
                    return self.text(row)
                seen.add(self.raw(row))
        return None

    def fault(self) -> tuple[str, str] | None:
        """Array and fault where these are no texts, or None."""
        lengths = np.diff(self.offsets)
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.blob) or (lengths < 0).any():
            return "ids_offsets", (
                f"offsets run from {self.offsets[0]} to {self.offsets[-1]}, but must rise from 0 to "
                f"{len(self.blob)}"
            )
        try:
            for row in range(len(self)):
                self.text(row)
        except CorruptIndexError as exc:
            return "ids_text", str(exc)
        return None

    def arrays(self) -> dict[str, np.ndarray]:
        return {"ids_text": self.blob, "ids_offsets": self.offsets}

    def _sorted_hashes(self) -> tuple[np.ndarray, np.ndarray]:
        """Hashes of all ids, ascending, and their rows: 16 bytes an id, where a dict would take 150."""
        if self._hashes is None:
            hashes = self.hashes()
            order = np.argsort(hashes, kind="stable")
            self._hashes = hashes[order], order
        return self._hashes


def equal_runs(ordered: np.ndarray, values: np.ndarray) -> Iterator[np.ndarray]:
    """Values that stand at equal neighbours of an ascending array, run by run."""
    same = np.flatnonzero(ordered[1:] == ordered[:-1])
    for run in np.split(same, np.flatnonzero(np.diff(same) > 1) + 1):
        if run.size:
            yield values[run[0] : run[-1] + 2]


def make_ids(ids: Any, n: int) -> IdColumn:
    """Ids given by a caller for n rows, as a column.

    ids: n integers or n texts, in any form of `array_forms.id_values`. Consecutive integers become RangeIds.
    Raises DimensionError (count), DTypeError (kind), InputError (-1, beyond int64), DuplicateIdError.
    """
    values = id_values(ids)
    if len(values) != n:
        raise DimensionError(f"there are {n} rows, but {len(values)} ids; pass one id a row")
    column = _column(values)
    duplicate = column.first_duplicate()
    if duplicate is not None:
        raise DuplicateIdError(f"id {duplicate!r} occurs twice among the ids given; ids must be different")
    return column


def _column(values: Any) -> IdColumn:
    if isinstance(values, list):
        if values and all(isinstance(value, str) for value in values):
            return TextIds.from_texts(values)
        values = _integers(values)
    if values.dtype.kind not in "iu":
        raise DTypeError(f"ids have dtype {values.dtype}, but integers or texts are needed")
    return int_column(_checked_int64(values))


def int_column(values: np.ndarray) -> IdColumn:
    """int64 ids as RangeIds where they are consecutive, else as IntIds."""
    n = len(values)
    if n and int(values[-1]) - int(values[0]) == n - 1 and bool((np.diff(values) == 1).all()):
        return RangeIds(int(values[0]), n)
    return IntIds(values)


def _integers(values: list[Any]) -> np.ndarray:
    for row, value in enumerate(values):
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
            raise DTypeError(
                f"ids must be all integers or all texts, but id {row} is {value!r} ({type(value).__name__}) "
                f"and the first is {values[0]!r} ({type(values[0]).__name__})"
            )
        if not -MAX_ID - 1 <= value <= MAX_ID:
            raise InputError(f"id {value} of row {row} does not fit 64 bits")
    return np.array(values, dtype=np.int64)


def _checked_int64(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint64 and len(values) and int(values.max()) > MAX_ID:
        raise InputError(f"id {int(values.max())} does not fit int64 (largest {MAX_ID})")
    array = np.array(values, dtype=np.int64)  # a copy: ids are permanent, the caller's array is not
    missing = np.flatnonzero(array == -1)
    if missing.size:
        raise InputError(f"id -1 of row {missing[0]} is reserved for missing hits; choose another id")
    return array


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise InputError(f"id {text!r} is not valid Unicode: {exc}") from exc
