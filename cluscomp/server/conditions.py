"""Conditions on attributes in a form that can be compared: requests with equal ones are searched together."""

from __future__ import annotations

import json
from typing import Any

from cluscomp.errors import InputError, UsageError


def check_unicode(text: str) -> str:
    """The text. Raises InputError for half a surrogate pair, which JSON can hold and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InputError("a text holds half a surrogate pair, which is no text") from exc
    return text


def filter_text(value: str | dict[str, Any]) -> str:
    """A condition as one text: JSON values are marked by their first sign, which no other condition has."""
    if isinstance(value, str):
        if value.lstrip().startswith("{"):
            raise UsageError("a filter in JSON is an object, not a text of one")
        return check_unicode(value)
    return json.dumps(value, sort_keys=True)


def filter_value(text: str) -> Any:
    """What `filter_text` was given."""
    return json.loads(text) if text.startswith("{") else text
