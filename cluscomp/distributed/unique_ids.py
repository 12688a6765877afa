"""Whether ids of several segments differ, found in a stream: each has its keys in ascending order.

Keys are compared in classes of neighbours, so that memory is bounded whatever the number of ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from cluscomp.errors import DTypeError, DuplicateIdError
from cluscomp.indexes.segments.id_keys import equal_runs
from cluscomp.indexes.segments.ids import INT, TEXT, TextIds

CLASS_KEYS = 1 << 20
"""Keys that are compared at a time, about."""


@dataclass(frozen=True)
class SortedIds:
    """Ids of one segment. owner: for messages. keys: (n,) ascending; rows: (n,) the row of each; both None
    for ids that follow each other from `first`. texts: of text ids.
    """

    owner: str
    n: int
    first: int = 0
    keys: np.ndarray | None = None
    rows: np.ndarray | None = None
    texts: TextIds | None = None

    @property
    def kind(self) -> str:
        """TEXT or INT."""
        return INT if self.texts is None else TEXT

    def between(self, low: Any, high: Any) -> tuple[np.ndarray, np.ndarray]:
        """Keys from low up to, but without, high (None: no bound), and their rows."""
        if self.keys is None:
            start = self.first if low is None else max(self.first, int(low))
            stop = self.first + self.n if high is None else min(self.first + self.n, int(high))
            keys = np.arange(start, max(start, stop), dtype=np.int64)
            return keys, keys - self.first
        begin = 0 if low is None else int(np.searchsorted(self.keys, low))
        end = self.n if high is None else int(np.searchsorted(self.keys, high))
        assert self.rows is not None
        return np.array(self.keys[begin:end]), np.array(self.rows[begin:end], dtype=np.int64)

    def sample(self, step: int) -> np.ndarray:
        """Every step-th key."""
        if self.keys is None:
            return np.arange(self.first, self.first + self.n, step, dtype=np.int64)
        return np.array(self.keys[::step])

    def name(self, key: Any, row: int) -> Any:
        """The id of a row with this key."""
        return int(key) if self.texts is None else self.texts.take(np.array([row])).tolist()[0]


def require_unique(segments: Sequence[SortedIds], class_keys: int = CLASS_KEYS) -> None:
    """Raise DuplicateIdError naming an id and its two owners, DTypeError where some ids are texts only."""
    for one, two in pairwise(segments):
        if one.kind != two.kind:
            raise DTypeError(
                f"{one.owner} has {one.kind} ids, {two.owner} has {two.kind}; they must be of one kind"
            )
    if _are_ascending_ranges(segments):
        return
    bounds = [None, *_bounds(segments, class_keys), None]
    for low, high in pairwise(bounds):
        parts = [segment.between(low, high) for segment in segments]
        keys = np.concatenate([part[0] for part in parts])
        rows = np.concatenate([part[1] for part in parts])
        owners = np.repeat(np.arange(len(segments)), [len(part[0]) for part in parts])
        order = np.argsort(keys, kind="stable")
        for run in equal_runs(keys[order], order):
            _require_different(segments, keys, rows, owners, run.tolist())


def _are_ascending_ranges(segments: Sequence[SortedIds]) -> bool:
    """Whether all ids are ranges, one behind the other, which is soon seen."""
    return all(segment.keys is None for segment in segments) and all(
        one.first + one.n <= two.first for one, two in pairwise(segments)
    )


def _bounds(segments: Sequence[SortedIds], class_keys: int) -> list[Any]:
    """Keys that part all keys into classes of about equal size."""
    n = sum(segment.n for segment in segments)
    classes = -(-n // class_keys)
    if classes < 2:
        return []
    step = max(1, class_keys // 64)
    sample = np.sort(np.concatenate([segment.sample(step) for segment in segments]))
    return list(np.unique(sample[np.arange(1, classes) * len(sample) // classes]))


def _require_different(
    segments: Sequence[SortedIds], keys: np.ndarray, rows: np.ndarray, owners: np.ndarray, run: list[int]
) -> None:
    seen: dict[Any, str] = {}
    for place in run:  # different texts may share a hash
        segment = segments[int(owners[place])]
        name = segment.name(keys[place], int(rows[place]))
        if name in seen:
            raise DuplicateIdError(
                f"id {name!r} is in {seen[name]} and in {segment.owner}; ids must be different. Nothing was "
                "written"
            )
        seen[name] = segment.owner
