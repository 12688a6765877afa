"""Writing a safetensors file tensor by tensor, so that no more than one module is in memory.

Layout: length of the header (8 bytes, little endian), header (JSON: dtype, shape, offsets), data, no gaps.
Room for the header is kept beforehand for the longest that it can become, and filled with blanks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

from cluscomp.lora.adapter import DTYPES

_FAITHFUL = (
    2.0**-9
)  # share of a matrix's norm that rounding to 16 bits may take; below it, float32 is written


class TensorWriter:
    """Writes matrices one after another.

    dtype: "F32", "F16" or "BF16". longest: names and greatest shapes of all that will come.
    wide: names of the tensors that are float32 in a file of float16, because rounding would lose them.
    """

    def __init__(self, file: BinaryIO, dtype: str, longest: Iterable[tuple[str, tuple[int, int]]]) -> None:
        self._file, self.dtype = file, dtype
        self._entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
        self._end = 0
        self.wide: list[str] = []
        guess = TensorWriter.__new__(TensorWriter)
        guess._entries, guess._end = dict(self._entries), 0
        for name, shape in longest:
            guess._enter(name, shape, "F32")
        self._room = -(-(len(guess._header()) + len(guess._entries)) // 8) * 8  # "BF16" has a letter more
        file.write(self._room.to_bytes(8, "little") + b" " * self._room)

    def write(self, name: str, matrix: np.ndarray) -> None:
        """Append a float32 matrix, rounded to the file's dtype where that keeps it."""
        rounded, dtype = round_to(matrix, self.dtype), self.dtype
        if dtype == "F16" and not _is_faithful(matrix, rounded):
            rounded, dtype = matrix, "F32"
            self.wide.append(name)
        self._enter(name, matrix.shape, dtype)
        self._file.write(memoryview(np.ascontiguousarray(rounded)).cast("B"))

    def finish(self) -> None:
        """Write the header into its place."""
        self._file.seek(8)
        self._file.write(self._header().ljust(self._room))

    def _enter(self, name: str, shape: tuple[int, ...], dtype: str) -> None:
        start, self._end = self._end, self._end + shape[0] * shape[1] * DTYPES[dtype].itemsize
        self._entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, self._end]}

    def _header(self) -> bytes:
        return json.dumps(self._entries, separators=(",", ":")).encode()


def round_to(matrix: np.ndarray, dtype: str) -> np.ndarray:
    """A float32 matrix as F32, F16 or BF16 (its bits), rounded to the nearest, ties to even."""
    if dtype == "BF16":
        bits = np.ascontiguousarray(matrix).view(np.uint32)
        return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1))) >> 16).astype("<u2")
    with np.errstate(over="ignore"):  # the caller looks
        return matrix.astype(DTYPES[dtype])


def _is_faithful(matrix: np.ndarray, rounded: np.ndarray) -> bool:
    lost = matrix.astype(np.float64) - rounded
    return bool(np.linalg.norm(lost) <= _FAITHFUL * np.linalg.norm(matrix.astype(np.float64)))
