"""Codebooks of a product quantizer: one k-means for each group of dimensions."""

from __future__ import annotations

import warnings

import numpy as np

from cluscomp import checks, native
from cluscomp.clustering.blocks import take_rows
from cluscomp.clustering.kmeans import DEFAULT_TOL, cluster_rows, kmeans_bytes
from cluscomp.clustering.lloyd import WeightedRows, lloyd
from cluscomp.clustering.side_by_side import side_by_side
from cluscomp.errors import SubsampleWarning, TooFewRowsError, UsageError
from cluscomp.progress import Progress, Ticker
from cluscomp.quantization.codes import CODE_BITS

MAX_TRAIN_ROWS = 65_536
"""Rows that training uses at most: 256 for each of 256 centroids, as faiss does."""


def check_split(dim: int, m: int, nbits: int) -> None:
    """Raise UsageError unless dim splits into m equal groups and nbits is 4, 6 or 8."""
    if nbits not in CODE_BITS:
        raise UsageError(f"nbits must be one of {', '.join(map(str, CODE_BITS))}, but is {nbits!r}")
    for name, value in (("dim", dim), ("m", m)):
        checks.integer(name, value, 1)
    if dim % m == 0:
        return
    divisors = [i for i in range(1, dim + 1) if dim % i == 0]
    near = sorted(sorted(divisors, key=lambda i: (abs(i - m), i))[:3])
    raise UsageError(
        f"dim {dim} does not split into m={m} equal parts; m must divide {dim}, such as "
        + ", ".join(map(str, near))
    )


def check_enough_rows(n: int, nbits: int) -> None:
    """Raise TooFewRowsError for fewer rows than centroids."""
    if n < 1 << nbits:
        raise TooFewRowsError(
            f"training {1 << nbits} centroids (nbits={nbits}) needs at least {1 << nbits} rows, "
            f"but there are {n}; pass more rows or fewer nbits"
        )


def training_sample(x: np.ndarray, seed: int) -> np.ndarray:
    """At most MAX_TRAIN_ROWS rows of x, drawn at random; SubsampleWarning where rows are left out."""
    n = x.shape[0]
    if n <= MAX_TRAIN_ROWS:
        return x
    warnings.warn(
        f"the product quantizer trains on {MAX_TRAIN_ROWS} of {n} rows, drawn at random",
        SubsampleWarning,
        stacklevel=4,
    )
    rng = checks.rng(seed)
    return take_rows(x, np.sort(rng.choice(n, size=MAX_TRAIN_ROWS, replace=False, shuffle=False)))


def train_codebooks(
    x: np.ndarray, m: int, nbits: int, *, n_iter: int, seed: int, progress: Progress | None = None
) -> np.ndarray:
    """Codebooks (m, 2**nbits, d/m) float32 for the rows x (n, d) float32, by k-means from random rows.

    Group j is seeded by (seed, j). progress counts groups times rows and steps.
    """
    codebooks = np.empty((m, 1 << nbits, x.shape[1] // m), dtype=np.float32)

    def train(j: int, ticker: Ticker) -> None:
        result = cluster_rows(
            group(x, j, m), 1 << nbits, n_iter=n_iter, seed=(seed, j), progress=ticker.as_progress()
        )
        codebooks[j] = result.centroids

    ticker = Ticker(progress, "codebooks", x.shape[0] * n_iter * m)
    side_by_side(train, m, ticker)
    ticker.finish()
    return codebooks


def codebook_bytes(n: int, m: int, nbits: int, width: int) -> int:
    """Memory that training codebooks takes beyond n rows: the groups that are trained at the same time."""
    at_once = min(m, native.get_num_threads())
    return at_once * (4 * width * n + kmeans_bytes(n, 1 << nbits, width, "l2"))


def refine_codebooks(
    x: np.ndarray, codebooks: np.ndarray, *, n_iter: int, ticker: Ticker | None = None
) -> np.ndarray:
    """Codebooks after at most n_iter more k-means steps on the rows x (n, d) float32."""
    refined = np.empty_like(codebooks)
    m = codebooks.shape[0]

    def refine(j: int, ticker: Ticker) -> None:
        rows = WeightedRows(group(x, j, m), "l2")
        refined[j] = lloyd(
            rows, codebooks[j], n_iter=n_iter, tol=DEFAULT_TOL, final_assignment=False, ticker=ticker
        ).centroids

    side_by_side(refine, m, ticker)
    return refined


def group(x: np.ndarray, j: int, m: int) -> np.ndarray:
    """Contiguous copy of the dimensions of group j of m."""
    width = x.shape[1] // m
    return np.ascontiguousarray(x[:, j * width : (j + 1) * width])
