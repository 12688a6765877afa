"""The tree of a condition on attributes, whichever way it was spelled."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import Any

from cluscomp import checks
from cluscomp.errors import UsageError

MAX_DEPTH = 32
MAX_NODES = 4096
MAX_VALUES = 65_536
MAX_BYTES = 65_536

SINGLE = ("==", "!=", ">", ">=", "<", "<=", "prefix", "contains")
LISTED = ("in", "not in", "any", "all")
COMPARISONS = (*SINGLE[:6], "in", "not in", "between", "prefix", "contains", "any", "all", "is null")
LOGICAL = ("and", "or", "not")
OPS = (*LOGICAL, *COMPARISONS)

Scalar = bool | int | float | str


@dataclass(frozen=True)
class Comparison:
    """One column against values.

    value: a scalar; a tuple for in, not in, any, all and between; None for is null.
    """

    op: str
    field: str
    value: Any

    def to_json(self) -> dict[str, Any]:
        """The JSON spelling."""
        if self.op == "is null":
            return {"op": self.op, "field": self.field}
        value = list(self.value) if isinstance(self.value, tuple) else self.value
        return {"op": self.op, "field": self.field, "value": value}


@dataclass(frozen=True)
class Logical:
    """Conditions joined by "and" or "or", at least one, or one that is turned round by "not"."""

    op: str
    args: tuple[Expression, ...]

    def to_json(self) -> dict[str, Any]:
        """The JSON spelling."""
        return {"op": self.op, "args": [arg.to_json() for arg in self.args]}


Expression = Comparison | Logical


def canonical(expression: Expression) -> str:
    """JSON in one spelling: equal texts for equal trees."""
    return json.dumps(expression.to_json(), separators=(",", ":"), sort_keys=True)


def fields(expression: Expression) -> Iterator[str]:
    """Names of the columns that it asks for, in order, repeats included."""
    if isinstance(expression, Comparison):
        yield expression.field
    else:
        for arg in expression.args:
            yield from fields(arg)


def comparison(op: str, field: Any, value: Any) -> Comparison:
    """A comparison whose value has the form that its operator needs. Raises UsageError."""
    if not isinstance(field, str) or not field:
        raise UsageError(f"filter: field must be the name of an attribute, but is {shown(field)}")
    _require_unicode(field)
    if op == "is null":
        return Comparison(op, field, None)
    if op in SINGLE:
        return Comparison(op, field, scalar(value, field, op))
    if not isinstance(value, (list, tuple)):
        raise UsageError(f"filter: {field!r} {op} needs a list of values, but has {shown(value)}")
    if op == "between" and len(value) != 2:
        raise UsageError(f"filter: {field!r} between needs two values, but has {len(value)}")
    if len(value) > MAX_VALUES:
        raise UsageError(f"filter: {field!r} {op} has {len(value)} values, at most {MAX_VALUES} are possible")
    return Comparison(op, field, tuple(scalar(item, field, op) for item in value))


def scalar(value: Any, field: str, op: str) -> Scalar:
    """A value that a column can be compared with; dates become texts of ISO 8601. Raises UsageError."""
    if (
        not isinstance(value, (bool, int, float, str))
        and hasattr(value, "item")
        and not getattr(value, "ndim", 1)
    ):
        value = value.item()
    if isinstance(value, date):
        if isinstance(value, datetime) and value.tzinfo is not None:
            value = value.astimezone(timezone.utc).replace(tzinfo=None)
        return value.isoformat()
    if value is None:
        raise UsageError(f"filter: {field!r} {op} null finds nothing; ask for {field} is null")
    if isinstance(value, str):
        _require_unicode(value)
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"filter: {field!r} {op} needs a finite number, but has {value}")
    if not isinstance(value, (bool, int, float)):
        raise UsageError(f"filter: {field!r} {op} needs a text, a number or a bool, but has {shown(value)}")
    return value


def logical(op: str, args: Sequence[Expression]) -> Expression:
    """Conditions joined. Raises UsageError unless "not" has one, and the others at least one."""
    if op == "not" and len(args) != 1:
        raise UsageError(f"filter: not needs one condition, but has {len(args)}")
    if not args:
        raise UsageError(f"filter: {op} needs at least one condition")
    return Logical(op, tuple(args))


def require_small(expression: Expression) -> Expression:
    """The expression, unless it is nested too deeply or has too many parts (UsageError)."""
    nodes = values = 0
    level: list[Expression] = [expression]
    depth = 0
    while level:
        depth += 1
        nodes += len(level)
        values += sum(len(e.value) for e in level if isinstance(e, Comparison) and isinstance(e.value, tuple))
        level = [arg for e in level if isinstance(e, Logical) for arg in e.args]
        require_depth(depth)
        if nodes > MAX_NODES or values > MAX_VALUES:
            raise UsageError(
                f"filter: it has {nodes} parts and {values} values in lists, at most {MAX_NODES} and "
                f"{MAX_VALUES} are possible; pass ids or a Mask"
            )
    return expression


def require_depth(depth: int) -> None:
    """Raise UsageError for a condition that is nested too deeply."""
    if depth > MAX_DEPTH:
        raise UsageError(f"filter: conditions are nested deeper than {MAX_DEPTH} levels")


def unknown_op(op: Any) -> UsageError:
    """The error for an operator that does not exist."""
    return checks.unknown("filter: the operator", op, OPS, {"=": "==", "<>": "!=", "eq": "==", "ne": "!="})


def shown(value: Any) -> str:
    """A value as it reads in a message, cut if it is long."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python writes
        text = "a number of very many digits"
    return text if len(text) <= 60 else text[:57] + "..."


def _require_unicode(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise UsageError(f"filter: the text {shown(text)} is not valid Unicode ({exc})") from exc
