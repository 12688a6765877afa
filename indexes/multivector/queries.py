"""The forms in which the vectors of queries and documents may come."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.errors import DimensionError, InputError, NonFiniteError, UsageError
from cluscomp.multivector import Ragged, as_ragged


def ragged_of_dim(x: Any, lengths: Any, dim: int, what: str, *, check_finite: bool = True) -> Ragged:
    """Vectors of several queries or documents, checked.

    x: (N, d) of all below each other with lengths (n,); or without lengths: a list of (n_i, d) arrays or
    tensors, an array (n, t, d) in which all have t vectors, or (t, d) for a single one. dim: required d.

    Raises DimensionError (naming both dims, lengths that do not add up), DTypeError, NonFiniteError.
    """
    if lengths is None:
        x, lengths = _joined(x, what)
    ragged = as_ragged(x, lengths, name=what, check_finite=check_finite)
    if ragged.dim != dim:
        raise DimensionError(
            f"index has dim {dim}, {what} have dim {ragged.dim}; use vectors of the model that the index was "
            "built with, or build an index for this dim"
        )
    return ragged


def _joined(x: Any, what: str) -> tuple[Any, Any]:
    """One matrix and lengths of what came without lengths."""
    if isinstance(x, (list, tuple)) and x and getattr(x[0], "ndim", 0) == 2:
        return _stacked(x), [part.shape[0] for part in x]
    if getattr(x, "ndim", 0) == 3:
        return x.reshape(-1, x.shape[2]), [x.shape[1]] * x.shape[0]
    if getattr(x, "ndim", 0) == 2:
        return x, [x.shape[0]]
    raise DimensionError(
        f"{what} come as one matrix (vectors, dim) with lengths=, as a list of such matrices, or as an array "
        f"(n, vectors, dim), but got {type(x).__name__} of shape {getattr(x, 'shape', 'unknown')}"
    )


def _stacked(parts: Any) -> Any:
    dims = sorted({int(part.shape[1]) for part in parts})
    if len(dims) > 1:
        raise DimensionError(f"the matrices of one call have different dims: {dims[0]} and {dims[-1]}")
    if type(parts[0]).__module__.startswith("torch"):
        import torch

        return torch.cat(list(parts))
    return np.concatenate(parts)


def require_query_vectors(queries: Ragged) -> None:
    """Raise InputError for a query without vectors: every document would score the same."""
    empty = np.flatnonzero(queries.lengths == 0)
    if empty.size:
        raise InputError(f"query {empty[0]} has 0 vectors; leave out empty queries")


def pruned(queries: Ragged, keep: float | None, salience: Any) -> Ragged:
    """Queries with the share `keep` of their vectors, rounded up: those of the largest salience (equal ones:
    the first), in their order.

    Query-time pruning of HPC-ColPali (arXiv 2506.21601), whose salience is the attention that a patch gets.
    salience: (N,) a number for each vector. Raises UsageError (one of the two without the other, a share
    outside 0 to 1), DimensionError, NonFiniteError.
    """
    if (keep is None) != (salience is None):
        raise UsageError(
            "keep, the share of query vectors that stay, and salience, a number for each, come together"
        )
    if keep is None:
        return queries
    keep = checks.number("keep", keep, above=0, high=1)
    weights = np.asarray(salience, dtype=np.float64)
    if weights.shape != (queries.rows.shape[0],):
        raise DimensionError(
            f"salience has shape {weights.shape}, but there are {queries.rows.shape[0]} query vectors; give "
            "one number for each"
        )
    if not np.isfinite(weights).all():
        raise NonFiniteError(
            f"salience of query vector {np.flatnonzero(~np.isfinite(weights))[0]} is no number"
        )
    kept = [_heaviest(weights, begin, end, keep) for begin, end in pairwise(queries.offsets.tolist())]
    offsets = np.cumsum([0, *(len(rows) for rows in kept)], dtype=np.int64)
    return Ragged(np.ascontiguousarray(queries.rows[np.concatenate(kept)]), offsets)


def _heaviest(weights: np.ndarray, begin: int, end: int, keep: float) -> np.ndarray:
    order = np.argsort(-weights[begin:end], kind="stable")
    return begin + np.sort(order[: math.ceil(keep * (end - begin) - 1e-9)])
