"""Metadata filters of LlamaIndex, with all of their operators, as conditions on attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cluscomp import checks
from cluscomp.errors import UsageError
from cluscomp.eval.integrations.conditions import Condition, all_of, any_of, comparison, negated

PLAIN = {"==": "==", "!=": "!=", ">": ">", "<": "<", ">=": ">=", "<=": "<=", "in": "in", "nin": "not in"}
"""Operators that are ours, too. The others look into texts and lists."""
OPERATORS = (*PLAIN, "any", "all", "contains", "text_match", "text_match_insensitive", "is_empty")
Values = Callable[[str], set[Any]]
"""The different values of a column, of lists those in them."""


def condition_of(filters: Any, kinds: Mapping[str, str], values: Values) -> Condition:
    """The condition that filters mean. filters: MetadataFilters, MetadataFilter or None. kinds: of columns.

    "and" and "or" join them, and "not" takes the rows for which none of them holds. A field that a node lacks
    is a missing value. Raises UsageError, UnknownKeyError.
    """
    if filters is None:
        return True
    if not hasattr(filters, "filters"):
        return _comparison(filters, kinds, values)
    parts = [condition_of(part, kinds, values) for part in filters.filters]
    joined = str(getattr(filters.condition, "value", filters.condition or "and"))
    checks.one_of("filter: condition", joined, ("and", "or", "not"))
    if not parts:
        return True
    if joined == "not":
        return negated(any_of(parts))
    return any_of(parts) if joined == "or" else all_of(parts)


def _comparison(one: Any, kinds: Mapping[str, str], values: Values) -> Condition:
    name = str(getattr(one.operator, "value", one.operator))
    checks.one_of("filter: operator", name, OPERATORS)
    key, value, kind = str(one.key), one.value, kinds.get(str(one.key))
    if name in ("in", "nin", "any", "all") and not isinstance(value, list):
        raise UsageError(f"filter: {key!r} {name} needs a list of values, but has {value!r:.60}")
    if name in PLAIN:
        return comparison(PLAIN[name], key, value, kinds)
    if name == "is_empty":
        return _is_empty(key, kind, kinds, values)
    if kind is None:
        return False
    if name.startswith("text_match") and kind != "text":
        raise UsageError(f"filter: {name} needs texts, but {key!r} is a column of {kind}")
    if kind == "texts":
        return {"op": name, "field": key, "value": value}
    if kind != "text":
        raise UsageError(f"filter: {name} needs lists or texts, but {key!r} is a column of {kind}")
    parts = value if isinstance(value, list) else [value]
    found = [_holding(key, part, values, ignore_case=name.endswith("insensitive")) for part in parts]
    return any_of(found) if name == "any" else all_of(found)


def _is_empty(key: str, kind: str | None, kinds: Mapping[str, str], values: Values) -> Condition:
    missing = comparison("is null", key, None, kinds)
    if kind == "text":
        return any_of([missing, {"op": "==", "field": key, "value": ""}])
    if kind == "texts":
        words = sorted(values(key))
        return negated({"op": "any", "field": key, "value": words}) if words else True
    return missing


def _holding(key: str, part: Any, values: Values, *, ignore_case: bool) -> Condition:
    """Rows whose text has `part` in it: those with one of the different texts that have."""
    if not isinstance(part, str):
        raise UsageError(f"filter: {key!r} is searched for a text, but here is {part!r:.60}")
    wanted = part.lower() if ignore_case else part
    found = [value for value in values(key) if wanted in (value.lower() if ignore_case else value)]
    return {"op": "in", "field": key, "value": sorted(found)} if found else False
