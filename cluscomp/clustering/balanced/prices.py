"""Finds one price per cluster so that, when each row picks the cluster with the smallest cost + price, every
cluster gets its target size (the dual of the assignment problem).

Each row keeps a short list of the centroids that are best under the current prices (native `Candidates`). On
these lists Newton steps raise the dual (native `DualAscent.improve`); a step costs n L, not n k d. A row's
short list is only valid while prices stay above a bound; when a price would drop below it, the short lists
are recomputed under the current prices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks
from cluscomp.clustering.balanced.items import Items
from cluscomp.clustering.blocks import block_rows
from cluscomp.clustering.metrics import kernel_metric
from cluscomp.progress import Ticker

_LIST_ENTRIES = 1 << 22  # all clusters are listed where they are no more
_SHORTEST, _LONGEST = 16, 64
_TOLERANCE, _SAMPLE_TOLERANCE = 1e-3, 3e-2  # share of the mass that prices may leave out of place
_RELISTS, _ESCAPED = 8, 0.02  # lists are made at most so often; share of rows that may have left theirs
_ROUNDS, _MOST_ROUNDS = 4, 40
_SETTLED = 0.002  # below this share out of place, rounds go on only while they lower it by a quarter
_SAMPLE_ROWS, _FEW_ROWS, _FEWEST_ROWS = 128, 8, 4096  # of samples: for a cluster, and in all
_FEW_ENTRIES = 1 << 23  # of the lists of the smallest sample
_SAMPLE_PATHS = 16  # rounds
_NEAR = 0.3  # prices that leave no more out of place are good enough to start from


def lists_are_complete(n: int, k: int) -> bool:
    """Whether the lists hold all clusters, so that a solution is the best there is."""
    return n * k <= _LIST_ENTRIES


def list_length(n: int, k: int) -> int:
    """Entries of a list of one of n rows."""
    if lists_are_complete(n, k):
        return k
    return min(k, max(_SHORTEST, min(_LONGEST, _LIST_ENTRIES // n)))


def sample_bytes(n: int, k: int) -> int:
    """Memory of the lists of the sample that prices start from."""
    size = max(_FEWEST_ROWS, _FEW_ROWS * k)
    return 0 if lists_are_complete(n, k) else 8 * size * min(k, _FEW_ENTRIES // size)


def sample_prices(
    items: Items, centroids: np.ndarray, low: np.ndarray, high: np.ndarray, *, prices: np.ndarray | None
) -> np.ndarray:
    """Prices (k,) that balance an even choice of the rows. prices: to start from."""
    problem = Problem(items, centroids, low, high, min(_SHORTEST, len(low))).sample(_SAMPLE_ROWS)
    return problem.balanced(prices, tolerance=_SAMPLE_TOLERANCE).prices


@dataclass(frozen=True)
class Problem:
    """Items, clusters (k, d) with their bounds (k,), and how many of them an item lists."""

    items: Items
    centroids: np.ndarray
    low: np.ndarray
    high: np.ndarray
    length: int

    @property
    def is_complete(self) -> bool:
        """Whether the lists hold all clusters."""
        return self.length == len(self.low)

    def sample(self, rows_per_cluster: int) -> Problem:
        """The same for an even choice of the rows, at least 4096 of them."""
        items, k = self.items, len(self.low)
        n = items.n if items.mass is None else items.x.shape[0]
        size = min(n, max(_FEWEST_ROWS, rows_per_cluster * k))
        chosen = np.linspace(0, n - 1, size).astype(np.int64)
        if items.mass is None and items.row_of_item is not None:
            chosen = items.row_of_item[chosen]
        few = Items(items.x, items.metric, chosen)
        low, high = self.low * size // n, -(-self.high * size // n)
        return Problem(few, self.centroids, low, high, self.length)

    def balanced(
        self, prices: np.ndarray | None, *, tolerance: float = _TOLERANCE, ticker: Ticker | None = None
    ) -> native.DualAscent:
        """Lists, and prices that leave little out of place. prices: (k,) of a similar problem."""
        return self._climbed(self._near(prices, ticker), tolerance)

    def relist(self, dual: native.DualAscent) -> None:
        """New lists of all items under the prices of now; longer ones for items of more than a cluster."""
        dual.drop_lists()
        self._fill(dual, None)

    def _near(self, prices: np.ndarray | None, ticker: Ticker | None) -> native.DualAscent:
        """Lists of all items under `prices`, or where these leave much out of place, under those of a sample.

        The sample has few rows and long lists, so that prices may be far off at its start.
        """
        k = len(self.low)
        if prices is not None or self.is_complete:
            dual = self._listed(np.zeros(k) if prices is None else prices, ticker)
            dual.improve(0, 0.0)
            if self.is_complete or dual.imbalance <= _NEAR:
                return dual
            ticker = None
        few = self.sample(_FEW_ROWS)
        few = replace(few, length=max(1, min(k, _FEW_ENTRIES // few.items.n)))
        found = few._climbed(few._listed(np.zeros(k)), _SAMPLE_TOLERANCE)
        if few.is_complete:  # paths price clusters far from all rows, where bounded steps do not get
            found.settle(_SAMPLE_PATHS, few.items.n // 100)
        return self._listed(found.prices, ticker)

    def _listed(self, prices: np.ndarray, ticker: Ticker | None = None) -> native.DualAscent:
        dual = native.DualAscent(self.items.n, self.items.mass, self.low, self.high)
        dual.prices = prices
        self._fill(dual, ticker)
        return dual

    def _fill(self, dual: native.DualAscent, ticker: Ticker | None) -> None:
        items, k = self.items, self.centroids.shape[0]
        finder = native.Candidates(self.centroids, kernel_metric(items.metric), dual.prices)
        for block in iter_blocks(items.n, block_rows(items.x.shape[1], k)):
            dual.set_lists(None, block.start, *finder.nearest(items.vectors(block), self.length))
            if ticker is not None:
                ticker.advance(block.stop - block.start)
        if items.mass is None or self.is_complete:
            return
        wanted = self.length + 4 * (items.mass // max(1, int(self.high.min())))
        for size, alike in _by_length(np.flatnonzero(wanted > self.length), wanted, k):
            for block in iter_blocks(alike.shape[0], block_rows(items.x.shape[1], k)):
                part = alike[block]
                dual.set_lists(part, 0, *finder.nearest(items.vectors(part), size))

    def _climbed(self, dual: native.DualAscent, tolerance: float) -> native.DualAscent:
        """Climb, with new lists as long as prices have to fall further than the lists reach."""
        for _ in range(_RELISTS):
            _climb(dual, tolerance)
            is_short = dual.is_short and dual.imbalance > tolerance
            if not is_short and dual.escaped <= _ESCAPED * self.items.n:
                break
            self.relist(dual)
        return dual


def _by_length(which: np.ndarray, wanted: np.ndarray, k: int) -> Iterator[tuple[int, np.ndarray]]:
    """Items grouped by the power of two that their wanted list length reaches, at most k."""
    sizes = np.minimum(k, 1 << np.ceil(np.log2(np.maximum(wanted[which], 1))).astype(np.int64))
    for size in np.unique(sizes):
        yield int(size), which[sizes == size]


def _climb(dual: native.DualAscent, tolerance: float) -> None:
    before = np.inf
    for _ in range(_MOST_ROUNDS // _ROUNDS):
        more = dual.improve(_ROUNDS, tolerance)
        slow = dual.imbalance > 0.75 * before
        if not more or (slow and (dual.is_short or dual.imbalance < _SETTLED)):
            return
        before = dual.imbalance
