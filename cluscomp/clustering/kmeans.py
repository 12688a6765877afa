"""k-means: the training loop that estimators, quantizers and indexes share, and the estimator `KMeans`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from cluscomp import checks
from cluscomp.arrays import Array, as_numbers, as_rows, normalize_rows, to_float32
from cluscomp.clustering.assign import assign_rows
from cluscomp.clustering.device import (
    as_rows_anywhere,
    assign_device_rows,
    device_points,
    is_cuda_tensor,
    on_host,
)
from cluscomp.clustering.device_rows import rows_anywhere
from cluscomp.clustering.estimator import Estimator
from cluscomp.clustering.lloyd import LloydResult, WeightedRows, lloyd
from cluscomp.clustering.seeding import StartRows, kmeans_plus_plus_start, random_start, start_bytes
from cluscomp.errors import DimensionError, InputError, SubsampleWarning, TooFewRowsError
from cluscomp.progress import Progress, Ticker
from cluscomp.vocabulary import Metric

DEFAULT_TOL = 1e-7
STARTS = {"random": random_start, "k-means++": kmeans_plus_plus_start}


@dataclass(frozen=True)
class KMeansResult:
    """Result of `train_kmeans`.

    centroids: (k, d) float32. labels: (n,) int32 of all rows given, or None where not asked for.
    inertia: objective of those labels, or of the last training step (metrics.py has the formula).
    n_iter: updates made. history: objective per step of the best run.
    Arrays are NumPy's; where the rows were a torch CUDA tensor, tensors on its device.
    """

    centroids: Any
    labels: Any
    inertia: float
    n_iter: int
    history: tuple[float, ...]


def train_kmeans(
    x: Any,
    n_clusters: int,
    *,
    metric: str = "l2",
    n_iter: int = 20,
    init: str | np.ndarray = "random",
    seed: int | tuple[int, ...] | None = 0,
    sample_weight: Any = None,
    max_points_per_cluster: int | None = None,
    n_redo: int = 1,
    tol: float = DEFAULT_TOL,
    with_labels: bool = False,
    progress: Progress | None = None,
) -> KMeansResult:
    """Cluster rows and return the centroids, as `KMeans` does.

    Args:
        x: rows (n, d), read in blocks, so that a memory map may be larger than memory. A torch CUDA tensor is
            clustered on its GPU.
        n_clusters: number of centroids, k.
        metric: "l2", "ip" (mean centroids) or "cosine" (centroids of length one).
        n_iter: most updates.
        init: "random" (different rows), "k-means++", or centroids (k, d).
        seed: of all random choices, as numpy.random.default_rng takes it.
        sample_weight: (n,) weights, finite and not negative, or None for 1 each.
        max_points_per_cluster: train on at most this many rows times k; None trains on all.
        n_redo: runs from different starts, of which the one with the smallest objective is kept.
        tol: stop when an update changes the objective by at most this share of it.
        with_labels: also assign every row to the final centroids.
        progress: called as progress(stage, done, total) in rows assigned.

    Returns:
        A `KMeansResult`: centroids (k, d) float32, labels (n,) int32 or None, inertia, n_iter and history.

    Raises:
        TooFewRowsError: fewer rows than clusters.
        UsageError: a parameter cannot work.
        InputError: weights are wrong.
        DimensionError, DTypeError, NonFiniteError: as `assign` raises them.

    Warns:
        SubsampleWarning: max_points_per_cluster leaves rows out.
    """
    return cluster_rows(
        as_rows_anywhere(x),
        n_clusters,
        metric=metric,
        n_iter=n_iter,
        init=init,
        seed=seed,
        sample_weight=sample_weight,
        max_points_per_cluster=max_points_per_cluster,
        n_redo=n_redo,
        tol=tol,
        with_labels=with_labels,
        progress=progress,
    )


def cluster_rows(
    x: Any,
    n_clusters: int,
    *,
    metric: str = "l2",
    n_iter: int = 20,
    init: str | np.ndarray = "random",
    seed: int | tuple[int, ...] | None = 0,
    sample_weight: Any = None,
    max_points_per_cluster: int | None = None,
    n_redo: int = 1,
    tol: float = DEFAULT_TOL,
    with_labels: bool = False,
    progress: Progress | None = None,
) -> KMeansResult:
    """`train_kmeans` for rows that have passed a gate, so uint16 means bfloat16 bits."""
    checked = checks.metric(metric)
    check_numbers(
        n_clusters=n_clusters, n_iter=n_iter, n_redo=n_redo, max_points_per_cluster=max_points_per_cluster
    )
    start = check_start(init, n_clusters, x.shape[1])
    mass = check_weights(sample_weight, x.shape[0])
    rng = checks.rng(seed)
    picked = _subsample(x.shape[0], n_clusters, max_points_per_cluster, mass, rng)
    rows = rows_anywhere(x, checked, mass, picked)
    check_enough_rows(rows, n_clusters)

    n_runs = 1 if isinstance(start, np.ndarray) else n_redo
    label_all = with_labels and picked is not None
    settle = n_runs > 1 or (with_labels and not label_all)
    ticker = Ticker(
        progress, "k-means", rows.x.shape[0] * (n_iter + settle) * n_runs + x.shape[0] * label_all
    )
    best = best_of_runs(
        rows,
        lambda: start_centroids(start, rows, n_clusters, rng),
        n_runs,
        n_iter=n_iter,
        tol=tol,
        final_assignment=settle,
        ticker=ticker,
    )
    result = _with_all_labels(best, x, checked, mass, ticker) if label_all else _from_run(best, with_labels)
    ticker.finish()
    return result


def kmeans_bytes(n: int, n_clusters: int, dim: int, metric: Metric) -> int:
    """Memory that `cluster_rows` takes beyond n rows: labels, scores and norms, centroids and their sums."""
    return 40 * n + 24 * n_clusters * dim + start_bytes(n, n_clusters, dim, metric)


def best_of_runs(
    rows: WeightedRows, start: Callable[[], np.ndarray], n_runs: int, **settings: Any
) -> LloydResult:
    """The run of `lloyd` with the smallest objective, each from centroids that `start` draws; n_runs >= 1."""
    runs = (lloyd(rows, start(), **settings) for _ in range(n_runs))
    return min(runs, key=lambda run: run.objective)


def _from_run(run: LloydResult, with_labels: bool) -> KMeansResult:
    labels = run.labels if with_labels else None
    return KMeansResult(run.centroids, labels, run.objective, run.n_iter, run.history)


def _with_all_labels(
    run: LloydResult, x: Any, metric: Metric, mass: np.ndarray | None, ticker: Ticker
) -> KMeansResult:
    """Labels and inertia of all rows, after training on a part of them."""
    rows = rows_anywhere(x, metric, mass)
    labels, scores = rows.assign(run.centroids, None, ticker)
    return KMeansResult(run.centroids, labels, rows.objective(scores, run.centroids), run.n_iter, run.history)


def start_centroids(
    start: str | np.ndarray, rows: WeightedRows, n_clusters: int, rng: np.random.Generator
) -> np.ndarray:
    """Centroids (k, d) float32 to start from; start: what `check_start` returned."""
    if isinstance(start, np.ndarray):
        return normalize_rows(start) if rows.metric == "cosine" else start
    return STARTS[start](rows, n_clusters, rng)


def _subsample(
    n: int, n_clusters: int, per_cluster: int | None, mass: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray | None:
    """Ascending row numbers to train on, or None for all rows; rows of weight 0 are not worth a place."""
    limit = n if per_cluster is None else per_cluster * n_clusters
    candidates = n if mass is None else np.flatnonzero(mass > 0)
    size = n if isinstance(candidates, int) else candidates.size
    if size <= limit:
        return None
    warnings.warn(
        f"k-means trains on {limit} of {size} rows (max_points_per_cluster={per_cluster} x "
        f"n_clusters={n_clusters}); pass max_points_per_cluster=None to train on all",
        SubsampleWarning,
        stacklevel=4,
    )
    return np.sort(rng.choice(candidates, size=limit, replace=False, shuffle=False))


def check_enough_rows(rows: StartRows, n_clusters: int) -> None:
    """Raise TooFewRowsError unless at least n_clusters rows count."""
    n, n_usable = rows.n, rows.usable().size
    if n_usable >= n_clusters:
        return
    reason, remedy = "", "pass more rows or a smaller n_clusters"
    if n_usable < n and rows.metric == "cosine":
        reason = f"; {n - n_usable} of them have weight or length zero and do not count"
        remedy = "leave zero rows out (of empty texts?), or use the metric l2, which takes them"
    elif n_usable < n:
        reason = f"; {n - n_usable} of them have weight zero and do not count"
    raise TooFewRowsError(
        f"n_clusters={n_clusters} needs at least {n_clusters} rows, but there are {n_usable} "
        f"(n_samples={n}{reason}); {remedy}"
    )


def check_numbers(**numbers: int | None) -> None:
    """Raise UsageError for the first parameter that is no positive integer; max_points_per_cluster may be
    None.
    """
    for name, value in numbers.items():
        if value is not None or name != "max_points_per_cluster":
            checks.integer(name, value, 1)


def check_start(init: Any, n_clusters: int, dim: int) -> str | np.ndarray:
    """`init` if it names a start; given centroids as (k, d) float32."""
    if isinstance(init, str):
        if init not in STARTS:
            raise checks.unknown("init", init, (*STARTS, "centroids (k, d)"))
        return init
    centroids = to_float32(as_rows(on_host(init), name="init", dim=dim))
    if centroids.shape[0] != n_clusters:
        raise DimensionError(f"init has {centroids.shape[0]} centroids, but n_clusters is {n_clusters}")
    return centroids


def check_weights(sample_weight: Any, n: int) -> np.ndarray | None:
    """Weights as (n,) float64, finite and not negative; None stays None."""
    if sample_weight is None:
        return None
    mass = as_numbers(on_host(sample_weight), name="sample_weight").astype(np.float64)
    if mass.ndim == 0:
        mass = np.full(n, mass)
    if mass.shape != (n,):
        raise DimensionError(
            f"sample_weight has shape {mass.shape}, but x has {n} rows; pass one weight a row"
        )
    bad = np.flatnonzero(~(np.isfinite(mass) & (mass >= 0)))
    if bad.size:
        raise InputError(
            f"sample_weight of row {bad[0]} is {mass[bad[0]]}; weights must be finite and not negative"
        )
    return mass


class KMeans(Estimator):
    """k-means clustering (Lloyd's algorithm).

    An empty cluster takes the row farthest from its centroid. Rows in a torch CUDA tensor (float32, float16
    or bfloat16) are clustered on its GPU with the results of the CPU; cluster_centers_ and labels_ are then
    tensors on that device. `predict` runs where its rows are, and takes centroids of either kind.

    Args:
        n_clusters: number of centroids, k.
        metric: "l2", "ip" (largest inner product, mean centroids) or "cosine" (spherical: all of length one).
        n_iter: most updates.
        init: "random" (different rows), "k-means++", or centroids (k, d).
        seed: of all random choices; the same seed gives the same bits for any thread count and block size.
        max_points_per_cluster: train on at most this many rows times k, drawn at random, with a
            SubsampleWarning; None trains on all.
        n_redo: runs from different starts, of which the one with the smallest inertia is kept.
        tol: stop when an update changes the inertia by at most this share of it; a run in which no label
            changes always stops.

    Attributes:
        cluster_centers_: (k, d) float32.
        labels_: (n,) int32, equal to predict(x).
        inertia_: weighted sum in float64 over all rows: squared distances for l2, minus the inner products
            for ip, one minus the cosine for cosine.
        n_iter_: updates made.
        n_features_in_: d.
    """

    _gate = staticmethod(as_rows_anywhere)

    def __init__(
        self,
        n_clusters: int,
        *,
        metric: str = "l2",
        n_iter: int = 20,
        init: str | np.ndarray = "random",
        seed: int | None = 0,
        max_points_per_cluster: int | None = None,
        n_redo: int = 1,
        tol: float = DEFAULT_TOL,
    ) -> None:
        self.n_clusters = n_clusters
        self.metric = metric
        self.n_iter = n_iter
        self.init = init
        self.seed = seed
        self.max_points_per_cluster = max_points_per_cluster
        self.n_redo = n_redo
        self.tol = tol

    def fit(
        self, x: Any, y: Any = None, sample_weight: Any = None, progress: Progress | None = None
    ) -> KMeans:
        """Cluster rows. A row of weight 2 counts as two equal rows, one of weight 0 only gets a label.

        Args:
            x: rows (n, d), as `assign` takes them.
            y: ignored; scikit-learn passes it.
            sample_weight: (n,) weights, finite and not negative, or None for 1 each.
            progress: called as progress(stage, done, total) in rows assigned.

        Returns:
            The estimator.

        Raises:
            TooFewRowsError: fewer rows than clusters.
            UsageError: a parameter cannot work.
            InputError: weights are wrong.
            DimensionError, DTypeError, NonFiniteError: as `assign` raises them.
        """
        rows = self._check_fit_rows(x)
        result = cluster_rows(
            rows, sample_weight=sample_weight, with_labels=True, progress=progress, **self.get_params()
        )
        self.cluster_centers_ = result.centroids
        self.labels_ = result.labels
        self.inertia_ = result.inertia
        self.n_iter_ = result.n_iter
        self._warn_of_empty(self.labels_)
        return self

    @overload
    def predict(self, x: np.ndarray) -> np.ndarray: ...
    @overload
    def predict(self, x: Any) -> Array: ...
    def predict(self, x: Any) -> Array:
        """Label rows by their nearest centroids.

        Args:
            x: rows (n, d), as `assign` takes them.

        Returns:
            Labels (n,) int32, on the device of x.

        Raises:
            NotTrainedError: `fit` has not been called.
            DimensionError: x has another width than the rows of `fit`.
        """
        rows, metric = self._check_rows(x), checks.metric(self.metric)
        if is_cuda_tensor(rows):
            return assign_device_rows(rows, device_points(self.cluster_centers_, rows), metric)[0]
        return assign_rows(rows, np.asarray(on_host(self.cluster_centers_)), metric)[0]

    @overload
    def fit_predict(self, x: np.ndarray, y: Any = None, sample_weight: Any = None) -> np.ndarray: ...
    @overload
    def fit_predict(self, x: Any, y: Any = None, sample_weight: Any = None) -> Array: ...
    def fit_predict(self, x: Any, y: Any = None, sample_weight: Any = None) -> Array:
        """Cluster rows and return their labels.

        Args:
            x: rows (n, d), as `assign` takes them.
            y: ignored; scikit-learn passes it.
            sample_weight: (n,) weights or None, as `fit` takes them.

        Returns:
            Labels (n,) int32 of the rows: fit(x).labels_.
        """
        labels: Array = self.fit(x, sample_weight=sample_weight).labels_
        return labels
