"""The capacity-constrained assignment: candidate lists, prices, then shortest augmenting paths.

1. Each row keeps the few centroids that are best under the prices so far (native `Candidates`).
2. Prices climb the dual on the lists alone (native `Allotment.improve`): each round costs n L, not n k d.
3. What prices leave out of place, ties above all, moves along shortest paths over the clusters
   (`Allotment.settle`): the result is optimal for the lists. Rows of which no list leads to a free place
   get longer ones.

Equal rows are one item with a mass, so that they may be split among clusters at no cost.
Memory beyond the rows: lists of L = 16 to 64 entries of 8 bytes a row (all k where n k is at most 4 million).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks, normalize_rows, to_float32
from cluscomp.clustering.blocks import Ticker, block_rows
from cluscomp.clustering.metrics import Metric, kernel_metric, unit_rows

_LIST_ENTRIES = 1 << 22
_SHORTEST, _LONGEST, _ROUGH = 16, 64, 8
_SAMPLE_ROWS, _SAMPLE_ROWS_PER_CLUSTER, _SAMPLE_ENTRIES = 4096, 8, 1 << 20
_SAMPLE_ROUNDS, _SAMPLE_TOLERANCE = 4, 3e-2
_POLISH_ROUNDS, _GAP = 6, 1e-4  # rounds; share of the cost that may be left
_TOLERANCE, _ROUGH_TOLERANCE = 1e-3, 1e-2  # share of the mass that prices may leave to the paths
_ROUNDS, _MOST_ROUNDS, _PATHS = 4, 40, 256
_SETTLED = 0.02  # below this share out of place, rounds go on only while they lower it by a quarter


@dataclass(frozen=True)
class Items:
    """Different rows of x with their masses. rows: (m,) first row of each; of: (n,) item of each row.

    All None (and masses one) where every row is an item of its own.
    """

    x: np.ndarray
    metric: Metric
    rows: np.ndarray | None = None
    of: np.ndarray | None = None
    mass: np.ndarray | None = None

    @property
    def n(self) -> int:
        return self.x.shape[0] if self.rows is None else self.rows.shape[0]

    def vectors(self, which: slice | np.ndarray) -> np.ndarray:
        """Rows of some items as the kernels read them; unit rows for the metric cosine."""
        taken = self.x[which if self.rows is None else self.rows[which]]
        return normalize_rows(taken) if self.metric == "cosine" else np.ascontiguousarray(taken)

    def labels(self, units: np.ndarray) -> np.ndarray:
        """Label of each row from the cluster of each unit of mass: of equal rows, the first come first."""
        if self.of is None:
            return units
        labels = np.empty(self.of.shape[0], dtype=np.int32)
        labels[np.argsort(self.of, kind="stable")] = units
        return labels


def find_items(x: np.ndarray, metric: Metric, least_capacity: int) -> Items:
    """Join equal rows of x where there are many, or many of one kind."""
    _, first, of, counts = np.unique(
        _row_hashes(x), return_index=True, return_inverse=True, return_counts=True
    )
    n_repeated = x.shape[0] - first.shape[0]
    if n_repeated < x.shape[0] // 64 and counts.max() <= max(2, least_capacity // 4):
        return Items(x, metric)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    of = rank[of.ravel()]
    for block in iter_blocks(x.shape[0], block_rows(x.shape[1], 1)):
        if not np.array_equal(x[block], x[first[order][of[block]]]):
            return Items(x, metric)  # two rows share a hash: once in 2^64
    return Items(x, metric, first[order], of, counts[order].astype(np.int64))


def _row_hashes(x: np.ndarray) -> np.ndarray:
    """64-bit hash (n,) of each row: a fixed random linear form of its 32-bit words, multiplied through."""
    odd = np.random.default_rng(5).integers(0, 1 << 63, size=x.shape[1], dtype=np.uint64)
    keys = np.empty(x.shape[0], dtype=np.uint64)
    for block in iter_blocks(x.shape[0], max(1, (1 << 21) // x.shape[1])):
        words = np.ascontiguousarray(to_float32(x[block])).view(np.uint32)
        key = words.astype(np.uint64) @ (odd * np.uint64(2) + np.uint64(1))
        keys[block] = (key ^ (key >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
    return keys


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
    polish: bool = True,
    rough: bool = False,
    ticker: Ticker | None = None,
) -> Solution:
    """Assign every row so that cluster j gets between low[j] and high[j] rows, at the least cost.

    centroids: (k, d) float32. prices: of a similar problem, to start from. hard=False: stop at the prices, so
    that the bounds hold about. polish: look for better clusters outside the lists at the end. rough: with
    hard=False, short lists and prices that leave up to 1 % out of place, as the steps of k-means need.
    """
    if items.metric == "cosine":
        centroids = unit_rows(centroids).astype(np.float32)
    centroids = np.ascontiguousarray(centroids)
    prices = _sample_prices(items, centroids, low, high, prices)
    allotment = native.Allotment(items.n, items.mass, low, high)
    if rough:
        _fill_lists(allotment, items, centroids, prices, min(_ROUGH, len(low)), high, ticker)
        _climb(allotment, _ROUGH_TOLERANCE)
        return _by_prices(allotment, items)
    _fill_lists(allotment, items, centroids, prices, _list_length(items.n, len(low)), high, ticker)
    _climb(allotment)
    if allotment.escaped > items.n // 50 and _list_length(items.n, len(low)) < len(low):
        prices = allotment.prices
        allotment = native.Allotment(items.n, items.mass, low, high)
        _fill_lists(allotment, items, centroids, prices, _list_length(items.n, len(low)), high, None)
        _climb(allotment)
    if not hard:
        return _by_prices(allotment, items)
    _settle(allotment, items, centroids)
    if polish and _list_length(items.n, len(low)) < len(low):
        _polish(allotment, items, centroids)
    return Solution(items.labels(allotment.units()), allotment.prices, allotment.paths)


def lists_are_complete(n: int, k: int) -> bool:
    """Whether the lists hold all clusters, so that a solution is the best there is."""
    return n * k <= _LIST_ENTRIES


def _by_prices(allotment: native.Allotment, items: Items) -> Solution:
    labels = allotment.labels()
    return Solution(labels if items.of is None else labels[items.of], allotment.prices, 0)


def solver_bytes(n: int, k: int) -> int:
    """Memory that `solve` takes beyond the rows: lists, and about 150 bytes a row for prices and flow."""
    return n * (8 * _list_length(n, k) + 150) + 64 * k


def _list_length(n: int, k: int) -> int:
    if lists_are_complete(n, k):
        return k
    return min(k, max(_SHORTEST, min(_LONGEST, _LIST_ENTRIES // n)))


def _fill_lists(
    allotment: native.Allotment,
    items: Items,
    centroids: np.ndarray,
    prices: np.ndarray,
    length: int,
    high: np.ndarray,
    ticker: Ticker | None,
) -> None:
    """Lists of all items under `prices`; longer ones for items that must be split among many clusters."""
    allotment.prices = prices
    finder = native.Candidates(centroids, kernel_metric(items.metric), prices)
    for block in iter_blocks(items.n, block_rows(items.x.shape[1], centroids.shape[0])):
        allotment.set_lists(None, block.start, *finder.nearest(items.vectors(block), length))
        if ticker is not None:
            ticker.advance(block.stop - block.start)
    if items.mass is None or length == centroids.shape[0]:
        return
    wanted = length + 4 * (items.mass // max(1, int(high.min())))
    for size, which in _by_length(np.flatnonzero(wanted > length), wanted, centroids.shape[0]):
        allotment.set_lists(which, 0, *finder.nearest(items.vectors(which), size))


def _by_length(which: np.ndarray, wanted: np.ndarray, k: int) -> Iterator[tuple[int, np.ndarray]]:
    """Items grouped by the power of two that their wanted list length reaches, at most k."""
    sizes = np.minimum(k, 1 << np.ceil(np.log2(np.maximum(wanted[which], 1))).astype(np.int64))
    for size in np.unique(sizes):
        yield int(size), which[sizes == size]


def _climb(allotment: native.Allotment, tolerance: float = _TOLERANCE) -> None:
    before = np.inf
    for _ in range(_MOST_ROUNDS // _ROUNDS):
        more = allotment.improve(_ROUNDS, tolerance)
        if not more or _SETTLED > allotment.imbalance > 0.75 * before:
            return
        before = allotment.imbalance


def _settle(allotment: native.Allotment, items: Items, centroids: np.ndarray) -> None:
    while (state := allotment.settle(_PATHS)) != "done":
        if state == "stuck":
            _lengthen(allotment, items, centroids)


def _polish(allotment: native.Allotment, items: Items, centroids: np.ndarray) -> None:
    """New lists for rows that would be better off outside theirs at the final prices, then paths again.

    The sum of what they would gain is the duality gap: at most so much can be won.
    """
    for _ in range(_POLISH_ROUNDS):
        gains, total = _gains(allotment, items, centroids)
        if gains.sum() <= _GAP * total:
            return
        _relist(allotment, items, centroids, np.flatnonzero(gains > 0))
        _settle(allotment, items, centroids)


def _gains(allotment: native.Allotment, items: Items, centroids: np.ndarray) -> tuple[np.ndarray, float]:
    """What each item could gain at the prices, times its mass; and the sum of all costs."""
    mass = np.ones(items.n, dtype=np.int64) if items.mass is None else items.mass
    held = allotment.units()[np.cumsum(mass) - mass]
    prices = allotment.prices.astype(np.float32)
    metric = kernel_metric(items.metric)
    sign = 0.5 if metric == "l2" else -1.0
    assigner = native.Assigner(centroids, metric, -prices)
    gains = np.empty(items.n)
    total = 0.0
    for block in iter_blocks(items.n, block_rows(centroids.shape[1], centroids.shape[0])):
        rows = items.vectors(block)
        best = assigner.assign(rows)[0]
        here = sign * native.pair_scores(rows, centroids, metric, held[block])
        there = sign * native.pair_scores(rows, centroids, metric, best)
        gains[block] = (here + prices[held[block]] - there - prices[best]) * mass[block]
        total += float(np.abs(here * mass[block]).sum())
    gains[gains < 1e-6 * total / items.n] = 0
    return gains, total


def _lengthen(allotment: native.Allotment, items: Items, centroids: np.ndarray) -> None:
    """Longer lists for all rows that may have to leave where they are."""
    _relist(allotment, items, centroids, allotment.stuck_items())


def _relist(allotment: native.Allotment, items: Items, centroids: np.ndarray, stuck: np.ndarray) -> None:
    """Lists four times as long, made with the prices of now, for some items."""
    k = centroids.shape[0]
    finder = native.Candidates(centroids, kernel_metric(items.metric), allotment.prices)
    wanted = np.array([4 * allotment.list_length(int(item)) for item in stuck])
    everyone = np.zeros(items.n, dtype=np.int64)
    everyone[stuck] = wanted
    for size, which in _by_length(stuck, everyone, k):
        for block in iter_blocks(which.shape[0], block_rows(items.x.shape[1], k)):
            part = which[block]
            allotment.set_lists(part, 0, *finder.nearest(items.vectors(part), size))


def _sample_prices(
    items: Items, centroids: np.ndarray, low: np.ndarray, high: np.ndarray, prices: np.ndarray | None
) -> np.ndarray:
    """Prices (k,) that balance an even choice of the rows, with longer lists than all rows can have.

    prices: to start from; where they are far off, the lists are made anew until they hold what is chosen.
    """
    k, n = centroids.shape[0], items.x.shape[0]
    size = max(_SAMPLE_ROWS, _SAMPLE_ROWS_PER_CLUSTER * k)
    start = np.zeros(k) if prices is None else prices
    if n <= 2 * size or lists_are_complete(n, k):
        return start
    rows = np.linspace(0, n - 1, size).astype(np.int64)
    few = Items(items.x, items.metric, rows)
    low, high = low * size // n, -(-high * size // n)
    for _ in range(_SAMPLE_ROUNDS):
        allotment = native.Allotment(size, None, low, high)
        _fill_lists(allotment, few, centroids, start, min(k, _SAMPLE_ENTRIES // size), high, None)
        _climb(allotment, _SAMPLE_TOLERANCE)
        start = allotment.prices
        if allotment.escaped <= size // 100:
            break
    return start
