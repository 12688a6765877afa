"""Limits of the fields of requests, in the form that the framework reads, without importing it."""

from __future__ import annotations

from typing import Any


class Limits:
    """Annotation of a field: what its core schema says besides the type, such as ge=1 or max_length=64.

    Values must be of the JSON type as it stands: no number in quotation marks, no true for 1.
    """

    def __init__(self, **values: Any) -> None:
        self._values = values

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Called by the framework when it reads the annotation."""
        schema = handler(source)
        inner = schema
        while inner["type"] in ("nullable", "default"):
            inner = inner["schema"]
        strict = {"strict": True} if inner["type"] in ("int", "float", "str", "bool", "list") else {}
        first = (
            {"fail_fast": True} if inner["type"] == "list" else {}
        )  # to name a million faults takes seconds
        inner.update({**strict, **first, **self._values})
        return schema
