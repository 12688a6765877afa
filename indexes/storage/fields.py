"""Typed access to JSON that is not trusted."""

from __future__ import annotations

import re
from typing import Any

from cluscomp.errors import CorruptIndexError


class Fields:
    """Typed access to the fields of one JSON object; every fault becomes a CorruptIndexError."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise CorruptIndexError(
                f"{where}: an object is needed where {value!r:.60} stands; the index is damaged"
            )
        self.value, self.where = value, where

    def fault(self, name: str, wanted: str) -> CorruptIndexError:
        got = self.value.get(name, "nothing")
        return CorruptIndexError(
            f"{self.where}: {name!r} must be {wanted}, but is {got!r:.60}; the index is damaged"
        )

    def integer(self, name: str, low: int, high: int) -> int:
        got = self.value.get(name)
        if type(got) is not int or not low <= got <= high:
            raise self.fault(name, f"an integer from {low} to {high}")
        return got

    def text(self, name: str) -> str:
        got = self.value.get(name)
        if not isinstance(got, str):
            raise self.fault(name, "a text")
        return got

    def matching(self, name: str, pattern: re.Pattern[str], wanted: str) -> str:
        got = self.text(name)
        if not pattern.fullmatch(got):
            raise self.fault(name, wanted)
        return got

    def choice(self, name: str, allowed: tuple[Any, ...]) -> Any:
        got = self.value.get(name)
        if not (got is None or isinstance(got, str)) or got not in allowed:
            raise self.fault(name, f"one of {allowed}")
        return got

    def mapping(self, name: str) -> dict[str, Any]:
        got = self.value.get(name)
        if not isinstance(got, dict):
            raise self.fault(name, "an object")
        return got

    def sequence(self, name: str) -> list[Any]:
        got = self.value.get(name)
        if not isinstance(got, list):
            raise self.fault(name, "a list")
        return got
