"""Conditions as JSON: {"op": "and", "args": [...]} and {"op": ">=", "field": "year", "value": 2020}."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cluscomp.attributes.expressions import (
    COMPARISONS,
    LOGICAL,
    MAX_NODES,
    Expression,
    comparison,
    logical,
    require_depth,
    shown,
    unknown_op,
)
from cluscomp.errors import UsageError


def parsed_json(text: str) -> Expression:
    """The tree of a JSON text. Raises UsageError."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        if isinstance(exc, UsageError):
            raise
        raise UsageError(f"filter: {shown(text)} is not JSON ({exc})") from exc
    return tree_of(value)


def tree_of(value: Any) -> Expression:
    """The tree of JSON values. Raises UsageError."""
    return _node(value, 1, [0])


def _node(value: Any, depth: int, count: list[int]) -> Expression:
    require_depth(depth)
    count[0] += 1
    if count[0] > MAX_NODES:
        raise UsageError(f"filter: it has more than {MAX_NODES} parts; pass ids or a Mask")
    if not isinstance(value, Mapping):
        raise UsageError(
            f'filter: {shown(value)} is no condition such as {{"op": "==", "field": ..., "value": ...}}'
        )
    op = value.get("op")
    if not isinstance(op, str) or op not in (*LOGICAL, *COMPARISONS):
        raise unknown_op(op)
    if op in LOGICAL:
        _require_keys(value, op, {"op", "args"}, {"args"})
        args = value["args"]
        if not isinstance(args, (list, tuple)):
            raise UsageError(f"filter: args of {op} must be a list of conditions, but is {shown(args)}")
        return logical(op, [_node(arg, depth + 1, count) for arg in args])
    needed = {"field"} if op == "is null" else {"field", "value"}
    _require_keys(value, op, {"op", "field", "value"}, needed)
    if op == "is null" and value.get("value") is not None:
        raise UsageError(f"filter: is null takes no value, but has {shown(value['value'])}")
    return comparison(op, value["field"], value.get("value"))


def _require_keys(node: Mapping[str, Any], op: str, known: set[str], needed: set[str]) -> None:
    for name in sorted(needed):
        if name not in node:
            raise UsageError(f"filter: {op} needs {name!r}, but has {shown(sorted(map(str, node)))}")
    for name in node:
        if name not in known:
            raise UsageError(f"filter: {op} has {shown(name)}; known are {', '.join(sorted(known))}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UsageError(f"filter: a condition has a name twice among {shown([name for name, _ in pairs])}")
    return found


def _no_constant(name: str) -> Any:
    raise UsageError(f"filter: {name} is no number; numbers must be finite")
