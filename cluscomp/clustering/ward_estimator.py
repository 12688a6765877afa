"""Ward's method as an estimator."""

from __future__ import annotations

from typing import Any

import numpy as np

from cluscomp import checks, native
from cluscomp.clustering.estimator import Estimator
from cluscomp.clustering.kmeans import check_numbers
from cluscomp.clustering.labels import by_first_appearance
from cluscomp.clustering.lloyd import WeightedRows, update_centroids
from cluscomp.clustering.ward import ward_merges
from cluscomp.errors import TooFewRowsError, UsageError


class Ward(Estimator):
    """Agglomerative clustering by Ward's method.

    Merges and ties are those of scipy. New rows join the nearest mean by `assign`. Memory is 8 n^2 bytes, so
    the number of rows is limited. For cosine, pass rows of length one: their squared distance is twice 1 -
    cosine.

    Args:
        n_clusters: number of clusters, or None with a distance_threshold.
        distance_threshold: merges at or above this height are undone; None with n_clusters.

    Attributes:
        labels_: (n,) int32, numbered by first appearance.
        n_clusters_: number of clusters.
        cluster_centers_: (k, d) float32, the means.
        children_: (n - 1, 2) int64, the merges by ascending height, as scikit-learn writes them: rows are 0
            to n - 1, merge i makes the cluster n + i.
        distances_: (n - 1,) float64, their heights.
        inertia_: sum of squared distances to the means.
        n_features_in_: d.
    """

    def __init__(self, n_clusters: int | None = 2, *, distance_threshold: float | None = None) -> None:
        self.n_clusters = n_clusters
        self.distance_threshold = distance_threshold

    def fit(self, x: Any, y: Any = None) -> Ward:
        """Merge rows.

        Args:
            x: rows (n, d), as `assign` takes them.
            y: ignored; scikit-learn passes it.

        Returns:
            The estimator.

        Raises:
            UsageError: not exactly one of n_clusters and distance_threshold is given, or one that cannot
                work.
            TooFewRowsError: fewer rows than clusters.
            InfeasibleError: too many rows.
            DimensionError, DTypeError, NonFiniteError: as `assign` raises them.
        """
        rows = self._check_fit_rows(x)
        n = rows.shape[0]
        self._check_parameters(n)
        merges = ward_merges(rows, np.zeros(1, np.int64), np.array([n]))
        linkage = native.linkage_matrix(merges.pairs, merges.heights)
        self.children_ = linkage[:, :2].astype(np.int64)
        self.distances_ = linkage[:, 2]
        if self.distance_threshold is None:
            assert self.n_clusters is not None  # has been checked
            self.n_clusters_ = int(self.n_clusters)
        else:
            self.n_clusters_ = 1 + int(np.count_nonzero(self.distances_ >= self.distance_threshold))
        self.labels_ = _labels_after(self.children_[: n - self.n_clusters_], n)
        empty = np.zeros((self.n_clusters_, rows.shape[1]), dtype=np.float32)
        nothing = np.zeros(n, dtype=np.float32)
        self.cluster_centers_ = update_centroids(WeightedRows(rows, "l2"), self.labels_, nothing, empty)
        self.inertia_ = float((self.distances_[: n - self.n_clusters_] ** 2).sum() / 2)
        return self

    def fit_predict(self, x: Any, y: Any = None) -> np.ndarray:
        """Merge rows and return their labels.

        Args:
            x: rows (n, d), as `assign` takes them.
            y: ignored; scikit-learn passes it.

        Returns:
            Labels (n,) int32 of the rows: fit(x).labels_.
        """
        labels: np.ndarray = self.fit(x).labels_
        return labels

    def _check_parameters(self, n: int) -> None:
        threshold = self.distance_threshold
        if (self.n_clusters is None) == (threshold is None):
            raise UsageError(
                f"exactly one of n_clusters and distance_threshold must be None, but they are "
                f"{self.n_clusters!r} and {threshold!r}"
            )
        if threshold is not None:
            checks.number("distance_threshold", threshold, low=0)
            return
        check_numbers(n_clusters=self.n_clusters)
        assert self.n_clusters is not None  # has been checked
        if n < self.n_clusters:
            raise TooFewRowsError(
                f"n_clusters={self.n_clusters} needs at least {self.n_clusters} rows, but there are {n} "
                f"(n_samples={n}); pass more rows or a smaller n_clusters"
            )


def _labels_after(children: np.ndarray, n: int) -> np.ndarray:
    """Labels (n,) int32, by first appearance, of n rows after the given merges."""
    parent = np.arange(n + children.shape[0])
    parent[children] = n + np.arange(children.shape[0])[:, None]
    while True:  # every turn halves the way to the top
        above = parent[parent]
        if np.array_equal(above, parent):
            break
        parent = above
    return by_first_appearance(parent[:n])
