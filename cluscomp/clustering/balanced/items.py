"""The units of a capacity-constrained assignment: distinct rows, each with its multiplicity.

Equal rows are one item whose mass is their number, so they may be split among clusters at no cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cluscomp.arrays import iter_blocks, normalize_rows, to_float32
from cluscomp.clustering.blocks import block_rows
from cluscomp.vocabulary import Metric


@dataclass(frozen=True)
class Items:
    """The distinct rows of x, each with the number of times it occurs (its mass).

    row_of_item: (m,) first row of each item. item_of_row: (n,) item of each row. mass: (m,) multiplicities.
    All three are None where every row is an item of its own.
    """

    x: np.ndarray
    metric: Metric
    row_of_item: np.ndarray | None = None
    item_of_row: np.ndarray | None = None
    mass: np.ndarray | None = None

    @property
    def n(self) -> int:
        return self.x.shape[0] if self.row_of_item is None else self.row_of_item.shape[0]

    def vectors(self, which: slice | np.ndarray) -> np.ndarray:
        """Rows of some items as the kernels read them; unit rows for the metric cosine."""
        taken = self.x[which if self.row_of_item is None else self.row_of_item[which]]
        return normalize_rows(taken) if self.metric == "cosine" else np.ascontiguousarray(taken)

    def labels(self, units: np.ndarray) -> np.ndarray:
        """Label of each row from the cluster of each unit of mass: of equal rows, the first come first."""
        if self.item_of_row is None:
            return units
        labels = np.empty(self.item_of_row.shape[0], dtype=np.int32)
        labels[np.argsort(self.item_of_row, kind="stable")] = units
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
