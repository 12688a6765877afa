"""A condition as text that gives the same tree again."""

from __future__ import annotations

from cluscomp.attributes.expressions import Comparison, Expression, Scalar
from cluscomp.attributes.text_form import NAME, WORDS


def spelled(expression: Expression) -> str:
    """The text of a tree."""
    if isinstance(expression, Comparison):
        return _comparison(expression)
    if expression.op == "not":
        return f"not {_within(expression.args[0])}"
    return f" {expression.op} ".join(_within(arg) for arg in expression.args)


def _within(expression: Expression) -> str:
    is_plain = isinstance(expression, Comparison) or expression.op == "not"
    return spelled(expression) if is_plain else f"({spelled(expression)})"


def _comparison(node: Comparison) -> str:
    is_name = NAME.fullmatch(node.field) is not None and node.field.lower() not in WORDS
    name = node.field if is_name else "`" + node.field.replace("`", "``") + "`"
    if node.op == "is null":
        return f"{name} is null"
    if node.op == "between":
        return f"{name} between {_value(node.value[0])} and {_value(node.value[1])}"
    if isinstance(node.value, tuple):
        return f"{name} {node.op} ({', '.join(map(_value, node.value))})"
    return f"{name} {node.op} {_value(node.value)}"


def _value(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)
