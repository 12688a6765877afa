"""Filters of Haystack as conditions on attributes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from cluscomp import checks
from cluscomp.errors import UsageError
from cluscomp.eval.integrations.conditions import Condition, all_of, any_of, comparison, negated

COMPARISONS = ("==", "!=", ">", ">=", "<", "<=", "in", "not in")
LOGICAL = ("AND", "OR", "NOT")
PREFIX = "meta."
"""Before a name of metadata."""


def condition_of(filters: Any, known: Collection[str]) -> Condition:
    """The condition that a filter means. known: names of the columns.

    Raises UsageError for what is no filter.
    """
    if not filters:
        return True
    if not isinstance(filters, Mapping):
        raise UsageError(f"a filter is a dict with field, operator and value, but here is {filters!r:.60}")
    if "field" in filters:
        return _comparison(filters, known)
    operator, conditions = (_needed(filters, name) for name in ("operator", "conditions"))
    if not isinstance(conditions, list):
        raise UsageError(f"filter: conditions must be a list, but is {conditions!r:.60}")
    checks.one_of("filter: operator", str(operator).upper(), LOGICAL)
    parts = [_part(condition, known) for condition in conditions]
    if str(operator).upper() == "OR":
        return any_of(parts)
    return negated(all_of(parts)) if str(operator).upper() == "NOT" else all_of(parts)


def _part(filters: Any, known: Collection[str]) -> Condition:
    if not filters:
        raise UsageError("filter: a condition is empty")
    return condition_of(filters, known)


def _comparison(filters: Mapping[str, Any], known: Collection[str]) -> Condition:
    field, operator, value = (_needed(filters, name) for name in ("field", "operator", "value"))
    checks.one_of("filter: operator", operator, COMPARISONS)
    if operator in ("in", "not in") and not isinstance(value, list):
        raise UsageError(f"filter: {operator} needs a list of values, but has {value!r:.60}")
    if operator not in ("in", "not in") and isinstance(value, (list, tuple, set)):
        raise UsageError(f"filter: {field!r} {operator} needs one value, but has {value!r:.60}")
    if field in ("id", "content", "embedding", "blob", "score", "sparse_embedding"):
        raise UsageError(f"filter: {field!r} cannot be filtered by; fields of metadata are, as {PREFIX}NAME")
    return comparison(operator, str(field).removeprefix(PREFIX), value, known)


def _needed(filters: Mapping[str, Any], name: str) -> Any:
    if name not in filters:
        raise UsageError(f"filter: {name!r} is missing; it has {', '.join(map(repr, filters))}")
    return filters[name]
