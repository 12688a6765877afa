"""Rows of weighted terms, each row a few of many terms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.errors import DimensionError, DTypeError, InputError, NonFiniteError


@dataclass(frozen=True)
class TermRows:
    """Rows 0..n-1; row i has the terms and weights from offsets[i] to offsets[i + 1].

    names: the terms, each once. offsets: (n + 1,) int64. numbers: (N,) int32 into names, ascending within a
    row.
    weights: (N,) float32 above 0.
    """

    names: Sequence[str]
    offsets: np.ndarray
    numbers: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, names: Sequence[str], lengths: Any, numbers: Any, weights: Any) -> TermRows:
        """Rows of unordered terms. lengths: (n,) terms of each row, which stand one after the other. Terms
        that a row has twice are added up; those of weight 0 go.

        Raises DimensionError (lengths), DTypeError, NonFiniteError, InputError (a weight below 0).
        """
        lengths = np.asarray(lengths, dtype=np.int64)
        numbers, weights = np.asarray(numbers, dtype=np.int64), _as_weights(weights)
        if int(lengths.sum()) != len(numbers) or len(numbers) != len(weights):
            raise DimensionError(
                f"the rows have {int(lengths.sum())} terms together, but there are {len(numbers)} terms and "
                f"{len(weights)} weights"
            )
        rows = np.repeat(np.arange(len(lengths)), lengths)
        _check_weights(names, rows, numbers, weights)
        rows, numbers, weights = _in_order(rows, numbers, weights)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(lengths)))])
        return cls(names, offsets.astype(np.int64), numbers.astype(np.int32), weights.astype(np.float32))

    @classmethod
    def from_mappings(cls, rows: Iterable[Mapping[str, float]]) -> TermRows:
        """Rows that are mappings of terms to weights, such as {"cat": 1.5}. Raises what `of` raises."""
        places: dict[str, int] = {}
        lengths: list[int] = []
        numbers: list[int] = []
        weights: list[float] = []
        for row in rows:
            if not isinstance(row, Mapping):
                raise DTypeError(
                    f"row {len(lengths)} is of type {type(row).__name__}; a row is a mapping of terms to "
                    "weights"
                )
            lengths.append(len(row))
            numbers.extend([places.setdefault(name, len(places)) for name in row])
            weights.extend(row.values())
        return cls._named(list(places), lengths, numbers, weights)

    @classmethod
    def from_words(cls, rows: Iterable[Sequence[str]]) -> TermRows:
        """Rows that are lists of words; a weight is how often the row has the word."""
        places: dict[str, int] = {}
        lengths: list[int] = []
        numbers: list[int] = []
        for words in rows:
            lengths.append(len(words))
            numbers.extend([places.setdefault(word, len(places)) for word in words])
        return cls._named(list(places), lengths, numbers, np.ones(len(numbers)))

    @classmethod
    def _named(cls, names: list[str], lengths: Any, numbers: Any, weights: Any) -> TermRows:
        """Rows with names in the order of their code points, which no order of the rows changes."""
        for name in names:
            _check_name(name)
        order = sorted(range(len(names)), key=names.__getitem__)
        place = np.empty(len(names), dtype=np.int64)
        place[order] = np.arange(len(names))
        taken = place[np.asarray(numbers, dtype=np.int64)]
        return cls.of([names[i] for i in order], lengths, taken, weights)

    @classmethod
    def joined(cls, parts: Sequence[TermRows]) -> TermRows:
        """Rows of several, one after the other."""
        return cls.from_mappings(part.mapping(row) for part in parts for row in range(len(part)))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def rows(self) -> np.ndarray:
        """Row (N,) int64 of each term."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def totals(self) -> np.ndarray:
        """Sum of the weights of each row, (n,) float64: its length in words."""
        ends = np.concatenate([[0.0], np.cumsum(self.weights, dtype=np.float64)])
        return ends[self.offsets[1:]] - ends[self.offsets[:-1]]

    def __getitem__(self, kept: slice | Sequence[int] | np.ndarray) -> TermRows:
        """Some of the rows, with the same names."""
        chosen = np.arange(len(self))[kept]
        lengths = np.diff(self.offsets)[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][chosen] - offsets[:-1], lengths)
        return TermRows(self.names, offsets, self.numbers[places], self.weights[places])

    def mapping(self, row: int) -> dict[str, float]:
        """One row as terms and weights."""
        part = slice(int(self.offsets[row]), int(self.offsets[row + 1]))
        found = zip(self.numbers[part].tolist(), self.weights[part].tolist(), strict=True)
        return {self.names[number]: weight for number, weight in found}


def _as_weights(weights: Any) -> np.ndarray:
    try:
        return np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError) as exc:
        raise DTypeError(f"a weight of a term is no number ({exc})") from exc


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise DTypeError(f"a term is {name!r}, a {type(name).__name__}; terms are texts: use str(term)")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise InputError(f"the term {name!r} is no valid text ({exc})") from exc


def _check_weights(names: Sequence[str], rows: np.ndarray, numbers: np.ndarray, weights: np.ndarray) -> None:
    with np.errstate(over="ignore"):
        wrong = np.flatnonzero(~np.isfinite(weights.astype(np.float32)) | (weights < 0))
    if wrong.size:
        first = int(wrong[0])
        where = f"term {names[int(numbers[first])]!r} of row {int(rows[first])} has weight {weights[first]}"
        if weights[first] < 0:
            raise InputError(f"{where}; weights must be at least 0: leave negative terms out")
        raise NonFiniteError(f"{where}, which float32 does not hold; leave the term out")


def _in_order(
    rows: np.ndarray, numbers: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Terms ascending within each row, each once, those of weight 0 left out."""
    kept = weights.astype(np.float32) > 0
    rows, numbers, weights = rows[kept], numbers[kept], weights[kept]
    order = np.lexsort((numbers, rows))
    rows, numbers, weights = rows[order], numbers[order], weights[order]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = (np.diff(rows) != 0) | (np.diff(numbers) != 0)
    if first.all():
        return rows, numbers, weights
    starts = np.flatnonzero(first)
    return rows[starts], numbers[starts], np.add.reduceat(weights, starts)
