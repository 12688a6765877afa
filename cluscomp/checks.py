"""Checks of single arguments. Each returns the value in its plain Python type, or raises an error that
names the argument, what it must be and what it is.
"""

from __future__ import annotations

import difflib
import json
import math
import operator
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from cluscomp.errors import UnknownKeyError, UsageError
from cluscomp.vocabulary import METRIC_NAMES, METRIC_SYNONYMS, METRICS, Metric

if TYPE_CHECKING:
    import numpy as np

Name = TypeVar("Name", bound=str)


def integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """`value` as an int from low to high (None: no upper limit).

    Takes what Python takes for an index: int and NumPy's integers, but not bool, float or text.
    Raises UsageError.
    """
    if type(value) is int and low <= value and (high is None or value <= high):
        return value
    try:
        found = operator.index(value)
    except TypeError as exc:
        raise _no_integer(name, value, low, high) from exc
    if isinstance(value, bool) or found < low or (high is not None and found > high):
        raise _no_integer(name, value, low, high)
    return found


def _no_integer(name: str, value: Any, low: int, high: int | None) -> UsageError:
    wanted = f"an integer of at least {low}" if high is None else f"an integer from {low} to {high}"
    return UsageError(f"{name} must be {wanted}, but is {value!r}")


def rng(seed: Any) -> np.random.Generator:
    """The random numbers of a seed: an integer of at least 0, several of them, or None for another one each
    time. Raises UsageError.
    """
    import numpy as np

    try:
        if isinstance(seed, (bool, np.bool_)):
            raise TypeError("it is a bool")
        return np.random.default_rng(seed.item() if getattr(seed, "ndim", None) == 0 else seed)
    except (TypeError, ValueError) as exc:
        raise UsageError(f"seed must be an integer of at least 0, but is {seed!r} ({exc})") from exc


def number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    low: float | None = None,
    high: float | None = None,
    below: float | None = None,
) -> float:
    """`value` as a finite float, larger than `above`, at least `low`, at most `high`, smaller than `below`.

    Takes Python's and NumPy's integers and floats, but not bool or text. Raises UsageError.
    """
    found = _as_float(value)
    fits = (
        math.isfinite(found)
        and (above is None or found > above)
        and (low is None or found >= low)
        and (high is None or found <= high)
        and (below is None or found < below)
    )
    if not fits:
        raise UsageError(f"{name} must be {_range(above, low, high, below)}, but is {value!r}")
    return found


def one_of(name: str, value: Any, valid: Iterable[Name], synonyms: Mapping[str, str] | None = None) -> Name:
    """`value` if it is among the valid names.

    synonyms: names of other libraries -> ours, for the suggestion. Raises UnknownKeyError with the nearest
    name and all of them.
    """
    names = tuple(valid)
    if isinstance(value, str):
        for known in names:
            if value == known:
                return known
    raise unknown(name, value, names, synonyms)


def metric(value: Any, name: str = "metric") -> Metric:
    """The metric of a name: "ip", "l2" (also written "euclidean") or "cosine". Raises UnknownKeyError."""
    if isinstance(value, str) and value in METRIC_NAMES:
        value = METRIC_SYNONYMS.get(value, value)
    return one_of(name, value, METRICS, METRIC_SYNONYMS)


def unknown(
    name: str, value: Any, valid: Iterable[str], synonyms: Mapping[str, str] | None = None
) -> UnknownKeyError:
    """The error for a name that does not exist, with the nearest one and all that do."""
    names = tuple(valid)
    message = f"{name} {value!r} is unknown; known are: {', '.join(names)}"
    return UnknownKeyError(message + did_you_mean(value, names, synonyms))


def did_you_mean(value: Any, valid: Iterable[str], synonyms: Mapping[str, str] | None = None) -> str:
    """Text "; did you mean 'x'?" with the valid name nearest in letters; nothing where none is near."""
    names = list(valid)
    if not isinstance(value, str):
        return ""
    lower = value.strip().lower()
    meant = (synonyms or {}).get(lower)
    if meant in names:
        return f"; did you mean {meant!r}?"
    folded = {known.lower(): known for known in reversed(names)}
    near = difflib.get_close_matches(lower, list(folded), n=1, cutoff=0.5)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""


_UNITS = ("", "K", "M", "G", "T")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?", re.IGNORECASE)


def byte_size(name: str, value: Any) -> int:
    """Bytes of a whole number, or of a text such as "800M", "8G" (powers of 1000) or "8GiB" (of 1024).

    Raises UsageError for anything else, and for less than 1.
    """
    if not isinstance(value, str):
        return integer(name, value, 1)
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise UsageError(f"{name} {value!r} is not a size; write it as 800M, 8G or 8GiB")
    number_text, unit, binary = match.groups()
    size = int(float(number_text) * (1024 if binary else 1000) ** _UNITS.index(unit.upper()))
    if size < 1:
        raise UsageError(f"{name} is {value}, but must be above 0")
    return size


def path(name: str, value: Any) -> Path:
    """`value`, a text or an os.PathLike, as a Path. Raises UsageError for anything else and for ""."""
    try:
        text = os.fspath(value)
    except TypeError as exc:
        raise UsageError(f"{name} must be a path, but is {value!r}, a {type(value).__name__}") from exc
    if not isinstance(text, str) or not text or "\0" in text:
        raise UsageError(f"{name} must be a path, but is {value!r}")
    return Path(text)


def json_object(name: str, value: Any) -> dict[str, Any] | None:
    """A copy of a dict of JSON values, or of what an object's to_json() returns; None stays None.

    Raises UsageError.
    """
    given = value.to_json() if hasattr(value, "to_json") else value
    if given is None:
        return None
    try:
        copied = json.loads(json.dumps(given, allow_nan=False))
    except (TypeError, ValueError) as exc:
        raise UsageError(f"{name} must be a dict of JSON values: {exc}") from exc
    if not isinstance(copied, dict):
        raise UsageError(f"{name} must be a dict of JSON values or None, but is {type(given).__name__}")
    return copied


def _as_float(value: Any) -> float:
    """The number, or NaN for what is none."""
    is_bool = isinstance(value, bool) or getattr(getattr(value, "dtype", None), "kind", "") == "b"
    if is_bool or isinstance(value, (str, bytes, bytearray)) or getattr(value, "ndim", 0):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return math.nan


def _range(above: float | None, low: float | None, high: float | None, below: float | None) -> str:
    """What `number` asks for, in words."""
    limits = [
        f"{word} {limit:g}"
        for word, limit in (("above", above), ("at least", low), ("at most", high), ("below", below))
        if limit is not None
    ]
    return "a finite number" + (f" {' and '.join(limits)}" if limits else "")
