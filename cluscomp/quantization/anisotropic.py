"""Centroids for scores without knowing queries: ScaNN's anisotropic loss.

    loss = sum_i |r_i|^2 + (eta - 1) <r_i, x_i>^2 / |x_i|^2        r_i = x_i - decoded x_i

A query that scores a row high points along the row, so the residual's part along the row weighs eta times as
much. With the codes fixed the loss is quadratic in the centroids; the parts of a row are coupled by <r, x>,
so the groups take turns, each solved exactly, and the loss never rises. eta = 1 gives the mean of every
cell, as k-means.
Source: Guo et al., "Accelerating large-scale inference with anisotropic vector quantization",
ICML 2020 (arXiv 1908.10396).
"""

from __future__ import annotations

import numpy as np

from cluscomp.errors import UsageError

THRESHOLD = 0.2
"""Scores that matter begin at this share of |x|, as in ScaNN."""


def eta_for(dim: int, threshold: float = THRESHOLD) -> float:
    """(d - 1) t / (1 - t) with t = threshold^2: the weight of the parallel part for rows of one length.

    d = 100, threshold 0.2: 4.125. Raises UsageError unless 0 < threshold < 1.
    """
    if not 0 < threshold < 1:
        raise UsageError(f"threshold is {threshold}, but must lie between 0 and 1")
    share = threshold**2
    return (dim - 1) * share / (1 - share)


def anisotropic_centroids(
    x: np.ndarray, numbers: np.ndarray, centroids: np.ndarray, *, eta: float, sweeps: int = 5
) -> np.ndarray:
    """Centroids (m, k, width) float32 that lower the loss for fixed codes.

    x: (n, m * width) float32 rows as they are quantized. numbers: (n, m) uint8 centroids of their parts.
    centroids: to start from; those that no row uses stay. sweeps: turns of every group.
    Raises UsageError for eta below 1.
    """
    if eta < 1:
        raise UsageError(f"eta is {eta}, but must be at least 1, which is plain k-means")
    m, _, width = centroids.shape
    parts = x.reshape(len(x), m, width).astype(np.float64)
    norms = np.linalg.norm(x.astype(np.float64), axis=1)
    units = parts / np.where(norms > 0, norms, 1)[:, None, None]
    books = centroids.astype(np.float64)
    along = np.stack([_along(parts, units, books, numbers, j) for j in range(m)], axis=1)
    for _ in range(sweeps):
        for j in range(m):
            rest = along.sum(axis=1) - along[:, j]
            books[j] = _solve(parts[:, j], units[:, j], rest, numbers[:, j], books[j], eta)
            along[:, j] = _along(parts, units, books, numbers, j)
    return books.astype(np.float32)


def anisotropic_loss(x: np.ndarray, decoded: np.ndarray, eta: float) -> float:
    """The loss of rows x (n, d) and what stands for them, summed over rows."""
    residuals = x.astype(np.float64) - decoded
    squares = np.square(x, dtype=np.float64).sum(axis=1)
    parallel = np.einsum("ij,ij->i", residuals, x) ** 2 / np.where(squares > 0, squares, 1)
    return float(np.square(residuals).sum() + (eta - 1) * parallel.sum())


def _along(
    parts: np.ndarray, units: np.ndarray, books: np.ndarray, numbers: np.ndarray, j: int
) -> np.ndarray:
    """What group j adds to <r, x> / |x| of every row."""
    return np.einsum("ij,ij->i", parts[:, j] - books[j][numbers[:, j]], units[:, j])


def _solve(
    part: np.ndarray, unit: np.ndarray, rest: np.ndarray, numbers: np.ndarray, book: np.ndarray, eta: float
) -> np.ndarray:
    """Best centroids of one group: [n I + (eta - 1) sum u u^T] c = sum x + (eta - 1) u (rest + <u, x>)."""
    width = part.shape[1]
    order = np.argsort(numbers, kind="stable")
    used, starts = np.unique(numbers[order], return_index=True)
    pulled = part + (eta - 1) * unit * (rest + np.einsum("ij,ij->i", unit, part))[:, None]
    right = np.add.reduceat(pulled[order], starts, axis=0)
    counts = np.diff(starts, append=len(order))
    solved = book.copy()
    for number, start, count, target in zip(used, starts, counts, right, strict=True):
        u = unit[order[start : start + count]]
        solved[number] = np.linalg.solve(count * np.eye(width) + (eta - 1) * u.T @ u, target)
    return solved
