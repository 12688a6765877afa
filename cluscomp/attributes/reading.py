"""Conditions in either spelling -> trees."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cluscomp.attributes.expressions import MAX_BYTES, Comparison, Expression, Logical, require_small
from cluscomp.attributes.json_form import parsed_json, tree_of
from cluscomp.attributes.text_form import parsed_text
from cluscomp.errors import UsageError


def parse_filter(filter: Any) -> Expression:
    """Read a condition on attributes.

    Args:
        filter: text such as "year >= 2020 and lang in ('en', 'de')", or JSON, as a dict or as text that
            begins with a brace: {"op": ">=", "field": "year", "value": 2020}.

    Returns:
        The tree, the same for both spellings.

    Raises:
        UsageError: it cannot be read, is nested deeper than 32 levels, has more than 4096 parts, or its text
            is longer than 64 KiB.
    """
    if isinstance(filter, (Comparison, Logical)):
        return require_small(filter)
    if isinstance(filter, Mapping):
        return require_small(tree_of(filter))
    if not isinstance(filter, str):
        raise UsageError(f"a filter must be a text or a dict, but is of type {type(filter).__name__}")
    return _parsed(filter)


@lru_cache(maxsize=256)
def _parsed(filter: str) -> Expression:
    """The tree of a text; the last ones are kept, since searches ask for the same again and again."""
    n_bytes = len(filter.encode("utf-8", "surrogatepass"))
    if n_bytes > MAX_BYTES:
        raise UsageError(
            f"the filter takes {n_bytes} bytes, at most {MAX_BYTES} are possible; pass ids or a Mask"
        )
    if not filter.strip():
        raise UsageError("the filter is empty; leave it out to search all rows")
    return require_small(parsed_json(filter) if filter.lstrip().startswith("{") else parsed_text(filter))
