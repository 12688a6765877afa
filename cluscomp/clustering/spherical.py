"""Spherical k-means: clusters of directions, for dense and for sparse rows.

Dense rows go through `KMeans(metric="cosine")`, which is the same algorithm; this estimator adds
scipy.sparse input, such as TF-IDF or learned sparse vectors, which is never made dense.
Source: Dhillon and Modha, "Concept decompositions for large sparse text data using clustering", Machine
Learning 42 (2001).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.arrays import normalize_rows
from cluscomp.clustering.assign import assign_rows
from cluscomp.clustering.estimator import Estimator
from cluscomp.clustering.kmeans import (
    DEFAULT_TOL,
    KMeansResult,
    best_of_runs,
    check_enough_rows,
    check_numbers,
    check_start,
    check_weights,
    cluster_rows,
)
from cluscomp.clustering.spherical_rows import SparseRows, is_sparse
from cluscomp.errors import UsageError
from cluscomp.progress import Progress, Ticker


class SphericalKMeans(Estimator):
    """Spherical k-means: rows join the centroid of largest cosine.

    Ties go to the lowest centroid; a zero row has cosine 0 with everything. For sparse rows memory is O(nnz +
    k d), and labels are those of float64 arithmetic on float32 values.

    Args:
        n_clusters: number of centroids, k.
        n_iter: most updates.
        init: "random" (different rows), "k-means++" (dense rows only), or centroids (k, d).
        seed: of all random choices; the same seed gives the same bits for any thread count and block size.
        n_redo: runs from different starts, of which the one with the smallest inertia is kept.
        tol: stop when an update changes the inertia by at most this share of it.

    Attributes:
        cluster_centers_: (k, d) float32, dense and of length one.
        labels_: (n,) int32, equal to predict(x).
        inertia_: weighted sum in float64 of 1 - cosine.
        n_iter_: updates made.
        n_features_in_: d.
    """

    def __init__(
        self,
        n_clusters: int,
        *,
        n_iter: int = 20,
        init: str | np.ndarray = "random",
        seed: int | None = 0,
        n_redo: int = 1,
        tol: float = DEFAULT_TOL,
    ) -> None:
        self.n_clusters = n_clusters
        self.n_iter = n_iter
        self.init = init
        self.seed = seed
        self.n_redo = n_redo
        self.tol = tol

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(
        self, x: Any, y: Any = None, sample_weight: Any = None, progress: Progress | None = None
    ) -> SphericalKMeans:
        """Cluster rows.

        Args:
            x: rows (n, d), dense as `assign` takes them, or in any format of scipy.sparse.
            y: ignored; scikit-learn passes it.
            sample_weight: (n,) weights, finite and not negative, or None for 1 each.
            progress: called as progress(stage, done, total) in rows assigned.

        Returns:
            The estimator.

        Raises:
            TooFewRowsError: fewer rows with a direction than clusters.
            UsageError: a parameter cannot work.
            InputError: weights are wrong.
            DimensionError, DTypeError, NonFiniteError: as `assign` raises them.
        """
        if is_sparse(x):
            rows = SparseRows(x)
            self.n_features_in_ = rows.dim
            result = cluster_sparse_rows(
                rows, sample_weight=sample_weight, progress=progress, **self.get_params()
            )
        else:
            result = cluster_rows(
                self._check_fit_rows(x),
                metric="cosine",
                sample_weight=sample_weight,
                with_labels=True,
                progress=progress,
                **self.get_params(),
            )
        self.cluster_centers_ = result.centroids
        self.labels_ = result.labels
        self.inertia_ = result.inertia
        self.n_iter_ = result.n_iter
        self._warn_of_empty(self.labels_)
        return self

    def predict(self, x: Any) -> np.ndarray:
        """Label rows by their centroids of largest cosine.

        Args:
            x: rows (n, d), dense or sparse.

        Returns:
            Labels (n,) int32.

        Raises:
            NotTrainedError: `fit` has not been called.
            DimensionError: x has another width than the rows of `fit`.
        """
        if not is_sparse(x):
            return assign_rows(self._check_rows(x), self.cluster_centers_, "cosine")[0]
        self._check_fitted()
        rows = SparseRows(x)
        self._check_width(rows.dim)
        return rows.assign(self.cluster_centers_, None, None)[0]

    def fit_predict(self, x: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """Cluster rows and return their labels.

        Args:
            x: rows (n, d), dense or sparse.
            y: ignored; scikit-learn passes it.
            sample_weight: (n,) weights or None, as `fit` takes them.

        Returns:
            Labels (n,) int32 of the rows: fit(x).labels_.
        """
        labels: np.ndarray | None = self.fit(x, sample_weight=sample_weight).labels_
        assert labels is not None  # both ways of fit make labels
        return labels


def cluster_sparse_rows(
    rows: SparseRows,
    n_clusters: int,
    *,
    n_iter: int,
    init: str | np.ndarray,
    seed: int | None,
    n_redo: int,
    tol: float,
    sample_weight: Any = None,
    progress: Progress | None = None,
) -> KMeansResult:
    """`cluster_rows` for sparse rows and the metric cosine, with labels."""
    check_numbers(n_clusters=n_clusters, n_iter=n_iter, n_redo=n_redo)
    start = check_start(init, n_clusters, rows.dim)
    if isinstance(start, str) and start != "random":
        raise UsageError(f"init {start!r} needs dense rows; sparse ones start from 'random' or centroids")
    rows.set_mass(check_weights(sample_weight, rows.n))
    check_enough_rows(rows, n_clusters)
    rng = checks.rng(seed)
    n_runs = n_redo if isinstance(start, str) else 1
    ticker = Ticker(progress, "k-means", rows.n * (n_iter + 1) * n_runs)
    run = best_of_runs(
        rows,
        lambda: rows.random_start(n_clusters, rng) if isinstance(start, str) else normalize_rows(start),
        n_runs,
        n_iter=n_iter,
        tol=tol,
        ticker=ticker,
    )
    ticker.finish()
    return KMeansResult(run.centroids, run.labels, run.objective, run.n_iter, run.history)
