"""Lloyd's algorithm on weighted rows: assign, move each centroid to the mean of its members, repeat.

Empty clusters: each takes, in order of its index, the row that would gain most by being a centroid of its
own (the row farthest from its centroid; ties: lowest row), as scikit-learn does. A row of weight 0, the last
member of a cluster, or a row that already lies on its centroid is never taken; if no row is left, the empty
centroid stays where it was. Under l2 and cosine the move cannot raise the objective.

Sums are exact (exact_sums.py), so the result is the same bits for any thread count and block size, and for
any cut of the rows into parts that are summed elsewhere.
Source: Lloyd, "Least squares quantization in PCM", IEEE Trans. Inf. Theory 28 (1982); for cosine, Dhillon and
Modha, "Concept decompositions for large sparse text data using clustering", Machine Learning 42 (2001).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks, normalize_rows, row_norms, to_float32
from cluscomp.clustering.assign import assign_rows
from cluscomp.clustering.blocks import block_rows, take_rows
from cluscomp.clustering.directions import main_directions, pays_to_bound_by_directions
from cluscomp.clustering.exact_sums import Extent, exact_sum, rounder
from cluscomp.progress import Ticker
from cluscomp.vocabulary import Metric


class WeightedRows:
    """The rows to cluster, with what the metric needs to know of each.

    x: (n, d) of kernel dtype, possibly a memory map. mass: (n,) float64 sample weights, or None for all one.
    Subclasses hold other rows: CSR (spherical_rows.py), torch tensors in GPU memory (device_rows.py).
    """

    def __init__(self, x: Any, metric: Metric, mass: np.ndarray | None = None) -> None:
        self.x = x
        self.n = x.shape[0]
        self.metric = metric
        self.mass = mass
        self.norms = None if metric == "l2" else self._row_norms()
        self.pull = self._pull()
        self._basis: np.ndarray | None = None

    def _row_norms(self) -> np.ndarray:
        return row_norms(self.x)

    def _pull(self) -> np.ndarray | None:
        """Weight with which a row enters its centroid's sum: cosine adds unit rows without building them."""
        if self.metric != "cosine" or self.norms is None:
            return self.mass
        mass = 1.0 if self.mass is None else self.mass
        pull: np.ndarray = np.divide(mass, self.norms, out=np.zeros_like(self.norms), where=self.norms > 0)
        return pull

    def usable(self) -> np.ndarray:
        """Indices, ascending, of the rows that count: positive weight and, for cosine, a direction."""
        if self.pull is None:
            return np.arange(self.n)
        return np.flatnonzero(self.pull > 0)

    def assign(
        self, centroids: np.ndarray, hints: np.ndarray | None, ticker: Ticker | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Labels (n,) int32 and scores (n,) float32; hints: the labels of the last step, if there was one."""
        basis = None if hints is None else self._directions(centroids)
        return assign_rows(
            self.x, centroids, self.metric, norms=self.norms, hints=hints, basis=basis, ticker=ticker
        )

    def _directions(self, centroids: np.ndarray) -> np.ndarray | None:
        """Those by which pairs are bounded first, found once, when labels are known from the step before: the
        bounds are worth little until a centroid near the row is known.
        """
        if self._basis is None and pays_to_bound_by_directions(self.n, *centroids.shape):
            self._basis = main_directions(centroids)
        return self._basis

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Copy (m, d) float32 of the given rows, ascending numbers (m,)."""
        return to_float32(take_rows(self.x, rows))

    def same_labels(self, a: Any, b: Any) -> bool:
        """Whether two results of `assign` name the same clusters."""
        return np.array_equal(a, b)

    def update(self, labels: np.ndarray, scores: np.ndarray, centroids: np.ndarray) -> np.ndarray:
        """Centroids (k, d) float32 of the clusters that `labels` describes."""
        return update_centroids(self, labels, scores, centroids)

    @cached_property
    def extent(self) -> Extent:
        """Largest values, on which the rounding of sums depends; of all rows where these are a part."""
        columns, pulled = np.zeros(self.x.shape[1]), np.zeros(self.x.shape[1])
        for block in iter_blocks(self.n, block_rows(self.x.shape[1], 1)):
            for largest, found in zip((columns, pulled), self._largest(block), strict=True):
                np.maximum(largest, found, out=largest)
        return self._extent(columns, pulled)

    def _largest(self, block: slice) -> tuple[np.ndarray, np.ndarray]:
        """Largest magnitudes (d,) of the columns of some rows, and of these times their pull."""
        rows = np.abs(to_float32(self.x[block]))
        columns: np.ndarray = rows.max(axis=0)
        return columns, columns if self.pull is None else (rows * self.pull[block, None]).max(axis=0)

    def _extent(self, columns: np.ndarray, pulled: np.ndarray) -> Extent:
        pull, mass = (1.0 if given is None else float(given.max()) for given in (self.pull, self.mass))
        return Extent(self.n, columns, pulled, pull, mass)

    @cached_property
    def rounders(self) -> np.ndarray:
        """`Extent.rounders`."""
        return self.extent.rounders()

    def sums(self, labels: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Sums (k, d) float64 of the rows by label, times their pull, and the sums (k,) of the pulls."""
        sums, counts = np.zeros((k, self.x.shape[1])), np.zeros(k)
        for block in iter_blocks(self.n, block_rows(self.x.shape[1], 1)):
            pull = None if self.pull is None else self.pull[block]
            native.accumulate(self.x[block], labels[block], pull, sums, counts, self.rounders)
        return sums, counts

    def alone(self, row: int) -> tuple[np.ndarray, float]:
        """What a row adds to the sum of its cluster (d,) float64, and to the sum of pulls."""
        sums, counts = np.zeros((1, self.x.shape[1])), np.zeros(1)
        pull = None if self.pull is None else self.pull[row : row + 1]
        label = np.zeros(1, dtype=np.int32)
        native.accumulate(self.take(np.array([row])), label, pull, sums, counts, self.rounders)
        return sums[0], float(counts[0])

    def objective(self, scores: np.ndarray, centroids: np.ndarray) -> float:
        """Weighted sum of the losses of all rows (table in metrics.py) for their scores with `centroids`."""
        loss = scores.astype(np.float64)
        if self.metric != "l2":
            loss = (1.0 if self.metric == "cosine" else 0.0) - loss
        if self.mass is not None:
            loss *= self.mass
        return exact_sum(loss, rounder(self.extent.mass * self._largest_loss(centroids), self.extent.n))

    def _largest_loss(self, centroids: np.ndarray) -> float:
        if self.metric == "cosine":
            return 4.0
        rows, points = self.extent.length(), float(row_norms(centroids).max())
        return 2 * ((rows + points) ** 2 if self.metric == "l2" else rows * points)

    def gains(self, scores: np.ndarray) -> np.ndarray:
        """How much the loss of each row falls (n,) if the row becomes a centroid; 0 for rows not usable."""
        if self.metric == "l2":
            gains = scores.astype(np.float64)
        elif self.metric == "cosine" or self.norms is None:
            gains = 1.0 - scores.astype(np.float64)
        else:
            gains = self.norms**2 - scores
        if self.pull is not None:
            gains[self.pull <= 0] = 0.0
        return gains


@dataclass(frozen=True)
class LloydResult:
    """Outcome of one run of Lloyd's algorithm.

    labels and objective belong to `centroids` if `settled`; otherwise to the centroids one update before.
    history: objective of the starting centroids and after each update that was measured.
    Arrays are NumPy's, or tensors on the device of the rows.
    """

    centroids: Any
    labels: Any
    objective: float
    n_iter: int
    settled: bool
    history: tuple[float, ...]


class Clusterable(Protocol):
    """What the loop asks of rows, as `WeightedRows` says; labels and scores are whatever `assign` returns."""

    def assign(self, centroids: Any, hints: Any, ticker: Ticker | None) -> tuple[Any, Any]: ...
    def same_labels(self, a: Any, b: Any) -> bool: ...
    def objective(self, scores: Any, centroids: Any) -> float: ...
    def update(self, labels: Any, scores: Any, centroids: Any) -> Any: ...


def lloyd(
    rows: Clusterable,
    centroids: np.ndarray,
    *,
    n_iter: int,
    tol: float,
    final_assignment: bool = True,
    ticker: Ticker | None = None,
) -> LloydResult:
    """Run at most n_iter updates (n_iter >= 1) from `centroids` (k, d) float32.

    Stops early when no label changes, or when the objective changes by at most tol times its value.
    final_assignment: assign once more after the last update, so that labels belong to the centroids returned.
    """
    history: list[float] = []
    labels: Any = None
    for step in range(n_iter + final_assignment):
        previous = labels
        labels, scores = rows.assign(centroids, previous, ticker)
        history.append(rows.objective(scores, centroids))
        settled = previous is not None and rows.same_labels(labels, previous)
        if step == n_iter or settled or _flat(history, tol):
            return LloydResult(centroids, labels, history[-1], step, True, tuple(history))
        centroids = rows.update(labels, scores, centroids)
    return LloydResult(centroids, labels, history[-1], n_iter, False, tuple(history))


def update_centroids(
    rows: WeightedRows, labels: np.ndarray, scores: np.ndarray, centroids: np.ndarray
) -> np.ndarray:
    """Centroids (k, d) float32 of the clusters that `labels` describes; `scores` find rows for empty ones."""
    sums, counts = rows.sums(labels, centroids.shape[0])
    relocate_empty(rows, labels, scores, sums, counts)
    return means_of_sums(sums, counts, rows.metric, centroids)


def means_of_sums(sums: np.ndarray, counts: np.ndarray, metric: Metric, centroids: np.ndarray) -> np.ndarray:
    """Means (k, d) float32 of clusters, or for cosine their directions; `centroids` where there is none."""
    if metric == "cosine":
        means = normalize_rows(sums)
        # Members that cancel each other have no mean direction; any centroid is as good, so keep the old one.
        kept = ~means.any(axis=1)
    else:
        kept = counts == 0
        means = sums / np.where(kept, 1.0, counts)[:, None]
    means[kept] = centroids[kept]
    return means.astype(np.float32)


def relocate_empty(
    rows: WeightedRows, labels: np.ndarray, scores: np.ndarray, sums: np.ndarray, counts: np.ndarray
) -> None:
    """Give each empty cluster a row of its own by moving it between the sums, in place (rule: above)."""
    empty = np.flatnonzero(counts == 0)
    if empty.size == 0:
        return
    rows_to_move = donors(rows, labels, rows.gains(scores), empty.size, counts.size)
    move_rows(zip(empty, rows_to_move, strict=False), rows.alone, sums, counts)


def move_rows(
    moves: Iterable[tuple[int, tuple[int, int]]],
    alone: Callable[[int], tuple[np.ndarray, float]],
    sums: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Move rows between sums (k, d) and counts (k,), in place.

    moves: (cluster, (row, its label)). alone: what a row adds to both.
    """
    for cluster, (row, label) in moves:
        moved, weight = alone(row)
        sums[cluster] += moved
        counts[cluster] += weight
        sums[label] -= moved
        counts[label] -= weight


def donors(
    rows: WeightedRows, labels: np.ndarray, gains: np.ndarray, wanted: int, n_clusters: int
) -> Iterator[tuple[int, int]]:
    """Rows, with their labels, by falling gain, ties by row; never the last member of a cluster."""
    # At most one last member per cluster is skipped, so this many candidates are enough.
    candidates = best_candidates(gains, labels, wanted + n_clusters)
    return chosen_donors(candidates, members_of(rows, labels, n_clusters))


@dataclass(frozen=True)
class Candidates:
    """Rows (m,) by falling gain, ties by row, with their gains (m,) and labels (m,)."""

    rows: np.ndarray
    gains: np.ndarray
    labels: np.ndarray

    @classmethod
    def of_all(cls, parts: Sequence[Candidates], first: np.ndarray) -> Candidates:
        """Those of several parts; first: number of the first row of each part."""
        rows = np.concatenate([start + part.rows for start, part in zip(first, parts, strict=False)])
        gains = np.concatenate([part.gains for part in parts])
        order = np.lexsort((rows, -gains))
        return cls(rows[order], gains[order], np.concatenate([part.labels for part in parts])[order])


def best_candidates(gains: np.ndarray, labels: np.ndarray, limit: int) -> Candidates:
    """At least the `limit` rows with the largest gains (n,) above 0, or all of them."""
    least = np.partition(gains, max(0, gains.size - limit))[max(0, gains.size - limit)]
    rows = np.flatnonzero((gains >= least) & (gains > 0))
    rows = rows[np.argsort(-gains[rows], kind="stable")]
    return Candidates(rows, gains[rows], labels[rows])


def members_of(rows: WeightedRows, labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """Rows (k,) of each cluster that count."""
    return np.bincount(labels[rows.usable()], minlength=n_clusters)


def chosen_donors(candidates: Candidates, members: np.ndarray) -> Iterator[tuple[int, int]]:
    """(row, label) of the candidates in turn, but for last members; `members` is changed."""
    for row, label in zip(candidates.rows.tolist(), candidates.labels.tolist(), strict=True):
        if members[label] > 1:
            members[label] -= 1
            yield row, label


def _flat(history: list[float], tol: float) -> bool:
    return len(history) > 1 and abs(history[-2] - history[-1]) <= tol * abs(history[-2])
