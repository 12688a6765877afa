"""One attribute of all rows of a table: numbers or words by row, or lists of words; which rows have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from cluscomp import bits
from cluscomp.attributes import times
from cluscomp.attributes.runs import ROWS, STARTS, Runs
from cluscomp.attributes.words import Words, joined_words, used_words
from cluscomp.errors import CorruptIndexError

BLOCK = 1 << 16
"""Rows whose smallest and largest value are kept, so that conditions can skip them."""
STORED: dict[str, np.dtype[Any]] = {
    "bool": np.dtype("|u1"),
    "int64": np.dtype("<i8"),
    "float64": np.dtype("<f8"),
    "timestamp": np.dtype("<i8"),
    "text": np.dtype("<i4"),
}
"""Dtype of the values of scalar columns; timestamps are microseconds since 1970 UTC, texts are words."""


@dataclass(frozen=True)
class Scalars:
    """A column of one value a row.

    kind: one of `STORED`. values: (n,), 0 where there is none. nulls: packed bits of the rows without a
    value, or None where all have one. low, high: (ceil(n / BLOCK),) of the values; low > high where a block
    has none. words: the dictionary of a text column. grouped: whether rows are kept by text, too (`runs`).
    stored_runs: those that a folder holds.
    """

    kind: str
    values: np.ndarray
    nulls: np.ndarray | None
    low: np.ndarray
    high: np.ndarray
    words: Words | None = None
    grouped: bool = False
    stored_runs: Runs | None = None

    @classmethod
    def of(
        cls,
        kind: str,
        values: np.ndarray,
        missing: np.ndarray,
        words: Words | None = None,
        *,
        grouped: bool = False,
    ) -> Scalars:
        """A column of values of which some are missing: (n,) bool."""
        values = values.astype(STORED[kind])
        values[missing] = 0
        low, high = _bounds(values, missing)
        nulls = bits.pack_mask(missing) if missing.any() else None
        return cls(kind, values, nulls, low, high, words, grouped)

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def runs(self) -> Runs | None:
        """Rows by text; None unless the column is grouped."""
        if self.words is None or not self.grouped:
            return None
        return self.stored_runs or Runs.of(
            np.asarray(self.values), _all_missing(self.nulls, len(self)), len(self.words)
        )

    def rows_with(self, text: str, most: int) -> np.ndarray | None:
        """Rows (m,) int64, ascending, that have this text. None unless the column is grouped, and for more
        than `most`: many rows are found sooner by a look at all. Raises CorruptIndexError.
        """
        if self.words is None or self.runs is None:
            return None
        number = self.words.find(text)
        if number < 0:
            return np.empty(0, dtype=np.int64)
        return self.runs.rows_of(number, self.values) if self.runs.count(number) <= most else None

    def by_text(self) -> Scalars:
        """The same column of texts, grouped."""
        return self if self.grouped else replace(self, grouped=True)

    def missing(self, start: int, stop: int) -> np.ndarray | None:
        """Mask of the rows without a value; None where there is none. start: a multiple of 8."""
        return _missing(self.nulls, start, stop)

    def parts(self) -> dict[str, np.ndarray]:
        """What is stored: name -> array."""
        parts = {"values": self.values, "low": self.low, "high": self.high, **_stored_words(self.words)}
        if self.runs is not None:
            parts |= self.runs.parts()
        return parts if self.nulls is None else {**parts, "nulls": self.nulls}

    def take(self, rows: np.ndarray) -> Scalars:
        """The column of other rows; -1 stands for one without a value."""
        there = np.maximum(rows, 0)
        missing = (rows < 0) | _at(self.nulls, there)
        values = self.values[there] if len(self) else np.zeros(len(rows), dtype=self.values.dtype)
        if self.words is None:
            return Scalars.of(self.kind, values, missing)
        numbers = np.zeros(len(rows), dtype=np.int32)
        words, numbers[~missing] = used_words(self.words, values[~missing])
        return Scalars.of(self.kind, numbers, missing, words, grouped=self.grouped)

    def objects(self) -> list[Any]:
        """Python values: bool, int, float, datetime (UTC) or str; None where there is none."""
        missing = _all_missing(self.nulls, len(self))
        values = np.asarray(self.values)
        if self.kind == "timestamp":
            found = [times.datetime_of(value) for value in values.tolist()]
        elif self.words is not None:
            words, numbers = used_words(self.words, values[~missing])
            texts = iter([words.text(number) for number in numbers.tolist()])
            return [None if gone else next(texts) for gone in missing.tolist()]
        else:
            found = (values.astype(bool) if self.kind == "bool" else values).tolist()
        return [None if gone else value for value, gone in zip(found, missing.tolist(), strict=True)]

    def fault(self) -> str | None:
        """What is wrong with values that a folder holds, or None."""
        missing = _all_missing(self.nulls, len(self))
        low, high = _bounds(np.asarray(self.values), missing)
        if not (np.array_equal(low, self.low) and np.array_equal(high, self.high)):
            return "bounds of blocks are not those of the values"
        if self.kind == "float64" and np.isnan(self.values).any():
            return f"row {int(np.argmax(np.isnan(self.values)))} holds NaN"
        if self.words is None:
            return None
        wrong = _numbers_fault(self.values[~missing], self.words) or self.words.fault()
        if wrong is None and self.stored_runs is not None:
            wrong = self.stored_runs.fault(np.asarray(self.values), missing, len(self.words))
        return wrong


@dataclass(frozen=True)
class Lists:
    """A column of lists of texts: row i has the words numbers[offsets[i]:offsets[i + 1]].

    offsets: (n + 1,) int64. numbers: int32. nulls: packed bits of the rows without a list, or None.
    """

    offsets: np.ndarray
    numbers: np.ndarray
    words: Words
    nulls: np.ndarray | None
    kind: str = "texts"

    @classmethod
    def of(cls, lengths: np.ndarray, numbers: np.ndarray, words: Words, missing: np.ndarray) -> Lists:
        """A column of lists of these lengths, 0 where they are missing: (n,) bool."""
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return cls(offsets, numbers, words, bits.pack_mask(missing) if missing.any() else None)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def missing(self, start: int, stop: int) -> np.ndarray | None:
        """Mask of the rows without a list; None where there is none. start: a multiple of 8."""
        return _missing(self.nulls, start, stop)

    def parts(self) -> dict[str, np.ndarray]:
        """What is stored: name -> array."""
        parts = {"offsets": self.offsets, "values": self.numbers, **_stored_words(self.words)}
        return parts if self.nulls is None else {**parts, "nulls": self.nulls}

    def span(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the words of some rows, and the row, counted from start, of each.

        Raises CorruptIndexError where offsets of a file do not rise.
        """
        offsets = np.asarray(self.offsets[start : stop + 1])
        lengths = np.diff(offsets)
        if offsets[0] < 0 or offsets[-1] > len(self.numbers) or (lengths < 0).any():
            raise CorruptIndexError(
                f"lists of an attribute run from {offsets[0]} to {offsets[-1]} of {len(self.numbers)} words: "
                "the index is damaged; restore a copy or rebuild it"
            )
        return self.numbers[offsets[0] : offsets[-1]], np.repeat(np.arange(stop - start), lengths)

    def take(self, rows: np.ndarray) -> Lists:
        """The column of other rows; -1 stands for one without a list."""
        there = np.maximum(rows, 0)
        missing = (rows < 0) | _at(self.nulls, there)
        numbers, _ = self.span(0, len(self))
        lengths = np.diff(self.offsets)[there] if len(self) else np.zeros(len(rows), dtype=np.int64)
        lengths[missing] = 0
        starts = np.asarray(self.offsets)[there]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        words, kept = used_words(self.words, numbers[np.repeat(starts, lengths) + within])
        return Lists.of(lengths, kept, words, missing)

    def objects(self) -> list[Any]:
        """Python lists of str; None where there is none."""
        texts = self.words.texts()
        missing = _all_missing(self.nulls, len(self)).tolist()
        numbers, offsets = self.numbers.tolist(), self.offsets.tolist()
        return [
            None if missing[row] else [texts[i] for i in numbers[offsets[row] : offsets[row + 1]]]
            for row in range(len(self))
        ]

    def fault(self) -> str | None:
        """What is wrong with values that a folder holds, or None."""
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.numbers) or (np.diff(self.offsets) < 0).any():
            return f"offsets do not rise from 0 to {len(self.numbers)}"
        return _numbers_fault(self.numbers, self.words) or self.words.fault()


Column = Scalars | Lists


def column_of_parts(kind: str, parts: Mapping[str, np.ndarray]) -> Column:
    """The column whose `parts()` these are."""
    words = Words(parts["words"], parts["word_offsets"]) if "words" in parts else None
    if kind == "texts":
        assert words is not None
        return Lists(parts["offsets"], parts["values"], words, parts.get("nulls"))
    runs = Runs(parts[ROWS], parts[STARTS]) if ROWS in parts else None
    return Scalars(
        kind, parts["values"], parts.get("nulls"), parts["low"], parts["high"], words, runs is not None, runs
    )


def part_shapes(kind: str, n_rows: int) -> dict[str, tuple[np.dtype[Any], tuple[int | None, ...]]]:
    """Dtype and shape of the parts of a column; None where only the file knows a length. Nulls and runs may
    lack.
    """
    offsets = np.dtype("<i8")
    shapes: dict[str, tuple[np.dtype[Any], tuple[int | None, ...]]] = {
        "nulls": (np.dtype("|u1"), (bits.bit_bytes(n_rows),))
    }
    if kind in ("text", "texts"):
        shapes |= {"words": (np.dtype("|u1"), (None,)), "word_offsets": (offsets, (None,))}
    if kind == "texts":
        return shapes | {"offsets": (offsets, (n_rows + 1,)), "values": (np.dtype("<i4"), (None,))}
    if kind == "text":
        shapes |= {ROWS: (np.dtype(bits.position_dtype(n_rows)), (None,)), STARTS: (offsets, (None,))}
    blocks = (-(-n_rows // BLOCK),)
    dtype = STORED[kind]
    return shapes | {"values": (dtype, (n_rows,)), "low": (dtype, blocks), "high": (dtype, blocks)}


def joined(columns: Sequence[Column]) -> Column:
    """Columns of one kind, one behind the other."""
    missing = np.concatenate([_all_missing(column.nulls, len(column)) for column in columns])
    kind = columns[0].kind
    if kind not in ("text", "texts"):
        return Scalars.of(kind, np.concatenate([_numbers(column) for column in columns]), missing)
    words, renumbered = joined_words([column.words for column in columns])  # type: ignore[misc]
    numbers = np.concatenate([
        new[_numbers(column)] if len(new) else np.asarray(_numbers(column))
        for new, column in zip(renumbered, columns, strict=True)
    ])  # fmt: skip
    if kind == "text":
        grouped = any(isinstance(column, Scalars) and column.grouped for column in columns)
        return Scalars.of(kind, numbers, missing, words, grouped=grouped)
    lengths = np.concatenate([np.diff(column.parts()["offsets"]) for column in columns])
    return Lists.of(lengths, numbers.astype(np.int32), words, missing)


def empty_column(kind: str, n_rows: int) -> Column:
    """A column of rows without a value."""
    missing, words = np.ones(n_rows, dtype=bool), Words.of(())
    if kind == "texts":
        return Lists.of(np.zeros(n_rows, dtype=np.int64), np.empty(0, dtype=np.int32), words, missing)
    return Scalars.of(kind, np.zeros(n_rows), missing, words if kind == "text" else None)


def _bounds(values: np.ndarray, missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest and largest value of each block, the other way round where it has none."""
    starts = np.arange(0, len(values), BLOCK)
    if not len(starts):
        return values[:0].copy(), values[:0].copy()
    if values.dtype.kind == "f":
        least, most = np.array(-np.inf), np.array(np.inf)
    else:
        least, most = np.iinfo(values.dtype).min, np.iinfo(values.dtype).max  # type: ignore[assignment]
    low = np.minimum.reduceat(np.where(missing, most, values), starts)
    high = np.maximum.reduceat(np.where(missing, least, values), starts)
    return low.astype(values.dtype), high.astype(values.dtype)


def _missing(nulls: np.ndarray | None, start: int, stop: int) -> np.ndarray | None:
    if nulls is None or not nulls[start // 8 : bits.bit_bytes(stop)].any():
        return None
    return bits.unpacked_part(nulls, start, stop)


def _all_missing(nulls: np.ndarray | None, n_rows: int) -> np.ndarray:
    missing = _missing(nulls, 0, n_rows)
    return np.zeros(n_rows, dtype=bool) if missing is None else missing


def _at(nulls: np.ndarray | None, rows: np.ndarray) -> np.ndarray:
    """Mask (len(rows),) of the rows that are among the nulls."""
    if nulls is None:
        return np.zeros(len(rows), dtype=bool)
    return (nulls[rows // 8] >> (rows % 8).astype(np.uint8) & 1).astype(bool)


def _numbers(column: Column) -> np.ndarray:
    return column.values if isinstance(column, Scalars) else column.numbers


def _stored_words(words: Words | None) -> dict[str, np.ndarray]:
    return {} if words is None else {"words": words.blob, "word_offsets": words.offsets}


def _numbers_fault(numbers: np.ndarray, words: Words) -> str | None:
    wrong = np.flatnonzero((numbers < 0) | (numbers >= len(words)))
    return f"value {int(numbers[wrong[0]])} is no number of {len(words)} words" if wrong.size else None
