"""Columns given as Python lists, NumPy arrays and columns of pandas -> chunks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from cluscomp.array_forms import as_numpy, is_tensor
from cluscomp.attributes import times
from cluscomp.attributes.chunks import NAMES, Chunk, Clash
from cluscomp.errors import DimensionError, DTypeError

_INT64 = range(-(2**63), 2**63)


def chunk_of_values(values: Any, name: str) -> Chunk:
    """The chunk of a column in any form. name: as it reads in messages. Raises Clash, DTypeError,
    DimensionError.
    """
    if is_tensor(values):
        values = as_numpy(values, name)
    if hasattr(values, "notna") and hasattr(values, "array"):  # a column of pandas
        numbers = values.array if getattr(values.dtype, "kind", "O") in "biuf" else None
        if isinstance(getattr(values, "dtype", None), np.dtype) and numbers is not None:
            return _of_array(np.asarray(values), name)
        there = values.notna().to_numpy()
        objects = values.astype(object).tolist()
        return chunk_of_objects([v if ok else None for v, ok in zip(objects, there, strict=True)])
    if isinstance(values, np.ma.MaskedArray):
        return chunk_of_objects(values.tolist())
    if isinstance(values, np.ndarray) and values.dtype.kind not in "OSUT":
        return _of_array(values, name)
    if isinstance(values, (str, bytes, dict)) or not hasattr(values, "__iter__"):
        raise DTypeError(
            f"{name} is of type {type(values).__name__}; pass a list or an array with one value a row"
        )
    return chunk_of_objects(values.tolist() if isinstance(values, np.ndarray) else list(values))


def _of_array(array: np.ndarray, name: str) -> Chunk:
    if array.ndim != 1:
        raise DimensionError(f"{name} has shape {array.shape}, but one value a row is needed")
    none = np.zeros(len(array), dtype=bool)
    if array.dtype.kind == "b":
        return Chunk("bool", array.astype(np.uint8), none)
    if array.dtype.kind in "iu":
        beyond = np.flatnonzero(array > _INT64[-1]) if array.dtype.kind == "u" else none[:0]
        if beyond.size:
            raise Clash(int(beyond[0]), f"holds {array[beyond[0]]}, which does not fit int64")
        return Chunk("int64", array.astype(np.int64), none)
    if array.dtype.kind == "f" and array.dtype.itemsize <= 8:
        return float_chunk(array.astype(np.float64), none)
    if array.dtype.kind == "M":
        missing = np.isnat(array)
        return timestamps(array, missing)
    raise DTypeError(
        f"{name} has dtype {array.dtype}; known are bool, integers, float16 to float64, datetime64 and texts"
    )


def float_chunk(values: np.ndarray, missing: np.ndarray) -> Chunk:
    """Floats, of which NaN stands for a missing value."""
    missing = missing | np.isnan(values)
    if len(missing) and missing.all():
        return Chunk(None, np.zeros(len(missing)), missing)
    return Chunk("float64", values, missing)


def timestamps(array: np.ndarray, missing: np.ndarray) -> Chunk:
    """datetime64 of any unit; parts of a microsecond are cut off. Raises Clash for one beyond int64."""
    found = array.astype("M8[us]")
    is_finer = np.datetime_data(array.dtype)[0] in ("ns", "ps", "fs", "as")
    changed = np.zeros(len(array), dtype=bool) if is_finer else found.astype(array.dtype) != array
    wrong = np.flatnonzero(changed & ~missing)
    if wrong.size:
        raise Clash(int(wrong[0]), f"holds {array[wrong[0]]}, which does not fit microseconds in int64")
    return Chunk("timestamp", np.where(missing, 0, found.astype(np.int64)), missing)


def chunk_of_objects(values: Sequence[Any]) -> Chunk:
    """The chunk of Python values, None for none. Raises Clash naming the first value of another kind."""
    kind: str | None = None
    found: list[Any] = []
    for row, given in enumerate(values):
        value = given.item() if isinstance(given, np.generic) and given.dtype.kind in "biufU" else given
        this = kind_of_value(value, row)
        if this is not None and kind is not None and this != kind:
            if {this, kind} != {"int64", "float64"}:
                raise Clash(row, f"holds {NAMES[this]} ({_short(value)})")
            this = "float64"
        kind = this or kind
        found.append(None if this is None else value)
    return _of_kind(kind, found)


def kind_of_value(value: Any, row: int) -> str | None:
    """Kind of one Python value, None for none. Raises Clash for what no column can hold."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        if value not in _INT64:
            raise Clash(row, f"holds {_short(value)}, which does not fit int64")
        return "int64"
    if isinstance(value, float):
        return "float64"
    if isinstance(value, str):
        _require_unicode(value, row)
        return "text"
    if isinstance(value, (date, np.datetime64)):
        return None if isinstance(value, np.datetime64) and np.isnat(value) else "timestamp"
    if isinstance(value, (list, tuple, np.ndarray, set, frozenset)):
        return _kind_of_list(value, row)
    raise Clash(row, f"holds a value of type {type(value).__name__}, which no column can hold")


def _kind_of_list(value: Any, row: int) -> str:
    for item in value:
        if not isinstance(item, str):
            raise Clash(row, f"holds a list with {_short(item)}; lists may hold texts only")
        _require_unicode(item, row)
    return "texts"


def _require_unicode(text: str, row: int) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise Clash(row, f"holds a text that is not valid Unicode ({exc})") from exc


def _of_kind(kind: str | None, values: list[Any]) -> Chunk:
    missing = np.array([value is None for value in values], dtype=bool)
    if kind is None:
        return Chunk(None, np.zeros(len(values)), missing)
    if kind == "text":
        words: dict[str, int] = {}
        numbers = [0 if value is None else words.setdefault(value, len(words)) for value in values]
        return Chunk(kind, np.array(numbers, dtype=np.int32), missing, list(words))
    if kind == "texts":
        return _of_lists(values, missing)
    if kind == "float64":
        return float_chunk(
            np.array([0 if v is None else _exact(v, i) for i, v in enumerate(values)], float), missing
        )
    convert = _instant if kind == "timestamp" else lambda value, row: value
    numbers = [0 if value is None else int(convert(value, row)) for row, value in enumerate(values)]
    return Chunk(kind, np.array(numbers, dtype=np.int64), missing)


def _of_lists(values: list[Any], missing: np.ndarray) -> Chunk:
    words: dict[str, int] = {}
    rows = [
        () if value is None else sorted(value) if isinstance(value, (set, frozenset)) else value
        for value in values
    ]
    numbers = [words.setdefault(str(item), len(words)) for row in rows for item in row]
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    return Chunk("texts", np.array(numbers, dtype=np.int32), missing, list(words), lengths)


def _exact(value: Any, row: int) -> float:
    if isinstance(value, int) and int(float(value)) != value:
        raise Clash(row, f"holds the integer {value}, which no float64 is, beside floats")
    return float(value)


def _instant(value: Any, row: int) -> int:
    if isinstance(value, np.datetime64):
        try:
            return int(timestamps(np.array([value]), np.zeros(1, dtype=bool)).values[0])
        except Clash as exc:
            raise Clash(row, exc.found) from exc
    return times.microseconds(value)


def _short(value: Any) -> str:
    shown = (
        f"an integer of {value.bit_length()} bits"
        if isinstance(value, int) and abs(value) > 2**80
        else repr(value)
    )
    return shown if len(shown) <= 40 else shown[:37] + "..."
