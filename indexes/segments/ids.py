"""Permanent ids of rows: int64 or text, one column a segment.

Three forms: `RangeIds` (consecutive integers, nothing stored), `IntIds` (int64 array) and `TextIds` (UTF-8
bytes end to end, with offsets). All can be memory-mapped. -1 is no id: it stands for a missing hit.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Protocol

import numpy as np

from cluscomp import native
from cluscomp.array_forms import id_values
from cluscomp.errors import CorruptIndexError, DimensionError, DTypeError, DuplicateIdError, InputError
from cluscomp.indexes.segments.id_keys import IdKeys, equal_runs, key_specs
from cluscomp.indexes.segments.mapped import read_in_order
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.portable import Portable

INT, TEXT = "int64", "str"
MAX_ID = 2**63 - 1


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

    def key_specs(self) -> dict[str, ArraySpec]:
        """What is stored to find ids by, besides: name of the part -> dtype and shape."""

    @property
    def keys(self) -> IdKeys:
        """What is stored to find ids by."""

    def fault(self) -> tuple[str, str] | None:
        """Array and what is wrong with it, or None."""


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

    def key_specs(self) -> dict[str, ArraySpec]:
        return {}

    @property
    def keys(self) -> IdKeys:
        return IdKeys.of(np.arange(self.start, self.start + self.n))

    def fault(self) -> None:
        return None


class IntIds(Portable):
    """An int64 array of ids. keys: as a folder holds them; None: made when first used, search never needs
    them.
    """

    kind = INT
    caches = ("_keys",)

    def __init__(self, values: np.ndarray, keys: IdKeys | None = None) -> None:
        self.values = values
        self._keys = keys

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def take(self, rows: np.ndarray) -> np.ndarray:
        with read_in_order(self.values) if _are_most(rows, self) else nullcontext():
            return np.asarray(self.values[rows])

    def find(self, wanted: IdColumn) -> np.ndarray:
        ids = wanted.take(np.arange(len(wanted)))
        found = self.keys.slots(ids)
        there = np.flatnonzero(found >= 0)
        rows = self.keys.rows_at(found[there])
        if (self.values[rows] != ids[there]).any():
            raise CorruptIndexError(
                "a key of an id leads to a row that has another id: the ids of the index are damaged; "
                "restore a copy or rebuild it"
            )
        found[there] = rows
        return found

    def first_duplicate(self) -> Any:
        ordered = self.keys.ordered
        same = np.flatnonzero(ordered[1:] == ordered[:-1])
        return int(ordered[same[0]]) if same.size else None

    def arrays(self) -> dict[str, np.ndarray]:
        return {"ids": self.values}

    def key_specs(self) -> dict[str, ArraySpec]:
        return key_specs("<i8", len(self))

    @property
    def keys(self) -> IdKeys:
        """The ids in ascending order, and their rows."""
        if self._keys is None:
            self._keys = IdKeys.of(np.asarray(self.values))
        return self._keys

    def fault(self) -> tuple[str, str] | None:
        """Array and fault where the keys are not those of the ids, or None."""
        return self.keys.fault(np.asarray(self.values))


class TextIds(Portable):
    """UTF-8 texts: row i is blob[offsets[i]:offsets[i + 1]]. blob: uint8, offsets: (n + 1,) int64. keys: as a
    folder holds them; None: made when first used, search never needs them.
    """

    kind = TEXT
    caches = ("_keys",)

    def __init__(self, blob: np.ndarray, offsets: np.ndarray, keys: IdKeys | None = None) -> None:
        self.blob, self.offsets = blob, offsets
        self._keys = keys

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
        with read_in_order(self.blob, self.offsets):
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
        with read_in_order(*self.arrays().values()) if _are_most(rows, self) else nullcontext():
            out.reshape(-1)[:] = self._texts(rows.reshape(-1))
        return out

    def _texts(self, rows: np.ndarray) -> list[str]:
        """The ids of rows (m,); raises CorruptIndexError as `text` does."""
        starts, stops = self.offsets[rows], self.offsets[rows + 1]
        if not ((starts >= 0) & (starts <= stops) & (stops <= self.blob.shape[0])).all():
            return [self.text(row) for row in rows.tolist()]  # one of them says what is wrong
        data = memoryview(self.blob)
        try:
            return [
                str(data[start:stop], "utf-8")
                for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)
            ]
        except UnicodeDecodeError:
            return [self.text(row) for row in rows.tolist()]

    def find(self, wanted: IdColumn) -> np.ndarray:
        if not isinstance(wanted, TextIds):
            raise DTypeError("integer ids cannot be looked up among text ids")
        hashes = wanted.hashes()
        slots = self.keys.slots(hashes)
        there = np.flatnonzero(slots >= 0)
        rows = self.keys.rows_at(slots[there])
        found = np.full(len(wanted), -1, dtype=np.int64)
        found[there] = rows
        pairs = zip(there.tolist(), self._texts(rows), wanted._texts(there), strict=True)
        for i in [i for i, here, asked in pairs if here != asked]:
            found[i] = self._row_of(wanted.raw(i), hashes[i], int(slots[i]))
        return found

    def _row_of(self, raw: bytes, key: np.uint64, slot: int) -> int:
        """The row of an id whose hash begins at a place of the keys; -1 where others have this hash."""
        while slot < len(self) and self.keys.ordered[slot] == key:
            row = int(self.keys.rows_at(np.array([slot]))[0])
            if self.raw(row) == raw:
                return row
            slot += 1
        return -1

    def first_duplicate(self) -> Any:
        for rows in equal_runs(self.keys.ordered, self.keys.rows):
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
        return self.keys.fault(self.hashes())

    def arrays(self) -> dict[str, np.ndarray]:
        return {"ids_text": self.blob, "ids_offsets": self.offsets}

    def key_specs(self) -> dict[str, ArraySpec]:
        return key_specs("<u8", len(self))

    @property
    def keys(self) -> IdKeys:
        """Hashes of all ids, ascending, and their rows: 12 bytes an id, where a dict would take 150."""
        if self._keys is None:
            self._keys = IdKeys.of(self.hashes())
        return self._keys


def _are_most(rows: np.ndarray, column: IdColumn) -> bool:
    """Whether so many rows are taken that their file had better be read as a whole."""
    return rows.size * 8 > len(column)


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
