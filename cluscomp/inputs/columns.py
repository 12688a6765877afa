"""Columns that a caller names: which field of a file holds the vectors, ids, titles or texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluscomp.errors import UsageError

COLUMN_ROLES = ("vectors", "id", "title", "text")
Columns = Mapping[str, str]
"""{role: name of the column}; roles are `COLUMN_ROLES`, and those left out are found by usual names."""


def check_columns(columns: Any, roles: tuple[str, ...] = COLUMN_ROLES) -> dict[str, str]:
    """`columns` as a dict; None is an empty one. Raises UsageError for other roles, and names that are no
    text.
    """
    if columns is None:
        return {}
    if not isinstance(columns, Mapping):
        raise UsageError(f"columns must map {', '.join(roles)} to names, but is {columns!r}")
    for role, name in columns.items():
        if role not in roles:
            raise UsageError(f"columns has the role {role!r}; known here are: {', '.join(roles)}")
        if not isinstance(name, str) or not name:
            raise UsageError(f"columns[{role!r}] must be the name of a column, but is {name!r}")
    return dict(columns)
