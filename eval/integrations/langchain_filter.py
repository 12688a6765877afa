"""Filters as LangChain's stores commonly take them, as conditions on attributes.

{"source": "a.txt", "year": {"$gte": 2020}, "$or": [{...}, {...}]}: all entries must hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluscomp import checks
from cluscomp.errors import UsageError

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
LOGICAL = {"$and": "and", "$or": "or", "$not": "not"}


def condition_of(filter: Any) -> Any:
    """The condition that a filter means; texts and conditions in JSON pass as they are.

    Raises UsageError for functions, UnknownKeyError for operators that do not exist.
    """
    if filter is None or isinstance(filter, str) or (isinstance(filter, Mapping) and "op" in filter):
        return filter
    if not isinstance(filter, Mapping):
        raise UsageError(
            f"a filter is a dict such as {{'source': 'a.txt'}} or a text such as \"year >= 2020\", but here "
            f"is a {type(filter).__name__}; functions cannot be applied inside a search"
        )
    return _all([_entry(name, value) for name, value in filter.items()]) if filter else None


def _entry(name: str, value: Any) -> dict[str, Any]:
    if name in LOGICAL:
        parts = [value] if isinstance(value, Mapping) else value
        if not isinstance(parts, (list, tuple)) or not parts:
            raise UsageError(f"filter: {name} needs a list of filters, but has {value!r}")
        args = [condition_of(part) for part in parts]
        return {"op": "not", "args": [_all(args)]} if name == "$not" else {"op": LOGICAL[name], "args": args}
    if name.startswith("$"):
        raise checks.unknown("filter: the operator", name, (*LOGICAL, *OPERATORS))
    if not isinstance(value, Mapping):
        return _comparison("$eq", name, value)
    if not value:
        raise UsageError(f"filter: {name!r} has no operator; known are {', '.join(OPERATORS)}, $exists")
    return _all([_comparison(op, name, wanted) for op, wanted in value.items()])


def _comparison(op: str, field: str, value: Any) -> dict[str, Any]:
    missing = {"op": "is null", "field": field}
    if op == "$exists" or (value is None and op in ("$eq", "$ne")):
        is_missing = not value if op == "$exists" else op == "$eq"
        return missing if is_missing else {"op": "not", "args": [missing]}
    if op not in OPERATORS:
        raise checks.unknown("filter: the operator", op, (*OPERATORS, "$exists"))
    return {"op": OPERATORS[op], "field": field, "value": value}


def _all(args: list[Any]) -> Any:
    return args[0] if len(args) == 1 else {"op": "and", "args": args}
