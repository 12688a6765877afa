"""Checks of the arguments of `Index`."""

from __future__ import annotations

import json
import operator
from typing import Any

import numpy as np

from cluscomp.arrays import as_rows, require_finite
from cluscomp.errors import DimensionError, UnknownKeyError, UsageError


def positive(name: str, value: Any) -> int:
    """`value` as an integer of at least 1, or UsageError."""
    return integer(name, value, 1, None)


def integer(name: str, value: Any, low: int, high: int | None) -> int:
    """`value` as an integer from low to high, or UsageError naming the range."""
    wanted = f"an integer of at least {low}" if high is None else f"an integer from {low} to {high}"
    try:
        number = operator.index(value)
    except TypeError as exc:
        raise UsageError(f"{name} must be {wanted}, but is {value!r}") from exc
    if isinstance(value, bool) or number < low or (high is not None and number > high):
        raise UsageError(f"{name} must be {wanted}, but is {value!r}")
    return number


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


def json_object(info: Any, name: str) -> dict[str, Any] | None:
    """A copy of a dict of JSON values, or of what an object's to_json() returns; None stays None."""
    value = info.to_json() if hasattr(info, "to_json") else info
    if value is None:
        return None
    try:
        copied = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as exc:
        raise UsageError(f"{name} must be a dict of JSON values: {exc}") from exc
    if not isinstance(copied, dict):
        raise UsageError(f"{name} must be a dict of JSON values or None, but is {type(value).__name__}")
    return copied


def positive_number(name: str, value: Any) -> float:
    """`value` as a finite number above 0, or UsageError."""
    try:
        number = float(value)
    except (TypeError, ValueError) as exc:
        raise UsageError(f"{name} must be a number above 0, but is {value!r}") from exc
    if isinstance(value, bool) or not 0 < number < float("inf"):
        raise UsageError(f"{name} must be a number above 0, but is {value!r}")
    return number


def one_of(name: str, value: Any, valid: tuple[str, ...]) -> str:
    """`value` if it is among the valid ones, or UnknownKeyError naming them."""
    if value not in valid:
        raise UnknownKeyError(f"{name} {value!r} is unknown; valid are: {', '.join(map(repr, valid))}")
    return str(value)
