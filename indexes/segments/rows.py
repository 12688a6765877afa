"""What enters an index: rows to train with and to add, and queries, of its dim."""

from __future__ import annotations

from typing import Any

import numpy as np

from cluscomp.arrays import as_rows, require_finite
from cluscomp.errors import DimensionError


def rows_of_dim(x: Any, dim: int, what: str, *, check_finite: bool) -> np.ndarray:
    """x (n, dim) as rows of kernel dtype. what: "rows" or "queries", for messages.

    Raises DimensionError naming both dims, DTypeError, EmptyInputError, NonFiniteError.
    """
    rows = as_rows(x, name=what, check_finite=False)
    if rows.shape[1] != dim:
        raise DimensionError(
            f"index has dim {dim}, {what} have dim {rows.shape[1]}; "
            "use vectors of the model that the index was built with, or build an index for this dim"
        )
    if check_finite:
        require_finite(rows, name=what)
    return rows


def as_matrix(queries: Any) -> Any:
    """A single query (dim,) as a matrix of one row; anything else as it is."""
    if getattr(queries, "ndim", None) == 1:
        return queries[None, :]
    is_list = isinstance(queries, (list, tuple)) and bool(queries)
    return [queries] if is_list and isinstance(queries[0], (int, float, np.number)) else queries
