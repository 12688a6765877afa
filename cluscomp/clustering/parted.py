"""Lloyd's algorithm over rows in several places: what travels are centroids, sums and counts, not the rows.

Sums are exact (exact_sums.py), so the result has the bits of one place for any cut into parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cluscomp import checks, native
from cluscomp.clustering.assign import run_assigner
from cluscomp.clustering.exact_sums import Extent
from cluscomp.clustering.kmeans import check_enough_rows
from cluscomp.clustering.lloyd import (
    Candidates,
    WeightedRows,
    best_candidates,
    chosen_donors,
    lloyd,
    means_of_sums,
    members_of,
    move_rows,
)
from cluscomp.clustering.seeding import random_start
from cluscomp.progress import Progress, Ticker
from cluscomp.vocabulary import Metric


class Crew(Protocol):
    """Calls the methods of parts, wherever these are. Each part is a `RowsPart`, in the order of the rows."""

    def each(self, method: str, *arguments: Any) -> list[Any]:
        """Results of all parts, in their order; they may work at the same time."""
        ...

    def one(self, part: int, method: str, *arguments: Any) -> Any:
        """Result of one part."""
        ...


@dataclass(frozen=True)
class LocalCrew:
    """Parts of this process, one after the other: each uses all threads."""

    parts: Sequence[RowsPart]

    def each(self, method: str, *arguments: Any) -> list[Any]:
        """As `Crew.each`."""
        return [self.one(part, method, *arguments) for part in range(len(self.parts))]

    def one(self, part: int, method: str, *arguments: Any) -> Any:
        """As `Crew.one`."""
        call: Callable[..., Any] = getattr(self.parts[part], method)
        return call(*arguments)


class RowsPart:
    """Some of the rows, with the labels of the last step. x: (n, d) of kernel dtype; row numbers are those of
    the part.
    """

    def __init__(self, x: Any, metric: Metric) -> None:
        self._rows = WeightedRows(x, metric)
        self._labels: np.ndarray | None = None
        self._scores = np.empty(0, dtype=np.float32)

    def extent(self) -> Extent:
        """Largest values of these rows."""
        return self._rows.extent

    def join(self, extent: Extent) -> None:
        """Round sums as all rows together need it; `extent` is that of all."""
        self._rows.extent = extent

    def idle_rows(self) -> np.ndarray:
        """Rows, ascending, that do not count: those without a direction, for cosine."""
        idle = np.ones(self._rows.n, dtype=bool)
        idle[self._rows.usable()] = False
        return np.flatnonzero(idle)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Copy (m, d) float32 of rows (m,), ascending."""
        return self._rows.take(rows)

    def assign(self, centroids: np.ndarray) -> tuple[float, bool]:
        """Sum of the losses of these rows, and whether each kept its label."""
        before = self._labels
        self._labels, self._scores = self._rows.assign(centroids, before, None)
        same = before is not None and self._rows.same_labels(self._labels, before)
        return self._rows.objective(self._scores, centroids), same

    def forget(self) -> None:
        """Let go of the labels: the next step is the first of a run."""
        self._labels = None

    def best_products(self, centroids: np.ndarray) -> np.ndarray:
        """Largest inner product (n,) float32 of each row with centroids (k, d)."""
        products: np.ndarray = run_assigner(native.Assigner(centroids, "ip"), self._rows.x)[1]
        return products

    def sums(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Sums (k, d) of the rows by label and (k,) of their weights, float64."""
        assert self._labels is not None
        return self._rows.sums(self._labels, k)

    def candidates(self, limit: int, k: int) -> tuple[Candidates, np.ndarray]:
        """The `limit` rows that would gain most as centroids, and the members (k,) of each cluster."""
        assert self._labels is not None
        gains = self._rows.gains(self._scores)
        return best_candidates(gains, self._labels, limit), members_of(self._rows, self._labels, k)

    def alone(self, row: int) -> tuple[np.ndarray, float]:
        """What a row adds to the sum of its cluster (d,), and its weight."""
        return self._rows.alone(row)


class PartedRows:
    """Rows of several parts as `lloyd` and `random_start` take them; all of weight one.

    first: (parts + 1,) number of the first row of each part, and of all rows.
    """

    mass = None

    def __init__(self, crew: Crew, first: np.ndarray, metric: Metric) -> None:
        self._crew = crew
        self._first = first
        self.n = int(first[-1])
        self.metric = metric
        extent = Extent.of_all(crew.each("extent"))
        crew.each("join", extent)

    def usable(self) -> np.ndarray:
        """Numbers, ascending, of the rows that count."""
        counts = np.ones(self.n, dtype=bool)
        for first, idle in zip(self._first, self._crew.each("idle_rows"), strict=False):
            counts[first + idle] = False
        return np.flatnonzero(counts)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Copy (m, d) float32 of rows (m,), ascending."""
        ends = np.searchsorted(rows, self._first)
        taken = [
            self._crew.one(part, "take", rows[ends[part] : ends[part + 1]] - self._first[part])
            for part in range(len(self._first) - 1)
            if ends[part] < ends[part + 1]
        ]
        return np.concatenate(taken)

    def assign(
        self, centroids: np.ndarray, hints: Any, ticker: Ticker | None
    ) -> tuple[list[tuple[float, bool]], list[tuple[float, bool]]]:
        """What each part said, in the place of labels and of scores, which stay with the parts."""
        if hints is None:
            self._crew.each("forget")
        said = self._crew.each("assign", centroids)
        if ticker is not None:
            ticker.advance(self.n)
        return said, said

    def same_labels(self, a: list[tuple[float, bool]], b: Any) -> bool:
        """Whether no row changed its label in the step `a`."""
        return all(same for _, same in a)

    def objective(self, scores: list[tuple[float, bool]], centroids: np.ndarray) -> float:
        """Sum of the losses of all rows."""
        return float(sum(loss for loss, _ in scores))

    def update(self, labels: Any, scores: Any, centroids: np.ndarray) -> np.ndarray:
        """Centroids (k, d) float32 of the clusters of the last step."""
        k = centroids.shape[0]
        parts = self._crew.each("sums", k)
        sums, counts = sum(part[0] for part in parts), sum(part[1] for part in parts)
        empty = np.flatnonzero(counts == 0)
        if empty.size:
            self._relocate(empty, sums, counts)
        return means_of_sums(sums, counts, self.metric, centroids)

    def _relocate(self, empty: np.ndarray, sums: np.ndarray, counts: np.ndarray) -> None:
        """`lloyd.relocate_empty`, of rows that lie elsewhere."""
        limit, k = empty.size + counts.size, counts.size
        said = self._crew.each("candidates", limit, k)
        best = Candidates.of_all([found for found, _ in said], self._first)
        members = sum(count for _, count in said)
        move_rows(zip(empty, chosen_donors(best, members), strict=False), self._alone, sums, counts)

    def _alone(self, row: int) -> tuple[np.ndarray, float]:
        part = int(np.searchsorted(self._first, row, side="right")) - 1
        found: tuple[np.ndarray, float] = self._crew.one(part, "alone", row - int(self._first[part]))
        return found


def cluster_parts(
    crew: Crew,
    first: np.ndarray,
    n_clusters: int,
    *,
    metric: Metric,
    n_iter: int,
    seed: int | tuple[int, ...] | None,
    tol: float,
    progress: Progress | None = None,
) -> np.ndarray:
    """Centroids (k, d) float32 with the bits of `kmeans.cluster_rows` on all rows in one place.

    first: as `PartedRows` takes it. tol, progress: as `train_kmeans` has them. Raises TooFewRowsError.
    """
    rows = PartedRows(crew, first, metric)
    check_enough_rows(rows, n_clusters)
    ticker = Ticker(progress, "k-means", rows.n * n_iter)
    start = random_start(rows, n_clusters, checks.rng(seed))
    run = lloyd(rows, start, n_iter=n_iter, tol=tol, final_assignment=False, ticker=ticker)
    ticker.finish()
    centroids: np.ndarray = run.centroids
    return centroids
