"""Starting centroids for k-means.

Both starts choose among the *different* rows of a sample, in an order that depends on the seed and on the
contents of the rows alone. So a permutation of the rows, or a weight of 2 instead of a repeated row, starts
from the same centroids as long as the sample is the whole (up to max(16384, 8 k) rows).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks, normalize_rows, row_norms
from cluscomp.clustering.blocks import block_rows, subtracted, take_rows
from cluscomp.vocabulary import Metric

_SAMPLE_ROWS, _SAMPLE_ROWS_PER_CLUSTER = 16_384, 8
_ROUNDING = np.float32(2.0**-20)  # of a float32 distance by matrix products, relative to |x|^2 + |c|^2


class StartRows(Protocol):
    """What a start asks of rows, as `lloyd.WeightedRows` says."""

    @property
    def n(self) -> int: ...
    @property
    def metric(self) -> Metric: ...
    @property
    def mass(self) -> np.ndarray | None: ...
    def usable(self) -> np.ndarray: ...
    def take(self, rows: np.ndarray) -> np.ndarray: ...


def random_start(rows: StartRows, n_clusters: int, rng: np.random.Generator) -> np.ndarray:
    """n_clusters rows (k, d) float32 drawn at random; different ones while there are any."""
    sample, _ = _distinct_sample(rows, n_clusters, rng)
    return take_rows(sample, np.arange(n_clusters) % sample.shape[0])


def kmeans_plus_plus_start(rows: StartRows, n_clusters: int, rng: np.random.Generator) -> np.ndarray:
    """Greedy k-means++ (k, d) float32: each next centroid is the best of 2 + log k rows drawn by distance.

    Rows are drawn in proportion to weight times squared Euclidean distance from the centroids so far (metric
    cosine: between unit rows), and the one that leaves the smallest sum is kept.
    Source: Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007, with the
    greedy choice that scikit-learn makes too.
    """
    sample, mass = _distinct_sample(rows, n_clusters, rng)
    # Distances by |x|^2 - 2<x,c> + |c|^2 cancel under a common offset; centring removes it.
    n_drawn = min(n_clusters, sample.shape[0])
    centred = subtracted(sample, sample.mean(axis=0, dtype=np.float64))
    drawn = far_rows(centred, mass, n_drawn, rng)
    return take_rows(sample, drawn[np.arange(n_clusters) % n_drawn])


def _distinct_sample(
    rows: StartRows, n_clusters: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Different rows (n', d) float32 (cosine: unit rows) in random order, and their total weights (n',)."""
    usable = sample_usable(rows, n_clusters, rng)
    sample = rows.take(usable)
    if rows.metric == "cosine":
        sample = normalize_rows(sample)
    mass = np.ones(usable.size) if rows.mass is None else rows.mass[usable]
    _, first, group = np.unique(_hash_rows(sample, rng), return_index=True, return_inverse=True)
    return take_rows(sample, first), np.bincount(group, weights=mass)


def sample_usable(rows: StartRows, n_clusters: int, rng: np.random.Generator) -> np.ndarray:
    """Ascending numbers of the rows to start from: all that count, or a sample of them."""
    usable = rows.usable()
    limit = _sample_limit(n_clusters)
    if usable.size <= limit:
        return usable
    return np.sort(rng.choice(usable, size=limit, replace=False, shuffle=False))


def start_bytes(n: int, n_clusters: int, dim: int, metric: Metric) -> int:
    """Memory that `random_start` takes for n rows: the sample, its hashes, the different rows."""
    value = 20 if metric == "cosine" else 12  # rows as drawn and of length one beside the rest
    return min(n, _sample_limit(n_clusters)) * dim * value


def _sample_limit(n_clusters: int) -> int:
    return max(_SAMPLE_ROWS, _SAMPLE_ROWS_PER_CLUSTER * n_clusters)


def _hash_rows(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """64-bit hash (n,) of each float32 row: multiply-add with random odd numbers, then splitmix64's mixer."""
    odd = rng.integers(0, 1 << 63, size=x.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    keys = np.empty(x.shape[0], dtype=np.uint64)
    for block in iter_blocks(x.shape[0], block_rows(x.shape[1], 1)):
        words = (x[block] + np.float32(0)).view(np.uint32)  # adding 0 gives -0 and 0 the same bits
        np.einsum("ij,j->i", words, odd, dtype=np.uint64, casting="same_kind", out=keys[block])
    return mix(keys)


def mix(key: np.ndarray) -> np.ndarray:
    """The mixer of splitmix64, entry by entry: (n,) uint64 to uint64."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        key = (key ^ (key >> np.uint64(shift))) * np.uint64(factor)
    return key


def far_rows(x: np.ndarray, mass: np.ndarray, n_drawn: int, rng: np.random.Generator) -> np.ndarray:
    """Indices (n_drawn,), all different, of the rows that greedy k-means++ picks.

    x: (n, d) float32, around 0 (see `kmeans_plus_plus_start`). mass: (n,) weights. The order of the rows
    decides which are drawn.
    """
    n_trials = 2 + int(np.log(n_drawn))
    squares = (row_norms(x) ** 2).astype(np.float32)
    drawn = np.empty(n_drawn, dtype=np.int64)
    drawn[0] = _draw(mass, 1, rng)[0]
    nearest = _squared_distances(x, squares, drawn[:1])[:, 0]
    free = np.ones(x.shape[0], dtype=bool)
    for i in range(1, n_drawn):
        free[drawn[i - 1]] = False
        cost = np.where(free, nearest * mass, 0.0)
        if not cost.any():  # all that is left lies on chosen rows, to rounding
            cost = np.where(free, mass, 0.0)
        trials = _draw(cost, n_trials, rng)
        distances = np.minimum(_squared_distances(x, squares, trials), nearest[:, None])
        best = int(np.argmin(native.packed_matrix(distances).multiply_f64(mass[None])))
        drawn[i] = trials[best]
        nearest = np.ascontiguousarray(distances[:, best])
    return drawn


def _draw(cost: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Indices (size,) drawn with replacement in proportion to `cost`; never one of cost 0."""
    cumulated = np.cumsum(cost)
    draws = rng.random(size) * cumulated[-1]
    last = np.flatnonzero(cost)[-1]  # rounding may lead past it
    drawn: np.ndarray = np.minimum(np.searchsorted(cumulated, draws, side="right"), last)
    return drawn


def _squared_distances(x: np.ndarray, squares: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Squared distances (n, len(chosen)) float32; those below the rounding error count as 0."""
    largest = squares[:, None] + squares[chosen]
    distances: np.ndarray = largest - 2.0 * native.packed_matrix(x[chosen].T).multiply(x)
    distances[distances <= _ROUNDING * largest] = 0.0
    return distances
