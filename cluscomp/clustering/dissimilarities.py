"""Matrices of dissimilarities: of the rows of an array, or given by the user and checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from cluscomp import checks, native
from cluscomp.arrays import as_rows, iter_blocks, normalize_rows, to_float32
from cluscomp.errors import DimensionError, InputError
from cluscomp.vocabulary import METRIC_SYNONYMS

DISSIMILARITIES = ("euclidean", "l2", "cosine")
"""What the dissimilarity of two rows may be."""


def dissimilarities(x: Any, *, metric: str = "euclidean") -> np.ndarray:
    """Compute the matrix of dissimilarities between all rows.

    Differences are squared and summed in float32, in an order that depends on no thread count and no
    instruction set.

    Args:
        x: rows (n, d), as `assign` takes them.
        metric: "euclidean", "l2" (squared distance) or "cosine" (1 - cosine, taken as half the squared
            distance of the unit rows, so that nothing cancels; a zero row has 0.5 to every unit row).

    Returns:
        (n, n) float32, symmetric with a zero diagonal.

    Raises:
        UnknownKeyError: the metric is unknown.
        DimensionError, DTypeError, NonFiniteError: as `assign` raises them.
    """
    checked = checks.one_of("metric", metric, DISSIMILARITIES, METRIC_SYNONYMS)
    return matrix_of_rows(as_rows(x), checked)


def checked_matrix(rows: np.ndarray) -> np.ndarray:
    """`rows` (n, n), which passed the array gate, as float32.

    It has to be symmetric, not negative, and zero on the diagonal. Raises DimensionError, or
    InputError with the first entry at fault.
    """
    matrix = to_float32(rows)
    n, columns = matrix.shape
    if n != columns:
        raise DimensionError(f"metric='precomputed' needs a square matrix, but x has shape ({n}, {columns})")
    diagonal = np.flatnonzero(np.diagonal(matrix))
    if diagonal.size:
        i = int(diagonal[0])
        raise InputError(
            f"entry ({i}, {i}) of the dissimilarities is {matrix[i, i]}, but must be 0; "
            "similarities s are passed as 1 - s"
        )
    for block in iter_blocks(n, max(1, (1 << 22) // n)):
        _require_entries(matrix[block] < 0, block.start, matrix, "negative")
        _require_entries(matrix[block] != matrix[:, block].T, block.start, matrix, "not that of its mirror")
    return matrix


def _require_entries(bad: np.ndarray, first: int, matrix: np.ndarray, fault: str) -> None:
    if bad.any():
        i, j = np.argwhere(bad)[0]
        i += first
        raise InputError(
            f"entry ({i}, {j}) of the dissimilarities is {fault}: {matrix[i, j]}, mirrored {matrix[j, i]}; "
            "pass a symmetric matrix, such as np.maximum(d, d.T)"
        )


def matrix_of_rows(rows: np.ndarray, metric: str) -> np.ndarray:
    """`dissimilarities` for rows that have passed the array gate."""
    if metric == "cosine":
        rows = normalize_rows(rows)
    n, dim = rows.shape
    matrix = np.empty((n, n), dtype=np.float32)
    for block in iter_blocks(n, max(32, (1 << 30) // (n * dim))):
        native.squared_distances(rows, block.start, block.stop, matrix)
    for block in iter_blocks(n, max(1, (1 << 24) // n)):
        if metric == "euclidean":
            np.sqrt(matrix[block], out=matrix[block])
        elif metric == "cosine":
            matrix[block] *= np.float32(0.5)
    return matrix
