"""Comparisons as closed intervals of stored numbers, exact between integers and floats of any size."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.attributes import times
from cluscomp.attributes.expressions import Comparison
from cluscomp.attributes.words import Words

_LEAST, _MOST = -(2**63), 2**63 - 1


@dataclass(frozen=True)
class Interval:
    """Stored values from low to high, both included; none where low > high."""

    low: Any
    high: Any


@dataclass(frozen=True)
class Members:
    """Some stored values: ascending, each once."""

    values: np.ndarray


NOTHING = Interval(1, 0)


def stored_range(node: Comparison, kind: str, words: Words | None) -> Interval | Members:
    """The stored values of a scalar column for which a comparison holds; those of "not in" and "!=" are the
    values for which "in" and "==" hold. The comparison fits the column (`require_fit`).
    """
    if node.op in ("in", "not in"):
        found = [_range(kind, "==", value, words) for value in node.value]
        dtype = np.float64 if kind == "float64" else np.int64
        return Members(
            np.unique(np.array([each.low for each in found if each.low <= each.high], dtype=dtype))
        )
    if node.op == "between":
        above, below = _range(kind, ">=", node.value[0], words), _range(kind, "<=", node.value[1], words)
        if NOTHING in (above, below) or above.low > below.high:
            return NOTHING
        return Interval(above.low, below.high)
    return _range(kind, "==" if node.op == "!=" else node.op, node.value, words)


def _range(kind: str, op: str, value: Any, words: Words | None) -> Interval:
    if words is not None:
        return _words(op, value, words)
    if kind == "float64":
        return _floats(op, value)
    return _integers(
        op, times.parsed(value) if kind == "timestamp" else int(value) if kind == "bool" else value
    )


def _integers(op: str, value: float) -> Interval:
    floor, ceil = math.floor(value), math.ceil(value)
    low, high = {
        "==": (ceil, floor),
        "<": (_LEAST, ceil - 1),
        "<=": (_LEAST, floor),
        ">": (floor + 1, _MOST),
        ">=": (ceil, _MOST),
    }[op]
    low, high = max(low, _LEAST), min(high, _MOST)
    return Interval(low, high) if low <= high else NOTHING


def _floats(op: str, value: float) -> Interval:
    below, above = _neighbours(value)
    low, high = {
        "==": (above, below),
        "<": (-math.inf, math.nextafter(below, -math.inf) if below == value else below) ,
        "<=": (-math.inf, below),
        ">": (math.nextafter(above, math.inf) if above == value else above, math.inf),
        ">=": (above, math.inf),
    }[op]  # fmt: skip
    return Interval(low, high) if low <= high else NOTHING


def _neighbours(value: float) -> tuple[float, float]:
    """The largest float64 that is at most a number, and the smallest that is at least it."""
    try:
        near = float(value)
    except OverflowError:
        near = math.inf if value > 0 else -math.inf
    if near == value:
        return near, near
    if near > value:
        return math.nextafter(near, -math.inf), near
    return near, math.nextafter(near, math.inf)


def _words(op: str, value: str, words: Words) -> Interval:
    wanted = value.encode("utf-8")
    last = len(words) - 1
    if op == "==":
        number = words.find(value)
        return Interval(number, number) if number >= 0 else NOTHING
    ranges: dict[str, Callable[[], tuple[int, int]]] = {
        "<": lambda: (0, words.first_from(wanted) - 1),
        "<=": lambda: (0, words.first_behind(wanted) - 1),
        ">": lambda: (words.first_behind(wanted), last),
        ">=": lambda: (words.first_from(wanted), last),
        "prefix": lambda: (words.first_from(wanted), words.first_behind_prefix(wanted) - 1),
    }
    low, high = ranges[op]()
    return Interval(low, high) if low <= high else NOTHING
