"""Columns of Arrow tables -> chunks, without a Python object a value."""

from __future__ import annotations

from typing import Any

import numpy as np

from cluscomp import errors
from cluscomp.attributes.chunks import Chunk, Clash
from cluscomp.attributes.python_values import float_chunk, timestamps
from cluscomp.errors import DTypeError


def chunk_of_arrow(column: Any, name: str) -> Chunk:
    """The chunk of a pyarrow Array or ChunkedArray. name: as it reads in messages.

    Raises Clash, DTypeError (a type that no column can hold).
    """
    arrow = errors.require("pyarrow", extra="parquet", why="attributes in Arrow tables")
    if isinstance(column, arrow.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, arrow.ChunkedArray):
            column = arrow.concat_arrays(column.chunks) if column.num_chunks else arrow.array([], column.type)
    if isinstance(column, arrow.ExtensionArray):
        column = column.storage
    kinds, kind = arrow.types, column.type
    missing = np.asarray(column.is_null())
    if kinds.is_null(kind):
        return Chunk(None, np.zeros(len(column)), missing)
    if kinds.is_boolean(kind) or kinds.is_integer(kind) or kinds.is_floating(kind):
        return _numbers(arrow, column, missing)
    if kinds.is_timestamp(kind) or kinds.is_date(kind):
        return _instants(arrow, column, missing)
    texts = kinds.is_dictionary(kind) or _is_text(arrow, kind)
    if texts and _is_text(arrow, kind.value_type if kinds.is_dictionary(kind) else kind):
        numbers, words = _dictionary(arrow, column)
        return Chunk("text", numbers, missing, words)
    if _is_list(arrow, kind) and _is_text(arrow, kind.value_type):
        return _lists(arrow, column, missing)
    raise DTypeError(
        f"{name} has the Arrow type {kind}; known are bool, integers, floats, dates, timestamps, texts and "
        "lists of texts. Convert the column, or drop it"
    )


def _numbers(arrow: Any, column: Any, missing: np.ndarray) -> Chunk:
    if arrow.types.is_floating(column.type):
        values = np.asarray(column.cast(arrow.float64()).fill_null(0.0))
        return float_chunk(values, missing)
    if arrow.types.is_boolean(column.type):
        return Chunk("bool", np.asarray(column.fill_null(False)).astype(np.uint8), missing)
    values = np.asarray(column.fill_null(0))
    beyond = np.flatnonzero(values > 2**63 - 1) if values.dtype.kind == "u" else values[:0]
    if beyond.size:
        raise Clash(int(beyond[0]), f"holds {values[beyond[0]]}, which does not fit int64")
    return Chunk("int64", values.astype(np.int64), missing)


def _instants(arrow: Any, column: Any, missing: np.ndarray) -> Chunk:
    if arrow.types.is_date(column.type):
        column = column.cast(arrow.date32()).cast(arrow.timestamp("s"))
    unit = column.type.unit
    numbers = np.asarray(column.cast(arrow.timestamp(unit)).cast(arrow.int64()).fill_null(0))
    return timestamps(numbers.astype(f"M8[{unit}]"), missing)


def _is_text(arrow: Any, kind: Any) -> bool:
    view = getattr(arrow.types, "is_string_view", None)
    return bool(arrow.types.is_string(kind) or arrow.types.is_large_string(kind) or (view and view(kind)))


def _is_list(arrow: Any, kind: Any) -> bool:
    kinds = arrow.types
    return bool(kinds.is_list(kind) or kinds.is_large_list(kind) or kinds.is_fixed_size_list(kind))


def _dictionary(arrow: Any, column: Any) -> tuple[np.ndarray, list[str]]:
    """Numbers (n,) int32 of words, 0 where there is none, and the words, each once."""
    if arrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    encoded = column.cast(arrow.large_string()).dictionary_encode()
    return np.asarray(encoded.indices.fill_null(0)).astype(np.int32), encoded.dictionary.to_pylist()


def _lists(arrow: Any, column: Any, missing: np.ndarray) -> Chunk:
    column = column.cast(arrow.large_list(column.type.value_type))
    items = column.flatten()  # without those of missing lists
    lengths = np.asarray(column.value_lengths().fill_null(0)).astype(np.int64)
    if items.null_count:
        item = int(np.argmax(np.asarray(items.is_null())))
        row = int(np.searchsorted(np.cumsum(lengths), item, side="right"))
        raise Clash(row, "holds a list with a missing text; lists may hold texts only")
    numbers, words = _dictionary(arrow, items)
    return Chunk("texts", numbers, missing, words, lengths)
