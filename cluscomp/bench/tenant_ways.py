"""Other ways to find the rows of a tenant, as far as a measurement needs them; `tenants.py` compares them.

None of them is part of an index: bitmaps of the lists in which each tenant has rows, and Curator's tree that
all tenants share (arXiv 2401.07119; of a condition, arXiv 2601.01291).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.attributes.columns import Scalars
from cluscomp.clustering.hierarchical_tree import KMeansTree
from cluscomp.indexes.segments.segment import Segment

SHORT_LIST = 128
"""Rows of a tenant that are scored together, and rows of a leaf: Curator's max_sl_size and max_leaf_size."""
BRANCHING = 32
BOOST = 0.4
"""Share of the mean squared distance of a node's rows by which it is nearer: Curator's variance_boost."""


class ListBitmaps:
    """A bit for each tenant and list. The rows of these lists are looked at, and those of the tenant kept.

    segment: of an index with lists. owners: (n,) tenant of each row by position.
    """

    def __init__(self, segment: Segment, owners: np.ndarray, n_tenants: int) -> None:
        assert segment.positions is not None
        nlist = len(segment.offsets) - 1
        self._offsets, self._positions = segment.offsets, segment.positions
        self._stored = owners[segment.positions].astype(np.int32)
        bits = np.zeros((n_tenants, nlist), dtype=bool)
        bits[self._stored, np.repeat(np.arange(nlist), np.diff(segment.offsets))] = True
        self._bits = np.packbits(bits, axis=1, bitorder="little")

    @property
    def nbytes(self) -> int:
        """Bytes of the bits, and of the tenant of each row in storage order."""
        return self._bits.nbytes + self._stored.nbytes

    def positions_of(self, tenant: int) -> np.ndarray:
        """Positions (m,) int64, ascending, of the rows of a tenant."""
        nlist = len(self._offsets) - 1
        lists = np.flatnonzero(np.unpackbits(self._bits[tenant], count=nlist, bitorder="little"))
        starts, lengths = self._offsets[lists], np.diff(self._offsets)[lists]
        rows = np.arange(lengths.sum()) + np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
        return np.sort(self._positions[rows[self._stored[rows] == tenant]]).astype(np.int64)


@dataclass(frozen=True)
class BitmapColumn(Scalars):
    """A column of tenants, as numbers in texts, whose rows are found by bitmaps of lists."""

    bitmaps: ListBitmaps | None = None

    @classmethod
    def of_bitmaps(cls, column: Scalars, bitmaps: ListBitmaps) -> BitmapColumn:
        """The same column."""
        parts = column.kind, column.values, column.nulls, column.low, column.high, column.words
        return cls(*parts, bitmaps=bitmaps)

    def rows_with(self, text: str, most: int) -> np.ndarray | None:
        """See `Scalars`."""
        assert self.bitmaps is not None
        found = self.bitmaps.positions_of(int(text))
        return found if len(found) <= most else None


@dataclass
class Work:
    """What searches have read: rows scored, and centres compared."""

    rows: int = 0
    centres: int = 0


class SharedTree:
    """A tree of k-means over all rows. x: (n, d) rows of length 1."""

    def __init__(self, x: np.ndarray, seed: int) -> None:
        self.x = x
        tree = KMeansTree(BRANCHING, leaf_size=SHORT_LIST, balance="none", seed=seed).fit(x)
        self.centres, self.first, self.leaves = tree.node_centers_, tree.first_child_, tree.labels_
        self.begin, self.end = _leaf_ranges(tree)
        self.boosts = BOOST * _mean_squares(x, tree, self.begin, self.end)
        self.norms = (self.centres**2).sum(axis=1)

    @property
    def nbytes(self) -> int:
        """Bytes of the tree, without the rows."""
        return self.centres.nbytes + self.first.nbytes + self.boosts.nbytes


class TenantTree:
    """A tree as tenants see it. A tenant's rows stand in the order of the leaves, so that those below a node
    are a range; nodes with few of them are its short lists.

    owners: (n,) tenant of each row.
    """

    def __init__(self, shared: SharedTree, owners: np.ndarray, n_tenants: int) -> None:
        self.shared, self.work = shared, Work()
        self._rows = np.lexsort((shared.leaves, owners)).astype(np.int32)
        self._leaves = shared.leaves[self._rows].astype(np.int32)
        self._starts = np.searchsorted(owners[self._rows], np.arange(n_tenants + 1))

    @property
    def nbytes(self) -> int:
        """Bytes for the tenants: rows and leaves in order, and where each tenant begins."""
        return self._rows.nbytes + self._leaves.nbytes + self._starts.nbytes

    def search(self, query: np.ndarray, tenant: int, k: int, ef: int) -> np.ndarray:
        """Numbers of the k best rows of a tenant, best first: nodes by their distance, until no row of a
        short list comes among the `ef` best.
        """
        rows = self._rows[self._starts[tenant] : self._starts[tenant + 1]]
        leaves = self._leaves[self._starts[tenant] : self._starts[tenant + 1]]
        scores, found = np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int32)
        heap = [(0.0, 0, 0, len(rows))]
        while heap:
            _, node, low, high = heapq.heappop(heap)
            if high - low > SHORT_LIST and self.shared.end[node] - self.shared.begin[node] > 1:
                self._push_children(heap, query, node, leaves)
                continue
            listed = rows[low:high]
            own = self.shared.x[listed] @ query
            self.work.rows += len(listed)
            if len(scores) >= ef and own.max(initial=-np.inf) <= scores[-1]:
                break
            scores, found = np.append(scores, own), np.append(found, listed)
            best = np.argsort(-scores, kind="stable")[:ef]
            scores, found = scores[best], found[best]
        return found[:k]

    def _push_children(self, heap: list[Any], query: np.ndarray, node: int, leaves: np.ndarray) -> None:
        shared = self.shared
        children = np.arange(shared.first[node], shared.first[node + 1])
        low, high = (np.searchsorted(leaves, edge[children]) for edge in (shared.begin, shared.end))
        held = high > low
        children, low, high = children[held], low[held], high[held]
        self.work.centres += len(children)
        distances = shared.norms[children] - 2 * (shared.centres[children] @ query) - shared.boosts[children]
        for item in zip(distances.tolist(), children.tolist(), low.tolist(), high.tolist(), strict=True):
            heapq.heappush(heap, item)


def _leaf_ranges(tree: KMeansTree) -> tuple[np.ndarray, np.ndarray]:
    """First leaf below each node, and the one behind the last; leaves are numbered from left to right."""
    leaf = tree.node_leaf_
    begin, end = np.where(leaf >= 0, leaf, 0), leaf + 1
    for node in range(len(leaf) - 1, -1, -1):
        first, behind = tree.first_child_[node], tree.first_child_[node + 1]
        if behind > first:
            begin[node], end[node] = begin[first], end[behind - 1]
    return begin, end


def _mean_squares(x: np.ndarray, tree: KMeansTree, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Mean squared distance of the rows below each node from its centre; rows have length 1."""
    sizes = np.concatenate([[0], np.cumsum(tree.leaf_sizes_)])
    sums = np.zeros((len(tree.leaf_sizes_) + 1, x.shape[1]))
    for leaf, centre in enumerate(tree.cluster_centers_):
        sums[leaf + 1] = sums[leaf] + tree.leaf_sizes_[leaf] * centre.astype(np.float64)
    n = np.maximum(sizes[end] - sizes[begin], 1)[:, None]
    means = (sums[end] - sums[begin]) / n
    return np.asarray(1 - (means**2).sum(axis=1))
