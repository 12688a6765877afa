"""Values of one column as a reader found them, and how they become values of the kind that the column has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from cluscomp.attributes import times
from cluscomp.errors import CluscompError

_LARGEST_EXACT = 2**53
_BELOW_2_63 = 2.0**63 - 1024


@dataclass(frozen=True)
class Chunk:
    """Values of some rows. kind: None where no row has one.

    values: (n,) numbers; of "text", numbers of words; of "texts", those of all lists end to end. missing:
    (n,) bool. words: different texts, in any order. lengths: (n,) of lists, 0 where they are missing.
    """

    kind: str | None
    values: np.ndarray
    missing: np.ndarray
    words: list[str] | None = None
    lengths: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.missing)


class Clash(CluscompError):
    """Values that do not fit their column: row within the chunk, and what is there. Caught in building.py."""

    def __init__(self, row: int, found: str) -> None:
        super().__init__(found)
        self.row, self.found = row, found


def converted(chunk: Chunk, kind: str) -> Chunk:
    """The chunk as one of another kind, without loss. Raises Clash."""
    if chunk.kind in (None, kind):
        return chunk
    convert = _CONVERSIONS.get((str(chunk.kind), kind))
    if convert is None:
        raise Clash(first_value(chunk), f"holds {NAMES[str(chunk.kind)]}")
    return convert(chunk)


def first_value(chunk: Chunk) -> int:
    """The first row that has a value."""
    return int(np.argmin(chunk.missing))


def _int_as_float(chunk: Chunk) -> Chunk:
    back = np.minimum(chunk.values.astype(np.float64), _BELOW_2_63).astype(np.int64)
    beyond = np.flatnonzero((back != chunk.values) & ~chunk.missing)
    if beyond.size:
        row = int(beyond[0])
        raise Clash(row, f"holds the integer {int(chunk.values[row])}, which no float64 is")
    return replace(chunk, kind="float64", values=chunk.values.astype(np.float64))


def _float_as_int(chunk: Chunk) -> Chunk:
    """Whole numbers that stand as floats, as pandas makes them of integers of which some are missing."""
    values = np.where(chunk.missing, 0, chunk.values)
    wrong = np.flatnonzero((values != np.floor(values)) | (np.abs(values) > _LARGEST_EXACT))
    if wrong.size:
        row = int(wrong[0])
        raise Clash(row, f"holds {chunk.values[row]}, which is no integer")
    return replace(chunk, kind="int64", values=values.astype(np.int64))


def _text_as_timestamp(chunk: Chunk) -> Chunk:
    assert chunk.words is not None
    values = np.zeros(len(chunk), dtype=np.int64)
    instants: dict[int, int] = {}
    for row in np.flatnonzero(~chunk.missing).tolist():
        number = int(chunk.values[row])
        if number not in instants:
            try:
                instants[number] = times.parsed(chunk.words[number])
            except (ValueError, OverflowError) as exc:
                raise Clash(row, f"holds a text that is no timestamp ({exc})") from exc
        values[row] = instants[number]
    return Chunk("timestamp", values, chunk.missing)


_CONVERSIONS: dict[tuple[str, str], Callable[[Chunk], Chunk]] = {
    ("int64", "float64"): _int_as_float,
    ("float64", "int64"): _float_as_int,
    ("text", "timestamp"): _text_as_timestamp,
}
NAMES = {
    "bool": "a bool",
    "int64": "an integer",
    "float64": "a float",
    "timestamp": "a timestamp",
    "text": "a text",
    "texts": "a list of texts",
}
