"""Principal component analysis."""

from __future__ import annotations

from typing import Any

import numpy as np

from cluscomp.arrays import as_rows, iter_blocks, to_float32
from cluscomp.clustering.blocks import answering_signals
from cluscomp.errors import TooFewRowsError, UsageError
from cluscomp.progress import Progress, Ticker
from cluscomp.quantization.linear import LinearTransform

SUM_ROWS = 1024
"""Rows of one matrix product in training; fixed, so that its rounding is too."""


def train_pca(x: Any, d_out: int, *, progress: Progress | None = None) -> LinearTransform:
    """Projection to the d_out directions of largest variance of the rows x (n, d), largest first.

    The directions come from the covariance, but rows are not centred when the transform is applied
    (LinearTransform says why). Each direction's largest component is positive, so that the result is unique.
    x is read in blocks, twice.
    Raises UsageError (d_out not in 1..d), TooFewRowsError (fewer than d_out rows) and the errors of the array
    gate.
    """
    return LinearTransform(train_directions(x, d_out, progress=progress)[0])


def train_directions(
    x: Any, d_out: int, *, progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Directions (d_out, d) of largest variance of rows x (n, d), as `train_pca` finds them, and variances
    (d_out,), float64.
    """
    x = as_rows(x)
    n, dim = x.shape
    if not 1 <= d_out <= dim:
        raise UsageError(
            f"PCA to d_out={d_out} is impossible: rows have dim {dim}, so d_out must be 1..{dim}"
        )
    if n < d_out:
        raise TooFewRowsError(f"PCA to d_out={d_out} needs at least {d_out} rows, but there are {n}")
    _, covariance = mean_and_covariance(x, Ticker(progress, "pca", 2 * n))
    directions, variances = principal_directions(covariance)
    return directions[:d_out], variances[:d_out]


def mean_and_covariance(x: np.ndarray, ticker: Ticker | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and covariance (d, d) in float64; two passes, so that a common offset cancels nothing."""
    n, dim = x.shape
    total = np.zeros(dim)
    for block in iter_blocks(n, SUM_ROWS):
        total += to_float32(x[block]).sum(axis=0, dtype=np.float64)
        _advance(ticker, block)
    mean = total / n
    scatter = np.zeros((dim, dim))
    for block in iter_blocks(n, SUM_ROWS):
        centred = to_float32(x[block]) - mean
        scatter += centred.T @ centred
        _advance(ticker, block)
    return mean, scatter / n


def covariance_bytes(n: int, dim: int) -> int:
    """Memory of `mean_and_covariance` of n rows, and of the eigenvectors of the result."""
    return min(n, SUM_ROWS) * dim * 16 + 40 * dim * dim


def principal_directions(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvectors as rows (d, d) and eigenvalues (d,), largest first; largest component of each positive."""
    values, vectors = answering_signals(lambda: np.linalg.eigh(covariance))
    directions = vectors.T[::-1]
    largest = np.abs(directions).argmax(axis=1)
    signs = np.sign(directions[np.arange(directions.shape[0]), largest])
    return directions * signs[:, None], values[::-1]


def _advance(ticker: Ticker | None, block: slice) -> None:
    if ticker is not None:
        ticker.advance(block.stop - block.start)
