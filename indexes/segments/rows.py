"""What enters an index: rows to train with and to add, and queries, of its dim."""

from __future__ import annotations

from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.array_forms import as_numpy
from cluscomp.arrays import as_rows, require_finite
from cluscomp.errors import DimensionError


def rows_of_dim(x: Any, dim: int, what: str, *, largest: float | None) -> np.ndarray:
    """X (n, dim) as rows of kernel dtype. what: "rows" or "queries", for messages. largest: magnitude that no
    value may exceed; None leaves the values unchecked.

    Raises DimensionError naming both dims, DTypeError, EmptyInputError, NonFiniteError, TooLargeError.
    """
    rows = as_rows(x, name=what, check_finite=False)
    if rows.shape[1] != dim:
        raise DimensionError(
            f"index has dim {dim}, {what} have dim {rows.shape[1]}; "
            "use vectors of the model that the index was built with, or build an index for this dim"
        )
    if largest is not None:
        require_finite(rows, name=what, largest=largest)
    return rows


def as_matrix(queries: Any) -> np.ndarray:
    """Queries in any form that the gate takes; a single one (dim,) becomes a matrix of one row."""
    array = as_numpy(queries, "queries")
    return array[None, :] if array.ndim == 1 else array


def queries_of_dim(x: Any, dim: int, largest: float) -> np.ndarray:
    """Queries (nq, dim), or (dim,) for one, as rows (nq, dim) of kernel dtype. largest: as in `rows_of_dim`.

    Raises as `rows_of_dim`.
    """
    matrix = x[None] if type(x) is np.ndarray and x.ndim == 1 else x
    if native.are_ready(matrix, dim, largest, np.ndarray):  # what the gate would find in several steps
        ready: np.ndarray = matrix
        return ready
    return rows_of_dim(as_matrix(x), dim, "queries", largest=largest)
