"""Segments that are searched as one: what all searches need of them, made once while they stay the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np

from cluscomp import native
from cluscomp.indexes.segments.ids import INT, RangeIds, TextIds
from cluscomp.indexes.segments.stored import StoredSegment

Segment = TypeVar("Segment", bound=StoredSegment)
Made = TypeVar("Made")


class Together(Generic[Segment]):
    """The segments of an index at one moment. Positions count through all of them.

    n_rows: rows stored. n_live: rows that are not deleted. firsts: (segments + 1,) int64 position of the
    first row of each, then n_rows. kept: what outlives the segments: that of `before`, those of the index
    until now.
    """

    def __init__(self, segments: tuple[Segment, ...], before: Together[Segment] | None = None) -> None:
        self.segments = segments
        self.kept: dict[str, Any] = {} if before is None else before.kept
        self.n_rows = sum(segment.n_rows for segment in segments)
        self.n_live = self.n_rows - sum(segment.n_deleted for segment in segments)
        self.firsts = np.array([*first_positions(segments), self.n_rows], dtype=np.int64)
        self._made: dict[Hashable, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.segments,)  # what kernels read is made again

    @cached_property
    def skip_bits(self) -> list[np.ndarray | None] | None:
        """Deleted rows of each segment as kernels take them; None where no row is deleted."""
        return None if self.n_live == self.n_rows else [segment.skip_bits for segment in self.segments]

    def made(self, name: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` returns, made at the first call with this name; searches of several threads may each
        make it, to the same end.
        """
        made: Made | None = self._made.get(name)
        return self.put(name, make()) if made is None else made

    def put(self, name: Hashable, value: Made) -> Made:
        """Keep a value under a name, in the place of what was there."""
        self._made[name] = value
        return value

    def found(self, name: Hashable) -> Any:
        """What was made under this name, or None."""
        return self._made.get(name)

    def parts(self, positions: np.ndarray) -> Iterator[tuple[Segment, np.ndarray, slice]]:
        """Segments that hold some of the ascending positions (m,): the segment, the rows there, and which of
        the positions they are.
        """
        bounds = np.searchsorted(positions, self.firsts)
        for number in np.flatnonzero(bounds[1:] > bounds[:-1]).tolist():
            part = slice(int(bounds[number]), int(bounds[number + 1]))
            yield self.segments[number], positions[part] - self.firsts[number], part

    def take_ids(self, positions: np.ndarray, kind: str) -> np.ndarray:
        """Ids (same shape) of positions: int64 with -1, or object array of str with None, where missing."""
        if kind == INT:
            found: np.ndarray = self._integer_ids.take(positions)
            return found
        flat = positions.reshape(-1)
        ids = np.full(flat.shape, None, dtype=object)
        there = np.flatnonzero(flat >= 0)
        numbers = np.searchsorted(self.firsts, flat[there], side="right") - 1
        for number in np.unique(numbers).tolist():
            places, column = there[numbers == number], self.segments[number].ids
            assert isinstance(column, TextIds)
            ids[places] = column.take(flat[places] - self.firsts[number])
        return ids.reshape(positions.shape)

    @cached_property
    def _integer_ids(self) -> native.IntegerIds:
        columns = [
            segment.ids.start if isinstance(segment.ids, RangeIds) else segment.ids.arrays()["ids"]
            for segment in self.segments
        ]
        return native.IntegerIds(columns, np.diff(self.firsts))


def first_positions(segments: Sequence[StoredSegment]) -> list[int]:
    """Position of the first row of each segment, counted over all of them."""
    firsts, total = [], 0
    for segment in segments:
        firsts.append(total)
        total += segment.n_rows
    return firsts
