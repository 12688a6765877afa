"""k-medoids: clusters whose centres are rows of the data, for any dissimilarity.

FasterPAM swaps a medoid for a better row as soon as one is found, until no single swap lowers the sum of
dissimilarities; the state it keeps per row makes a candidate cost one pass over its row of the matrix.
Source: Schubert and Rousseeuw, "Fast and eager k-medoids clustering", Information Systems 101 (2021).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from cluscomp import checks, native
from cluscomp.arrays import as_numbers, iter_blocks, to_float32
from cluscomp.clustering.assign import assign_rows
from cluscomp.clustering.blocks import take_rows
from cluscomp.clustering.dissimilarities import DISSIMILARITIES, checked_matrix, matrix_of_rows
from cluscomp.clustering.estimator import Estimator
from cluscomp.errors import SubsampleWarning, TooFewRowsError, UsageError
from cluscomp.progress import Progress
from cluscomp.vocabulary import METRIC_SYNONYMS, Metric

_VALUES_PER_TAKE = 1 << 24  # entries of a precomputed matrix looked at by one NumPy call
_VALUES_PER_CALL = 1 << 28  # matrix entries read by one native call: some 0.1 s


class KMedoids(Estimator):
    """k-medoids clustering by FasterPAM (eager swaps).

    Takes the (n, n) float32 matrix of dissimilarities in memory, and a few passes over it. Source: Schubert
    and Rousseeuw, "Fast and eager k-medoids clustering", Information Systems 101 (2021).

    Args:
        n_clusters: number of medoids, k.
        metric: "euclidean" (distance), "l2" (squared distance), "cosine" (1 - cosine), or "precomputed": x is
            the symmetric (n, n) matrix of dissimilarities, zero on the diagonal; any measure will do.
        n_iter: most rounds over all rows; it stops after a round without a swap.
        init: "random" (different rows), or row numbers (k,).
        seed: of all random choices; the same seed gives the same medoids for any thread count.
        n_redo: random starts, of which the one with the smallest inertia is kept.
        max_train_rows: with more rows than this, medoids are sought among a random sample of this size, with
            a SubsampleWarning, and all rows are labelled: the matrix takes 4 * max_train_rows**2 bytes. None:
            no limit. A precomputed matrix is never sampled.

    Attributes:
        medoid_indices_: (k,) int64 row numbers, ascending.
        cluster_centers_: (k, d), those rows; None when precomputed.
        labels_: (n,) int32, the nearest medoid (ties: the lowest).
        inertia_: sum of the dissimilarities from the medoids.
        n_iter_: rounds begun.
        n_swaps_: swaps made.
        n_features_in_: d.
    """

    def __init__(
        self,
        n_clusters: int,
        *,
        metric: str = "euclidean",
        n_iter: int = 100,
        init: str | np.ndarray = "random",
        seed: int | None = 0,
        n_redo: int = 1,
        max_train_rows: int | None = 20_000,
    ) -> None:
        self.n_clusters = n_clusters
        self.metric = metric
        self.n_iter = n_iter
        self.init = init
        self.seed = seed
        self.n_redo = n_redo
        self.max_train_rows = max_train_rows

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.metric == "precomputed"
        return tags

    def fit(self, x: Any, y: Any = None, progress: Progress | None = None) -> KMedoids:
        """Find the medoids of rows.

        Args:
            x: rows (n, d), as `assign` takes them, or a precomputed matrix (n, n).
            y: ignored; scikit-learn passes it.
            progress: called as progress(stage, done, total) in candidates scored; an early stop jumps to
                total.

        Returns:
            The estimator.

        Raises:
            TooFewRowsError: fewer rows than clusters.
            UsageError: a parameter cannot work.
            InputError: a precomputed matrix is not symmetric, has a negative value or a diagonal that is not
                zero.
            DimensionError, DTypeError, NonFiniteError: as `assign` raises them.
        """
        rows = self._check_fit_rows(x)
        self._check_parameters(rows.shape[0])
        rng = checks.rng(self.seed)
        picked = self._sample(rows.shape[0], rng)
        if self.metric == "precomputed":
            matrix = checked_matrix(rows)
        else:
            matrix = matrix_of_rows(rows if picked is None else take_rows(rows, picked), self.metric)
        search = self._best_search(matrix, picked, rng, progress)
        found = np.sort(np.asarray(search.medoids, dtype=np.int64))
        self.n_swaps_ = search.swaps
        self.n_iter_ = -(-search.scored // matrix.shape[0])
        self.medoid_indices_ = found if picked is None else picked[found]
        if self.metric == "precomputed":
            self.cluster_centers_ = None
            self.labels_, losses = _nearest_columns(matrix, found)
            self.inertia_ = float(losses.sum(dtype=np.float64))
        else:
            self.cluster_centers_ = to_float32(take_rows(rows, self.medoid_indices_))
            self.labels_, losses = self._nearest(rows)
            self.inertia_ = float(losses.sum(dtype=np.float64))
        return self

    def predict(self, x: Any) -> np.ndarray:
        """Label rows by their nearest medoids.

        Args:
            x: rows (n, d); when precomputed, (n, n_fit) dissimilarities from the rows that were fitted.

        Returns:
            Labels (n,) int32.

        Raises:
            NotTrainedError: `fit` has not been called.
            DimensionError: x has another width than in `fit`.
        """
        rows = self._check_rows(x)
        if self.metric == "precomputed":
            return _nearest_columns(rows, self.medoid_indices_)[0]
        return self._nearest(rows)[0]

    def fit_predict(self, x: Any, y: Any = None) -> np.ndarray:
        """Find the medoids of rows and return their labels.

        Args:
            x: as `fit` takes it.
            y: ignored; scikit-learn passes it.

        Returns:
            Labels (n,) int32 of the rows: fit(x).labels_.
        """
        labels: np.ndarray = self.fit(x).labels_
        return labels

    def _nearest(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels (n,) and dissimilarities (n,) float64 from the nearest medoid."""
        assert self.cluster_centers_ is not None  # not precomputed
        kernel: Metric = "cosine" if self.metric == "cosine" else "l2"
        labels, scores = assign_rows(rows, self.cluster_centers_, kernel)
        loss = scores.astype(np.float64)
        if self.metric == "cosine":
            loss = 1.0 - loss
        return labels, np.sqrt(loss) if self.metric == "euclidean" else loss

    def _check_parameters(self, n: int) -> None:
        checks.one_of("metric", self.metric, (*DISSIMILARITIES, "precomputed"), METRIC_SYNONYMS)
        for name in ("n_clusters", "n_iter", "n_redo"):
            checks.integer(name, getattr(self, name), 1)
        if self.max_train_rows is not None:
            checks.integer("max_train_rows", self.max_train_rows, 1)
        if n < self.n_clusters:
            raise TooFewRowsError(
                f"n_clusters={self.n_clusters} needs at least {self.n_clusters} rows, but there are {n} "
                f"(n_samples={n}); pass more rows or a smaller n_clusters"
            )
        if self.max_train_rows is not None and self.max_train_rows < self.n_clusters:
            raise UsageError(
                f"max_train_rows={self.max_train_rows} is smaller than n_clusters={self.n_clusters}; "
                "medoids are taken from a sample of max_train_rows rows"
            )

    def _sample(self, n: int, rng: np.random.Generator) -> np.ndarray | None:
        """Ascending rows among which medoids are sought, or None for all; rows given as `init` are kept."""
        if self.metric == "precomputed" or self.max_train_rows is None or n <= self.max_train_rows:
            return None
        warnings.warn(
            f"medoids are sought among {self.max_train_rows} of {n} rows; "
            f"max_train_rows=None takes all, with a matrix of {4 * n * n} bytes",
            SubsampleWarning,
            stacklevel=3,
        )
        given = np.empty(0, np.int64) if isinstance(self.init, str) else self._given_rows(n)
        others = np.setdiff1d(np.arange(n), given)
        return np.sort(
            np.concatenate([given, rng.choice(others, self.max_train_rows - given.size, replace=False)])
        )

    def _given_rows(self, n: int) -> np.ndarray:
        """Checked `init` as row numbers (k,)."""
        given = as_numbers(self.init, name="init")
        if given.shape != (self.n_clusters,) or given.dtype.kind not in "iu":
            raise UsageError(
                f"init must be 'random' or n_clusters={self.n_clusters} row numbers, but has shape "
                f"{given.shape} and dtype {given.dtype}"
            )
        if given.min() < 0 or given.max() >= n or np.unique(given).size < given.size:
            raise UsageError(f"init must be different rows in [0, {n}), but is {given.tolist()}")
        return given.astype(np.int64)

    def _best_search(
        self,
        matrix: np.ndarray,
        picked: np.ndarray | None,
        rng: np.random.Generator,
        progress: Progress | None,
    ) -> Any:
        """The settled search with the smallest loss among n_redo starts."""
        n = matrix.shape[0]
        best = None
        n_runs = self.n_redo if isinstance(self.init, str) else 1
        for run in range(n_runs):
            search = native.MedoidSearch(matrix, self._start(n, picked, rng))
            total, done, settled = self.n_iter * n, 0, False
            while not settled and done < total:
                calls = max(1, _VALUES_PER_CALL // n)
                settled = search.run(min(calls, total - done), max(1, calls // (4 + self.n_clusters)))
                done = total if settled else search.scored
                if progress is not None:
                    progress("k-medoids", run * total + done, n_runs * total)
            if best is None or search.loss < best.loss:
                best = search
        return best

    def _start(self, n: int, picked: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
        if isinstance(self.init, str):
            if self.init != "random":
                raise checks.unknown("init", self.init, ("random", "row numbers (k,)"))
            return np.sort(rng.choice(n, size=self.n_clusters, replace=False))
        if picked is None:
            return self._given_rows(n)
        return np.searchsorted(picked, as_numbers(self.init, name="init")).astype(np.int64)


def _nearest_columns(matrix: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of some columns holds the smallest value of each row (n,) int32, and that value (n,) float32."""
    labels = np.empty(matrix.shape[0], dtype=np.int32)
    losses = np.empty(matrix.shape[0], dtype=np.float32)
    for block in iter_blocks(matrix.shape[0], max(1, _VALUES_PER_TAKE // columns.shape[0])):
        values = to_float32(matrix[block][:, columns])
        labels[block], losses[block] = values.argmin(axis=1), values.min(axis=1)
    return labels, losses
