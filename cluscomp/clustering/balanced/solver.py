"""The capacity-constrained assignment: candidate lists and prices, shortest augmenting paths, direct moves.

1. Each row keeps a list of its best centroids, and prices are found on the lists (prices.py).
2. What prices leave out of place, ties above all, moves along shortest paths over the clusters
   (`DualAscent.settle`). Where the lists hold all clusters, the result is the best there is.
3. Where they do not, they are recomputed under the prices at the end, clusters that no list leads to pull
   rows from everywhere, and paths end when 0.1 % of the rows is left, which moves directly (moves.py).

Memory beyond the rows: lists of L = 16 to 64 entries of 8 bytes a row (all k where n k is at most 4 million).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cluscomp import native
from cluscomp.arrays import normalize_rows
from cluscomp.clustering.balanced.items import Items
from cluscomp.clustering.balanced.moves import move_rest, pull
from cluscomp.clustering.balanced.prices import Problem, list_length, sample_bytes
from cluscomp.progress import Ticker

_FLOW_ROUNDS = 2  # between two looks at the keyboard: half a second each at a million rows
_REST = 0.001  # share of the mass that paths over short lists leave to direct moves
_ESCAPED = 0.001  # share of rows for which a cluster outside their list may be better at the end
_ATTEMPTS = 12  # paths after new lists or pulls


@dataclass(frozen=True)
class Solution:
    """labels: (n,) int32, sizes within the bounds. prices: (k,) float64. paths: of the last step."""

    labels: np.ndarray
    prices: np.ndarray
    paths: int


def solve(
    items: Items,
    centroids: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    *,
    prices: np.ndarray | None = None,
    hard: bool = True,
    ticker: Ticker | None = None,
) -> Solution:
    """Assign every row so that cluster j gets between low[j] and high[j] rows, at the least cost.

    centroids: (k, d) float32. prices: of a similar problem, to start from. hard=False: stop at the prices, so
    that the bounds hold about.
    """
    points = as_points(centroids, items)
    problem = Problem(items, points, low, high, list_length(items.n, len(low)))
    dual = problem.balanced(prices, ticker=ticker)
    if not hard:
        labels = dual.labels()
        return Solution(labels if items.item_of_row is None else labels[items.item_of_row], dual.prices, 0)
    units = _settle(problem, dual)
    return Solution(items.labels(units), dual.prices, dual.paths)


def _settle(problem: Problem, dual: native.DualAscent) -> np.ndarray:
    """Cluster of each unit of mass, (total mass,), within the bounds."""
    items, points = problem.items, problem.centroids
    rest = 0 if problem.is_complete else int(_REST * problem.items.x.shape[0])
    for _ in range(_ATTEMPTS):
        while (state := dual.settle(_FLOW_ROUNDS, rest)) == "more":
            pass
        if not problem.is_complete and dual.count_escaped() > _ESCAPED * items.n:
            problem.relist(dual)
        elif state == "done":
            break
        else:
            pull(dual, items, points)
    if not dual.out_of_place:
        return dual.units()
    return move_rest(items, points, dual.units(), dual.prices, problem.low, problem.high)


def as_points(centroids: np.ndarray, items: Items) -> np.ndarray:
    """Centroids as the kernels read them beside these items."""
    if items.metric == "cosine":
        centroids = normalize_rows(centroids)
    return np.ascontiguousarray(centroids)


def solver_bytes(n: int, k: int) -> int:
    """Memory that `solve` takes beyond the rows: lists, a sample's, about 150 bytes a row besides."""
    return n * (8 * list_length(n, k) + 150) + sample_bytes(n, k) + 64 * k
