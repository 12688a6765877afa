"""Sparse rows for Lloyd's algorithm under the metric cosine: CSR in, O(nnz) memory beside the centroids.

Assignment is exact: float32 scores of all centroids, and float64 for those within the rounding error of the
best. From step to step every row keeps an upper bound on the score of all centroids but its own. A centroid
that moved by m can have gained at most |x| m (Cauchy-Schwarz), so a row whose own score still exceeds the
raised bound is done. Source of the bound's bookkeeping: Hamerly, "Making k-means even faster", SDM 2010;
that such bounds can serve cosine: Schubert, Lang and Feher, "Accelerating spherical k-means", SISAP 2021.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.clustering.exact_sums import Extent
from cluscomp.clustering.lloyd import WeightedRows, donors
from cluscomp.clustering.seeding import mix, sample_usable
from cluscomp.errors import DimensionError, DTypeError, EmptyInputError, NonFiniteError
from cluscomp.progress import Ticker

_PRODUCTS_PER_BLOCK = 1 << 30  # multiply-adds of one native call


def is_sparse(x: Any) -> bool:
    """True for a scipy.sparse matrix or array, by what it can do; does not import scipy."""
    return hasattr(x, "tocsr") and hasattr(x, "nnz")


class SparseRows(WeightedRows):
    """Rows of a scipy.sparse matrix (n, d), any format, as CSR of float32 values; metric cosine.

    mass: (n,) float64 sample weights, or None for all one.
    Raises DTypeError, DimensionError, EmptyInputError (no row or column), NonFiniteError.
    """

    norms: np.ndarray
    pull: np.ndarray

    def __init__(self, x: Any, mass: np.ndarray | None = None) -> None:
        self.start, self.columns, self.values, self.dim = _checked_csr(x)
        self.n = self.start.size - 1
        self.metric = "cosine"
        self.norms = self._row_norms()
        self.set_mass(mass)
        self._others = np.empty(0, dtype=np.float32)
        self._centroids: np.ndarray | None = None

    def set_mass(self, mass: np.ndarray | None) -> None:
        """Set the sample weights (n,) float64, or None for all one."""
        self.mass = mass
        pull = self._pull()
        assert pull is not None  # cosine
        self.pull = pull
        self.__dict__.pop("extent", None)

    @cached_property
    def extent(self) -> Extent:
        """Without columns: `sparse_directions` has an order of its own."""
        return self._extent(np.empty(0), np.empty(0))

    def _row_norms(self) -> np.ndarray:
        norms = np.zeros(self.n)
        filled = np.flatnonzero(np.diff(self.start))
        if filled.size:
            squares = self.values.astype(np.float64)
            squares *= squares
            norms[filled] = np.sqrt(np.add.reduceat(squares, self.start[filled]))
        return norms

    def assign(
        self, centroids: np.ndarray, hints: np.ndarray | None, ticker: Ticker | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Labels (n,) int32 and cosines (n,) float32; bounds carry over if `hints` are given (see lloyd)."""
        moved = None
        if hints is None or self._centroids is None:
            labels = np.zeros(self.n, dtype=np.int32)
            self._others = np.full(self.n, np.inf, dtype=np.float32)
        else:
            labels = hints.copy()
            moved = native.row_distances(self._centroids, centroids)
        scores = np.empty(self.n, dtype=np.float32)
        self.rows_scored = 0
        assigner = native.SparseAssigner(centroids)
        for rows in self._blocks(centroids.shape[0]):
            self.rows_scored += assigner.assign(
                self.start[rows.start : rows.stop + 1], self.columns, self.values, self.norms[rows], moved,
                labels[rows], scores[rows], self._others[rows],
            )  # fmt: skip
            if ticker is not None:
                ticker.advance(rows.stop - rows.start)
        self._centroids = centroids
        np.divide(scores, self.norms, out=scores, where=self.norms > 0, casting="same_kind")
        return labels, scores

    def update(self, labels: np.ndarray, scores: np.ndarray, centroids: np.ndarray) -> np.ndarray:
        """Unit sums of the unit rows of each cluster (k, d) float32; empty clusters as in lloyd.py."""
        k = centroids.shape[0]
        empty = np.flatnonzero(np.bincount(labels[self.usable()], minlength=k) == 0)
        if empty.size:
            labels = labels.copy()
            moves = zip(empty, donors(self, labels, self.gains(scores), empty.size, k), strict=False)
            for cluster, (row, _) in list(moves):
                labels[row] = cluster
        means = centroids.copy()
        native.sparse_directions(self.start, self.columns, self.values, labels, self.pull, means)
        return means

    def random_start(self, n_clusters: int, rng: np.random.Generator) -> np.ndarray:
        """n_clusters unit rows (k, d) float32 drawn at random; different ones while there are any."""
        usable = sample_usable(self, n_clusters, rng)
        _, first = np.unique(self._hashes(usable, rng), return_index=True)
        start = np.zeros((n_clusters, self.dim), dtype=np.float32)
        for cluster, row in enumerate(np.resize(usable[first], n_clusters)):
            part = slice(self.start[row], self.start[row + 1])
            start[cluster, self.columns[part]] = self.values[part] / self.norms[row]
        return start

    def _hashes(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """64-bit hashes of the given unit rows, by content alone; none of them is empty."""
        salt = rng.integers(0, 1 << 63, dtype=np.uint64)
        length = self.start[rows + 1] - self.start[rows]
        first = np.cumsum(length) - length
        at = np.arange(length.sum()) + np.repeat(self.start[rows] - first, length)
        words = (self.values[at] / np.repeat(self.norms[rows], length)).astype(np.float32).view(np.uint32)
        odd = mix(self.columns[at].astype(np.uint64) + salt) | np.uint64(1)
        return mix(np.add.reduceat(words * odd, first))

    def _blocks(self, n_clusters: int) -> Iterator[slice]:
        """Consecutive rows, of bounded work for one native call."""
        step = max(1, _PRODUCTS_PER_BLOCK // n_clusters)
        first = 0
        while first < self.n:
            last = int(np.searchsorted(self.start, self.start[first] + step, side="right")) - 1
            last = min(max(last, first + 1), first + step, self.n)
            yield slice(first, last)
            first = last


def _checked_csr(x: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """(start int64, columns int32, values float32, d) of a sparse matrix; sorted, no entry twice."""
    if x.dtype.kind not in "fiub":
        kind = "Complex data not supported: " if x.dtype.kind == "c" else ""
        raise DTypeError(f"{kind}x has dtype {x.dtype}; pass real numbers")
    if len(x.shape) != 2:
        raise DimensionError(f"x must be a matrix (rows, dim), but has shape {x.shape}")
    n, dim = x.shape
    if n == 0:
        raise EmptyInputError(f"x has 0 sample(s) (shape={x.shape}) while a minimum of 1 is required.")
    if dim == 0:
        raise DimensionError(f"0 feature(s) (shape={x.shape}) while a minimum of 1 is required.")
    if dim > np.iinfo(np.int32).max:
        raise DimensionError(
            f"x has {dim} columns, at most {np.iinfo(np.int32).max} are supported; hash them"
        )
    csr = x.tocsr()
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    values = np.ascontiguousarray(csr.data, dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        row = int(np.searchsorted(csr.indptr, bad[0], side="right")) - 1
        raise NonFiniteError(f"x: row {row} holds NaN or infinity; drop or repair it before clustering")
    start = np.ascontiguousarray(csr.indptr, dtype=np.int64)
    return start, np.ascontiguousarray(csr.indices, dtype=np.int32), values, int(dim)
