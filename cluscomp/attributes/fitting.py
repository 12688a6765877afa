"""Whether a condition fits the columns that there are: known names, and values that go with their kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluscomp import checks
from cluscomp.attributes import times
from cluscomp.attributes.chunks import NAMES
from cluscomp.attributes.expressions import Comparison, Expression
from cluscomp.attributes.schema import Field
from cluscomp.errors import UsageError

ORDERED = ("==", "!=", ">", ">=", "<", "<=", "between", "in", "not in", "is null")
OPERATORS = {
    "bool": ("==", "!=", "in", "not in", "is null"),
    "int64": ORDERED,
    "float64": ORDERED,
    "timestamp": ORDERED,
    "text": (*ORDERED, "prefix"),
    "texts": ("contains", "any", "all", "is null"),
}
"""Operators of each kind of column."""


def require_fit(expression: Expression, schema: Mapping[str, Field]) -> None:
    """Check a condition against the columns, before anything is read.

    Args:
        expression: the tree.
        schema: kinds of the columns.

    Raises:
        UnknownKeyError: a column that does not exist; the nearest name is in the message.
        UsageError: an operator or a value that does not go with the kind of its column.
    """
    if isinstance(expression, Comparison):
        _require_comparison(expression, schema)
    else:
        for arg in expression.args:
            require_fit(arg, schema)


def _require_comparison(node: Comparison, schema: Mapping[str, Field]) -> None:
    if node.field not in schema:
        if not schema:
            raise UsageError(f"filter: {node.field!r} is unknown, since the index has no attributes")
        raise checks.unknown("filter: the attribute", node.field, schema)
    kind = schema[node.field].kind
    if node.op not in OPERATORS[kind]:
        raise UsageError(
            f"filter: {node.op!r} does not go with {node.field!r}, a column of {kind}; its operators are: "
            f"{', '.join(OPERATORS[kind])}"
        )
    values = node.value if isinstance(node.value, tuple) else () if node.op == "is null" else (node.value,)
    for value in values:
        _require_value(node, kind, value)


def _require_value(node: Comparison, kind: str, value: Any) -> None:
    needed = "text" if kind == "texts" else kind
    if kind == "bool":
        fits = isinstance(value, bool)
    elif kind in ("int64", "float64"):
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
    else:
        fits = isinstance(value, str)
    if not fits:
        what = (
            "a number"
            if kind in ("int64", "float64")
            else "an ISO 8601 text"
            if kind == "timestamp"
            else NAMES[needed]
        )
        raise UsageError(
            f"filter: {node.field!r} is a column of {kind}, so {node.op!r} needs {what}, but has {value!r}"
        )
    if kind == "timestamp":
        try:
            times.parsed(value)
        except (ValueError, OverflowError) as exc:
            raise UsageError(f"filter: {node.field!r} is a column of timestamps: {exc}") from exc
