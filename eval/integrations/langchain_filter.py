"""Filters as LangChain's stores commonly take them, as conditions on attributes.

{"source": "a.txt", "year": {"$gte": 2020}, "$or": [{...}, {...}]}: all entries must hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluscomp import checks
from cluscomp.errors import UsageError
from cluscomp.eval.integrations.conditions import Condition, all_of, any_of, negated

OPERATORS = {
    "$eq": "==",
    "$ne": "!=",
    "$gt": ">",
    "$gte": ">=",
    "$lt": "<",
    "$lte": "<=",
    "$in": "in",
    "$nin": "not in",
    "$between": "between",
    "$contains": "contains",
    "$any": "any",
    "$all": "all",
    "$prefix": "prefix",
}
LOGICAL = ("$and", "$or", "$not")


def condition_of(filter: Any) -> Any:
    """The condition that a filter means; texts, and conditions in JSON, pass as they are.

    Raises UsageError for functions, UnknownKeyError for operators that do not exist.
    """
    if filter is None or isinstance(filter, str) or _is_condition(filter):
        return filter
    if not isinstance(filter, Mapping):
        raise UsageError(
            f"a filter is a dict such as {{'source': 'a.txt'}} or a text such as \"year >= 2020\", but here "
            f"is a {type(filter).__name__}; functions cannot be applied inside a search"
        )
    return all_of([_entry(name, value) for name, value in filter.items()])


def _is_condition(filter: Any) -> bool:
    return isinstance(filter, Mapping) and "op" in filter and ("field" in filter or "args" in filter)


def _entry(name: str, value: Any) -> Condition:
    if name in LOGICAL:
        return _joined(name, [value] if isinstance(value, Mapping) else value)
    if name.startswith("$"):
        raise checks.unknown("filter: the operator", name, (*LOGICAL, *OPERATORS))
    if not isinstance(value, Mapping):
        return _comparison("$eq", name, value)
    if not value:
        raise UsageError(f"filter: {name!r} has no operator; known are {', '.join(OPERATORS)}, $exists")
    return all_of([_comparison(op, name, wanted) for op, wanted in value.items()])


def _joined(name: str, parts: Any) -> Condition:
    is_list = isinstance(parts, (list, tuple)) and bool(parts)
    if not is_list or not all(isinstance(part, Mapping) for part in parts):
        raise UsageError(f"filter: {name} needs a list of filters, but has {parts!r:.60}")
    args = [condition_of(part) for part in parts]
    if name == "$or":
        return any_of(args)
    return negated(all_of(args)) if name == "$not" else all_of(args)


def _comparison(op: str, field: str, value: Any) -> Condition:
    missing: Condition = {"op": "is null", "field": field}
    if op == "$exists":
        return negated(missing) if value else missing
    if op not in OPERATORS:
        raise checks.unknown("filter: the operator", op, (*OPERATORS, "$exists"))
    if value is None and op in ("$eq", "$ne"):
        return missing if op == "$eq" else negated(missing)
    return {"op": OPERATORS[op], "field": field, "value": value}
