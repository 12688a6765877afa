"""The forms in which the vectors of queries and documents may come."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.arrays import as_numbers
from cluscomp.errors import DimensionError, InputError, NonFiniteError, UsageError
from cluscomp.multivector import Ragged, as_ragged


def ragged_of_dim(x: Any, lengths: Any, dim: int, what: str, *, largest: float | None) -> Ragged:
    """Vectors of several queries or documents in any form of `as_ragged`, checked.

    dim: required d. largest: magnitude that no value may exceed; None leaves the values unchecked.
    Raises what `as_ragged` does, DimensionError naming both dims.
    """
    ragged = as_ragged(x, lengths, name=what, check_finite=largest is not None, largest=largest)
    if ragged.dim != dim:
        raise DimensionError(
            f"index has dim {dim}, {what} have dim {ragged.dim}; use vectors of the model that the index was "
            "built with, or build an index for this dim"
        )
    return ragged


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
    weights = as_numbers(salience, name="salience").astype(np.float64)
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
