"""Speed at equal recall: each contender is measured at several settings, and read off between two of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np


@dataclass(frozen=True)
class Point:
    """One setting of one contender. recall: in 0..1. seconds: one sample a round, for all queries."""

    setting: str
    recall: float
    seconds: Sequence[float]


def frontier(points: Sequence[Point]) -> list[Point]:
    """Points that no other beats in both recall and median time, by rising recall (and so rising time)."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (-p.recall, median(p.seconds))):
        if not best or median(point.seconds) < median(best[-1].seconds):
            best.append(point)
    return best[::-1]


def seconds_at(points: Sequence[Point], recall: float) -> list[float] | None:
    """Seconds of every round at this recall, or None where no setting reaches it.

    Between the two neighbours on the frontier, the logarithm of time is linear in the logarithm of the share
    that is missed. Below the frontier its fastest point stands, since nothing shows that less recall would
    be faster.
    """
    front = frontier(points)
    upper = next((i for i, point in enumerate(front) if point.recall >= recall), None)
    if upper is None:
        return None
    if upper == 0:
        return list(front[0].seconds)
    low, high = front[upper - 1], front[upper]
    share = _position(low.recall, high.recall, recall)
    return [
        math.exp((1 - share) * math.log(a) + share * math.log(b))
        for a, b in zip(low.seconds, high.seconds, strict=True)
    ]


def _position(low: float, high: float, recall: float) -> float:
    """0 at the lower point, 1 at the upper one."""
    missed = [math.log(max(1.0 - r, 1e-6)) for r in (low, recall, high)]
    return (missed[1] - missed[0]) / (missed[2] - missed[0])


def recall_of(
    base: np.ndarray, queries: np.ndarray, ids: np.ndarray, kth_best: np.ndarray, tie: float
) -> float:
    """Share of the hits `ids` (nq, k) that belong to the k best rows of base (n, d) by inner product.

    kth_best: (nq,) true k-th best score. A hit counts when its score is not below that by more than `tie`,
    so that duplicates in the data cost nobody recall; a repeated id counts once.
    """
    right = 0
    for row, query in enumerate(queries):
        hits = np.unique(ids[row][ids[row] >= 0])
        right += min(int(np.count_nonzero(base[hits] @ query >= kth_best[row] - tie)), ids.shape[1])
    return right / ids.size


def kth_best_scores(base: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """k-th largest inner product (nq,) float32 of each query with all rows, by plain matrix products."""
    best = [np.empty((0,), np.float32)]
    for start in range(0, len(queries), 64):
        scores = queries[start : start + 64] @ base.T
        best.append(np.partition(scores, -k, axis=1)[:, -k])
    return np.concatenate(best)
