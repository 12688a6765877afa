"""Conditions answered row by row in plain Python, and written as SQL: oracles of cluscomp.attributes."""

from __future__ import annotations

from datetime import datetime, timezone


def holds(node, row):
    """Whether a tree in its JSON spelling holds for a row {column: value or None}."""
    op = node["op"]
    if op == "and":
        return all(holds(arg, row) for arg in node["args"])
    if op == "or":
        return any(holds(arg, row) for arg in node["args"])
    if op == "not":
        return not holds(node["args"][0], row)
    value = row.get(node["field"])
    if op == "is null":
        return value is None
    if op in ("!=", "not in"):
        return value is None or not _compare("==" if op == "!=" else "in", value, node["value"])
    return value is not None and _compare(op, value, node["value"])


def _compare(op, value, wanted):
    if isinstance(value, datetime):
        wanted = [_instant(w) for w in wanted] if isinstance(wanted, list) else _instant(wanted)
    return {
        "==": lambda: value == wanted,
        ">": lambda: value > wanted,
        ">=": lambda: value >= wanted,
        "<": lambda: value < wanted,
        "<=": lambda: value <= wanted,
        "in": lambda: any(value == w for w in wanted),
        "between": lambda: wanted[0] <= value <= wanted[1],
        "prefix": lambda: value.startswith(wanted),
        "contains": lambda: wanted in value,
        "any": lambda: any(w in value for w in wanted),
        "all": lambda: all(w in value for w in wanted),
    }[op]()


def _instant(text):
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def sql(node, kinds):
    """The tree as DuckDB's SQL, with the rule for missing values written out."""
    op = node["op"]
    if op in ("and", "or"):
        return "(" + f" {op} ".join(sql(arg, kinds) for arg in node["args"]) + ")"
    if op == "not":
        return f"(not {sql(node['args'][0], kinds)})"
    name, kind = '"' + node["field"] + '"', kinds[node["field"]]
    if op == "is null":
        return f"({name} is null)"
    turned = "not " if op in ("!=", "not in") else ""
    return f"({turned}coalesce({_sql_comparison(op, name, kind, node['value'])}, false))"


def _sql_comparison(op, name, kind, value):
    def literal(item):
        if isinstance(item, bool):
            return str(item).lower()
        if isinstance(item, str):
            quoted = "'" + item.replace("'", "''") + "'"
            return f"timestamp {quoted}" if kind == "timestamp" else quoted
        return repr(item) if isinstance(item, int) else f"cast('{item!r}' as double)"

    listed = [literal(item) for item in value] if isinstance(value, list) else [literal(value)]
    as_list = "[" + ", ".join(listed) + "]::varchar[]"
    if op in ("in", "not in"):
        return f"{name} in ({', '.join(listed)})" if listed else "false"
    return {
        "between": lambda: f"{name} between {listed[0]} and {listed[1]}",
        "prefix": lambda: f"starts_with({name}, {listed[0]})",
        "contains": lambda: f"list_contains({name}, {listed[0]})",
        "any": lambda: f"list_has_any({name}, {as_list})",
        "all": lambda: f"list_has_all({name}, {as_list})",
    }.get(op, lambda: f"{name} {'=' if op in ('==', '!=') else op} {listed[0]}")()
