"""What callers pass as a filter: a condition, ids, a mask, or a list with one of these a query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cluscomp.array_forms import as_numpy, id_values
from cluscomp.attributes import Expression, parse_filter
from cluscomp.attributes.expressions import Comparison, Logical, canonical
from cluscomp.errors import DimensionError, DTypeError, UsageError
from cluscomp.indexes.segments.ids import MAX_ID, IdColumn, make_ids


class Mask:
    """Rows that a search may find, as one bool for each of `index.ids`, in their order.

    Args:
        values: (len(index),) of bool.

    Raises:
        DTypeError: other values than bool.
        DimensionError: more than one dimension.
    """

    def __init__(self, values: Any) -> None:
        array = as_numpy(values, "the mask")
        if array.dtype != bool:
            raise DTypeError(f"a mask holds bool, but this one {array.dtype}; pass mask != 0, or ids")
        if array.ndim != 1:
            raise DimensionError(f"a mask has one dimension, but this one the shape {array.shape}")
        self.values = array

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Ids:
    """Ids of rows, each once. column: None for none. n_given: how many were passed, repeats aside."""

    column: IdColumn | None
    n_given: int


@dataclass(frozen=True)
class Given:
    """Conditions of one search, all of which rows must meet; without any, every row passes."""

    expressions: tuple[Expression, ...] = ()
    ids: Ids | None = None
    mask: Mask | None = None

    @property
    def text(self) -> str:
        """Equal texts for equal conditions; empty where there are ids or a mask."""
        if self.ids is not None or self.mask is not None:
            return ""
        return " and ".join(map(canonical, self.expressions))

    def also(self, expression: Expression | None) -> Given:
        """The same with one more condition."""
        return self if expression is None else replace(self, expressions=(*self.expressions, expression))


EVERYTHING = Given()


def given_filters(filter: Any, n_queries: int) -> list[tuple[Given, np.ndarray]]:
    """What a caller passed, with the numbers of the queries that it goes with.

    Queries with the same object as their filter, or equal texts or dicts, come together.

    Raises UsageError, DTypeError, DimensionError.
    """
    if not _is_one_a_query(filter):
        return [(given_filter(filter), np.arange(n_queries))]
    if len(filter) != n_queries:
        raise DimensionError(
            f"there are {n_queries} queries, but {len(filter)} filters; pass one, or one a query"
        )
    groups: dict[Any, list[int]] = {}
    for query, each in enumerate(filter):
        groups.setdefault(repr(each) if isinstance(each, (str, dict)) else id(each), []).append(query)
    return [(given_filter(filter[queries[0]]), np.array(queries)) for queries in groups.values()]


def given_filter(filter: Any) -> Given:
    """One filter: None for every row, a condition, a Mask, or ids. Raises UsageError, DTypeError."""
    if filter is None:
        return EVERYTHING
    if isinstance(filter, (str, Mapping, Comparison, Logical)):
        return Given((parse_filter(filter),))
    if isinstance(filter, Mask):
        return Given(mask=filter)
    if getattr(filter, "dtype", None) is not None and str(filter.dtype) in ("bool", "torch.bool"):
        raise UsageError("filter is an array of bool; pass Mask(array), in the order of index.ids")
    return Given(ids=_ids(filter))


def _ids(values: Any) -> Ids:
    """Different ids of what a caller passed. Integers that no row can have are passed over."""
    found = id_values(values)
    different = list(dict.fromkeys(found)) if isinstance(found, list) else np.unique(found)
    n = len(different)
    if isinstance(different, list) and all(type(value) is int for value in different):
        different = np.array([v for v in different if -(2**63) <= v < 2**63], dtype=np.int64)
    if isinstance(different, np.ndarray) and different.dtype.kind in "iu":
        different = different[different <= MAX_ID].astype(np.int64)
        different = different[different != -1]
    return Ids(make_ids(different, len(different)) if len(different) else None, n)


def _is_one_a_query(filter: Any) -> bool:
    forms = (Mapping, Mask, Comparison, Logical, list, tuple, set, frozenset, np.ndarray, type(None))
    return isinstance(filter, (list, tuple)) and any(isinstance(each, forms) for each in filter)
