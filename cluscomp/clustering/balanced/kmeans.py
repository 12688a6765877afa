"""k-means whose clusters keep a size: each step assigns within the bounds, then moves the centroids."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.clustering.assign import assign_rows
from cluscomp.clustering.balanced.assign import Bounds, duality_gap, priced_labels, total_cost
from cluscomp.clustering.balanced.items import find_items
from cluscomp.clustering.balanced.prices import lists_are_complete, sample_prices
from cluscomp.clustering.balanced.report import balance_report
from cluscomp.clustering.balanced.solver import Solution, as_points
from cluscomp.clustering.estimator import Estimator
from cluscomp.clustering.kmeans import check_enough_rows, check_start, cluster_rows, start_centroids
from cluscomp.clustering.lloyd import WeightedRows, update_centroids
from cluscomp.errors import TooFewRowsError
from cluscomp.progress import Progress, Ticker
from cluscomp.vocabulary import BALANCES, Metric


class BalancedKMeans(Estimator):
    """k-means with clusters of bounded size.

    The bounds of "cap" and "exact" hold for `fit` and for every call of `predict`, with n = the rows of that
    call: a row's label then depends on the other rows of the call (k rows get a cluster each, one row gets
    the nearest). "none" and "soft" label each row by itself, "soft" by the prices of the fit. Rows are
    counted, so there is no sample_weight.

    Args:
        n_clusters: number of centroids, k.
        balance: "exact": every cluster gets floor(n/k) or ceil(n/k) rows. "cap": at most ceil(max_ratio *
            n/k). "soft": prices as for "exact", but each row goes where distance plus price is smallest, so
            sizes are only about equal (`balance_` says how much). "none": plain k-means.
        max_ratio: of "cap", at least 1.
        metric: "l2", "ip" or "cosine", as for `KMeans`.
        n_iter: most updates.
        init: "random" (different rows), "k-means++", or centroids (k, d).
        seed: of all random choices; the same seed gives the same bits for any thread count and block size.

    Attributes:
        cluster_centers_: (k, d) float32.
        labels_: (n,) int32.
        inertia_: as for `KMeans`.
        n_iter_: updates made.
        prices_: (k,) float64, added to the cost of a cluster.
        gap_: the inertia is at most this much above the least possible one for these centroids and bounds: a
            proof by duality; None for "none" and "soft".
        balance_: `balance_report` of the labels.
        n_features_in_: d.
    """

    def __init__(
        self,
        n_clusters: int,
        *,
        balance: str = "exact",
        max_ratio: float = 1.0,
        metric: str = "l2",
        n_iter: int = 20,
        init: str | np.ndarray = "random",
        seed: int | None = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.balance = balance
        self.max_ratio = max_ratio
        self.metric = metric
        self.n_iter = n_iter
        self.init = init
        self.seed = seed

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.non_deterministic = self.balance in ("cap", "exact")  # a label depends on the rows beside it
        return tags

    def fit(self, x: Any, y: Any = None, progress: Progress | None = None) -> BalancedKMeans:
        """Cluster rows within the bounds.

        Args:
            x: rows (n, d), as `assign` takes them.
            y: ignored; scikit-learn passes it.
            progress: called as progress(stage, done, total) in rows times steps.

        Returns:
            The estimator.

        Raises:
            TooFewRowsError: fewer rows than clusters.
            UsageError: a parameter cannot work.
            DimensionError, DTypeError, NonFiniteError: as `assign` raises them.
        """
        self.fit_rows(self._check_fit_rows(x), progress)
        self._warn_of_empty(self.labels_)
        return self

    def fit_rows(self, rows: np.ndarray, progress: Progress | None = None) -> BalancedKMeans:
        """Cluster rows that have passed the array gate, so that uint16 means the bits of bfloat16.

        Args:
            rows: (n, d) of kernel dtype.
            progress: called as progress(stage, done, total) in rows times steps.

        Returns:
            The estimator.
        """
        metric = self._check_parameters(rows.shape[0])
        ticker = Ticker(progress, "k-means", rows.shape[0] * (self.n_iter + 1))
        if self.balance == "none":
            self._fit_plain(rows, progress)
        else:
            self._fit_balanced(rows, metric, ticker)
            ticker.finish()
        self.balance_ = balance_report(self.labels_, self.n_clusters)
        return self

    def predict(self, x: Any) -> np.ndarray:
        """Label rows within the bounds for their number (see the class).

        Args:
            x: rows (n, d), as `assign` takes them.

        Returns:
            Labels (n,) int32.

        Raises:
            NotTrainedError: `fit` has not been called.
            DimensionError: x has another width than the rows of `fit`.
        """
        rows = self._check_rows(x)
        metric = self._check_parameters(None)
        if self.balance == "none":
            return assign_rows(rows, self.cluster_centers_, metric)[0]
        return self._solve(rows, metric, self.cluster_centers_, prices=self.prices_).labels

    def fit_predict(self, x: Any, y: Any = None) -> np.ndarray:
        """Cluster rows within the bounds and return their labels.

        Args:
            x: rows (n, d), as `assign` takes them.
            y: ignored; scikit-learn passes it.

        Returns:
            Labels (n,) int32 of the rows: fit(x).labels_.
        """
        labels: np.ndarray = self.fit(x).labels_
        return labels

    def _check_parameters(self, n: int | None) -> Metric:
        for name in ("n_clusters", "n_iter"):
            checks.integer(name, getattr(self, name), 1)
        checks.one_of("balance", self.balance, BALANCES)
        checks.number("max_ratio", self.max_ratio, low=1)  # a cluster may hold that many times the mean
        if n is not None and n < self.n_clusters:
            raise TooFewRowsError(
                f"n_clusters={self.n_clusters} needs at least {self.n_clusters} rows, but there are {n} "
                f"(n_samples={n}); pass more rows or a smaller n_clusters"
            )
        return checks.metric(self.metric)

    def _bounds(self, n: int) -> Bounds:
        k = int(self.n_clusters)
        if self.balance == "cap":
            return Bounds.of(0, max(math.ceil(self.max_ratio * n / k), -(-n // k)), n, k)
        return Bounds.of(n // k, -(-n // k), n, k)

    def _solve(self, rows: np.ndarray, metric: Metric, centroids: np.ndarray, **options: Any) -> Solution:
        if self.balance == "soft":
            return Solution(priced_labels(rows, centroids, metric, self.prices_), self.prices_, 0)
        bounds = self._bounds(rows.shape[0])
        return bounds.solve(find_items(rows, metric, int(bounds.high.min())), centroids, **options)

    def _fit_plain(self, rows: np.ndarray, progress: Progress | None) -> None:
        result = cluster_rows(
            rows,
            self.n_clusters,
            metric=self.metric,
            n_iter=self.n_iter,
            init=self.init,
            seed=self.seed,
            with_labels=True,
            progress=progress,
        )
        assert result.labels is not None  # with_labels was set
        self.cluster_centers_, self.labels_ = result.centroids, result.labels
        self.inertia_, self.n_iter_ = result.inertia, result.n_iter
        self.prices_ = np.zeros(int(self.n_clusters))
        self.gap_: float | None = None

    def _fit_balanced(self, x: np.ndarray, metric: Metric, ticker: Ticker) -> None:
        rows = WeightedRows(x, metric)
        check_enough_rows(rows, int(self.n_clusters))
        bounds, hard = self._bounds(x.shape[0]), self.balance != "soft"
        init = check_start(self.init, int(self.n_clusters), x.shape[1])
        start = start_centroids(init, rows, int(self.n_clusters), checks.rng(self.seed))
        result = balanced_lloyd(rows, start, bounds, n_iter=self.n_iter, hard=hard, ticker=ticker)
        centroids, found = result.centroids, result.found
        self.cluster_centers_, self.labels_, self.prices_ = centroids, found.labels, found.prices
        self.n_iter_ = result.n_iter
        if not hard:  # the same labels as `predict` gives
            self.labels_ = priced_labels(x, centroids, metric, found.prices)
        self.inertia_ = total_cost(x, centroids, self.labels_, metric)
        self.gap_ = duality_gap(x, centroids, found, bounds, metric) if hard else None


@dataclass(frozen=True)
class BalancedResult:
    """centroids: (k, d) float32. found: labels and prices for them. n_iter: updates made."""

    centroids: np.ndarray
    found: Solution
    n_iter: int


def balanced_lloyd(
    rows: WeightedRows,
    centroids: np.ndarray,
    bounds: Bounds,
    *,
    n_iter: int,
    hard: bool = True,
    ticker: Ticker | None = None,
) -> BalancedResult:
    """At most n_iter updates from `centroids` (k, d) float32, each after an assignment within the bounds.

    hard=False: prices alone, so that sizes are only about equal. ticker: advances by the rows of each step.
    Where there are many rows, the steps before the last one label each row by prices that balance a sample of
    the rows: the centroids hardly differ, and the bounds hold in the end.
    """
    items = find_items(rows.x, rows.metric, int(bounds.high.min()))
    nothing = np.zeros(rows.n, dtype=np.float32)  # no gains: an empty cluster stays where it was
    exact = lists_are_complete(rows.n, centroids.shape[0])

    def between(centroids: np.ndarray, prices: np.ndarray | None) -> Solution:
        if exact:
            return bounds.solve(items, centroids, prices=prices, hard=hard, ticker=ticker)
        points = as_points(centroids, items)
        prices = sample_prices(items, points, bounds.low, bounds.high, prices=prices)
        return Solution(priced_labels(rows.x, centroids, rows.metric, prices, ticker), prices, 0)

    found = between(centroids, None)
    for step in range(1, n_iter + 1):
        before = found
        centroids = update_centroids(rows, found.labels, nothing, centroids)
        if step < n_iter:
            found = between(centroids, found.prices)
        else:
            found = bounds.solve(items, centroids, prices=found.prices, hard=hard, ticker=ticker)
        if exact and np.array_equal(found.labels, before.labels):
            break
    return BalancedResult(centroids, found, step)
