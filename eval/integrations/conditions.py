"""Conditions on attributes, built for packages in which a field that no document has is a missing value.

A condition is JSON values as of `parse_filter`, or a bool where the answer is the same for all rows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

Condition = dict[str, Any] | bool


def comparison(op: str, field: str, value: Any, known: Collection[str]) -> Condition:
    """One field against a value. None as a value, or in a list of them, asks for missing ones.

    known: the columns that there are. A comparison with a missing value is false, and "!=" and "not in" are
    true.
    """
    if op in ("!=", "not in"):
        return negated(comparison("==" if op == "!=" else "in", field, value, known))
    missing: Condition = {"op": "is null", "field": field} if field in known else True
    if op == "is null" or (op == "==" and value is None):
        return missing
    if value is None or field not in known:
        return missing if op == "in" and value and None in value else False
    if op == "in" and isinstance(value, list) and None in value:
        there = [one for one in value if one is not None]
        return any_of([missing, comparison(op, field, there, known)])
    return {"op": op, "field": field, "value": value}


def all_of(parts: Sequence[Condition]) -> Condition:
    """Rows for which all conditions hold; all rows where there is none."""
    return _joined("and", parts, neutral=True)


def any_of(parts: Sequence[Condition]) -> Condition:
    """Rows for which one of the conditions holds; no rows where there is none."""
    return _joined("or", parts, neutral=False)


def negated(part: Condition) -> Condition:
    """The other rows."""
    return not part if isinstance(part, bool) else {"op": "not", "args": [part]}


def _joined(op: str, parts: Sequence[Condition], *, neutral: bool) -> Condition:
    if any(part is (not neutral) for part in parts):
        return not neutral
    args = [part for part in parts if not isinstance(part, bool)]
    if not args:
        return neutral
    return args[0] if len(args) == 1 else {"op": op, "args": args}
