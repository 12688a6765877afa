"""Hierarchical k-means from below, and balanced samples from a hierarchy: automatic curation of data.

Level 1 clusters the rows, level 2 the centroids of level 1, and so on. Plain k-means spends most centroids
where rows are dense. Resampling undoes that: the few rows nearest to each centroid are clustered again, so
that centroids spread over the support of the data rather than over its density. Drawing the same number of
rows from every cluster, from the top level down, then gives a sample in which rare concepts have their
place.
Source: Vo et al., "Automatic data curation for self-supervised learning: a clustering-based approach", TMLR
2024 (arXiv 2405.15613).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.arrays import as_numbers
from cluscomp.clustering.assign import assign_rows
from cluscomp.clustering.blocks import take_rows
from cluscomp.clustering.estimator import Estimator
from cluscomp.clustering.kmeans import cluster_rows
from cluscomp.errors import DimensionError, UsageError
from cluscomp.progress import Progress, Ticker
from cluscomp.vocabulary import Metric


class HierarchicalKMeans(Estimator):
    """Hierarchical k-means from below, with optional resampling.

    Source: Vo et al., "Automatic data curation for self-supervised learning: a clustering-based approach",
    TMLR 2024 (arXiv 2405.15613).

    Args:
        n_clusters: centroids of each level from the rows upwards, such as (10_000, 1_000, 100); an int is one
            level.
        metric: "l2" or "cosine".
        n_iter: most updates of every k-means.
        init: "k-means++" or "random". Resampling needs the former: random centroids start, and stay, where
            rows are dense. It takes k passes over up to max(16384, 8 k) rows.
        n_resampling: how often each level is clustered again from the rows nearest to its centroids; 0 is
            plain hierarchical k-means.
        points_per_cluster: how many rows each centroid then keeps, one number or one a level; None takes a
            quarter of the mean cluster size of the level, and at least 2.
        seed: of all random choices.

    Attributes:
        centroids_: list of (k_t, d) float32, from the rows upwards.
        parents_: list of int32 arrays: of each row its level-1 cluster, of each level-1 cluster its level-2
            cluster, and so on.
        cluster_centers_: (k, d) float32 of the top level.
        labels_: (n,) int32 of the top level.
        n_features_in_: d.
    """

    def __init__(
        self,
        n_clusters: int | Sequence[int],
        *,
        metric: str = "l2",
        n_iter: int = 20,
        init: str = "k-means++",
        n_resampling: int = 0,
        points_per_cluster: int | Sequence[int] | None = None,
        seed: int | None = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.metric = metric
        self.n_iter = n_iter
        self.init = init
        self.n_resampling = n_resampling
        self.points_per_cluster = points_per_cluster
        self.seed = seed

    def fit(self, x: Any, y: Any = None, progress: Progress | None = None) -> HierarchicalKMeans:
        """Build the levels on rows.

        Args:
            x: rows (n, d), as `assign` takes them.
            y: ignored; scikit-learn passes it.
            progress: called as progress(stage, done, total) in rows assigned, of as many as there can be.

        Returns:
            The estimator.

        Raises:
            UsageError: a parameter cannot work, or a level is larger than the one below.
            TooFewRowsError: fewer rows than level-1 clusters.
            DimensionError, DTypeError, NonFiniteError: as `assign` raises them.
        """
        rows = self._check_fit_rows(x)
        metric = self._metric()
        sizes = _numbers("n_clusters", self.n_clusters)
        kept = self._kept_points(sizes)
        if any(a < b for a, b in itertools.pairwise(sizes)):
            raise UsageError(
                f"n_clusters={tuple(sizes)} grows, but each level clusters the centroids below it"
            )
        base = int(checks.rng(self.seed).integers(1 << 62))
        self.centroids_: list[np.ndarray] = []
        self.parents_: list[np.ndarray] = []
        n_rows = rows.shape[0] + sum(sizes[:-1])
        ticker = Ticker(progress, "k-means", n_rows * (1 + self.n_resampling) * (1 + self.n_iter))
        for level, (size, points) in enumerate(zip(sizes, kept, strict=True)):
            centroids, labels = self._level(rows, size, points, metric, (base, level), ticker)
            self.centroids_.append(centroids)
            self.parents_.append(labels)
            rows = centroids
        ticker.finish()
        self.cluster_centers_ = self.centroids_[-1]
        self.labels_ = self._top(self.parents_[0])
        return self

    def predict(self, x: Any) -> np.ndarray:
        """Label rows by the top-level clusters of their nearest level-1 centroids.

        Args:
            x: rows (n, d), as `assign` takes them.

        Returns:
            Labels (n,) int32 of the top level.

        Raises:
            NotTrainedError: `fit` has not been called.
            DimensionError: x has another width than the rows of `fit`.
        """
        rows = self._check_rows(x)
        return self._top(assign_rows(rows, self.centroids_[0], self._metric())[0])

    def fit_predict(self, x: Any, y: Any = None) -> np.ndarray:
        """Build the levels on rows and return their top-level labels.

        Args:
            x: rows (n, d), as `assign` takes them.
            y: ignored; scikit-learn passes it.

        Returns:
            Labels (n,) int32 of the rows: fit(x).labels_.
        """
        labels: np.ndarray = self.fit(x).labels_
        return labels

    def sample(self, n_samples: int, *, seed: int | None = 0) -> np.ndarray:
        """Draw a sample of the fitted rows that is balanced over the hierarchy.

        Args:
            n_samples: rows to draw.
            seed: of the draws.

        Returns:
            Row numbers (n_samples,) int64, ascending: see `balanced_sample`.

        Raises:
            NotTrainedError: `fit` has not been called.
            UsageError: n_samples is not between 0 and n.
        """
        self._check_fitted()
        return balanced_sample(self.parents_, n_samples, seed=seed)

    def _metric(self) -> Metric:
        metric = checks.metric(self.metric)
        if metric == "ip":
            raise UsageError("metric 'ip' has no meaning between centroids; pass 'l2' or 'cosine'")
        return metric

    def _top(self, labels: np.ndarray) -> np.ndarray:
        for parents in self.parents_[1:]:
            labels = parents[labels]
        return labels

    def _kept_points(self, sizes: list[int]) -> list[int | None]:
        """Rows kept by a centroid at each level, None where it follows from the mean size."""
        checks.integer("n_resampling", self.n_resampling, 0)
        if self.points_per_cluster is None:
            return [None] * len(sizes)
        kept = _numbers("points_per_cluster", self.points_per_cluster)
        if len(kept) not in (1, len(sizes)):
            raise UsageError(
                f"points_per_cluster has {len(kept)} numbers, but n_clusters has {len(sizes)} levels"
            )
        return [*kept] if len(kept) == len(sizes) else [kept[0]] * len(sizes)

    def _level(
        self,
        rows: np.ndarray,
        size: int,
        points: int | None,
        metric: Metric,
        seed: tuple[int, int],
        ticker: Ticker,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Centroids (size, d) of one level and the labels (n,) of `rows`."""
        settings: dict[str, Any] = {"metric": metric, "n_iter": self.n_iter, "init": self.init}
        ticks = ticker.as_progress()
        centroids = cluster_rows(rows, size, seed=seed, progress=ticks, **settings).centroids
        labels, scores = assign_rows(rows, centroids, metric, ticker=ticker)
        points = max(2, rows.shape[0] // size // 4) if points is None else points
        for turn in range(self.n_resampling):
            near = nearest_members(labels, scores if metric == "l2" else -scores, points)
            if near.size < size:
                break
            part, ticks = take_rows(rows, near), ticker.as_progress()
            centroids = cluster_rows(part, size, seed=(*seed, turn), progress=ticks, **settings).centroids
            labels, scores = assign_rows(rows, centroids, metric, ticker=ticker)
        return centroids, labels


def nearest_members(labels: np.ndarray, loss: np.ndarray, points: int) -> np.ndarray:
    """Ascending rows that are among the `points` of smallest loss in their cluster; ties: the lowest row."""
    order = np.lexsort((loss, labels))
    ordered = labels[order]
    rank = np.arange(labels.size) - np.searchsorted(ordered, ordered)
    return np.sort(order[rank < points])


def balanced_sample(parents: Sequence[Any], n_samples: int, *, seed: int | None = 0) -> np.ndarray:
    """Draw rows that are balanced over a hierarchy of clusters.

    From the top down every cluster gets the same number of samples; what a small cluster cannot fill is
    shared by the others, and a remainder goes to clusters drawn at random. Rows of a lowest cluster are drawn
    without replacement. Source: Vo et al., TMLR 2024 (arXiv 2405.15613).

    Args:
        parents: of each row its cluster (n,), of each such cluster its parent, and so on upwards; `[labels]`
            balances over one flat clustering.
        n_samples: rows to draw.
        seed: of the draws.

    Returns:
        Row numbers (n_samples,) int64, ascending.

    Raises:
        UsageError: n_samples is not between 0 and n.
        DimensionError: a level does not fit the one below.
    """
    levels = [as_numbers(level, name=f"parents[{i}]") for i, level in enumerate(parents)]
    n = levels[0].size if levels else 0
    n_samples = checks.integer("n_samples", n_samples, 0, n)
    rng = checks.rng(seed)
    sizes = _rows_below(levels)
    budget = _shares(sizes[-1], n_samples, rng)
    for level in range(len(levels) - 1, 0, -1):
        below = np.zeros(sizes[level - 1].size, dtype=np.int64)
        for members, share in zip(_members(levels[level], budget.size), budget, strict=True):
            if share:
                below[members] = _shares(sizes[level - 1][members], int(share), rng)
        budget = below
    drawn = [
        rng.choice(members, size=int(share), replace=False, shuffle=False)
        for members, share in zip(_members(levels[0], budget.size), budget, strict=True)
        if share
    ]
    return np.sort(np.concatenate(drawn)) if drawn else np.empty(0, dtype=np.int64)


def _rows_below(levels: list[np.ndarray]) -> list[np.ndarray]:
    """Number of rows below each cluster of each level."""
    sizes: list[np.ndarray] = []
    weight = np.ones(levels[0].size, dtype=np.int64)
    for number, level in enumerate(levels):
        if level.ndim != 1 or level.dtype.kind not in "iu" or (level.size and level.min() < 0):
            raise DimensionError(f"parents[{number}] must be a vector of cluster numbers from 0")
        n_clusters = int(level.max(initial=-1)) + 1
        if number + 1 < len(levels):
            above = levels[number + 1].size
            if above < n_clusters:
                raise DimensionError(
                    f"parents[{number + 1}] has {above} entries, but there are {n_clusters} clusters below"
                )
            n_clusters = above  # the last ones may be empty
        count = np.zeros(n_clusters, dtype=np.int64)
        np.add.at(count, level, weight)
        sizes.append(count)
        weight = count
    return sizes


def _members(labels: np.ndarray, n_clusters: int) -> list[np.ndarray]:
    """Ascending members of each cluster."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.searchsorted(labels[order], np.arange(1, n_clusters)))


def _shares(sizes: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers (k,) int64 adding up to `total`, none above its size, as equal as that allows."""
    ordered = np.sort(sizes)
    # Filling all clusters up to the height ordered[i] takes needed[i].
    needed = np.cumsum(ordered) + ordered * np.arange(sizes.size - 1, -1, -1)
    full = int(np.searchsorted(needed, total, side="right"))
    if full == sizes.size:
        return sizes.copy()
    spent = int(ordered[:full].sum())
    height = (total - spent) // (sizes.size - full)
    shares = np.minimum(sizes, height)
    open_clusters = np.flatnonzero(sizes > height)
    extra = rng.choice(open_clusters, size=total - int(shares.sum()), replace=False)
    shares[extra] += 1
    return shares


def _numbers(name: str, value: Any) -> list[int]:
    """One positive integer or a sequence of them, as a list."""
    several = isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str)
    values = list(value) if several else [value]
    if not values:
        raise UsageError(f"{name} is empty; pass at least one number")
    return [checks.integer(f"{name}[{i}]" if several else name, number, 1) for i, number in enumerate(values)]
