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


class TensorWriter:
    """Writes matrices one after another. longest: names and greatest shapes of all that will come."""

    def __init__(self, file: BinaryIO, dtype: str, longest: Iterable[tuple[str, tuple[int, int]]]) -> None:
        self._file, self._dtype = file, dtype
        self._entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
        self._end = 0
        guess = TensorWriter.__new__(TensorWriter)
        guess._entries, guess._dtype, guess._end = dict(self._entries), dtype, 0
        for name, shape in longest:
            guess._enter(name, shape)
        self._room = -(-len(guess._header()) // 8) * 8
        file.write(self._room.to_bytes(8, "little") + b" " * self._room)

    def write(self, name: str, matrix: np.ndarray) -> None:
        """Append a float32 matrix, rounded to the file's dtype."""
        self._enter(name, matrix.shape)
        self._file.write(memoryview(np.ascontiguousarray(round_to(matrix, self._dtype))).cast("B"))

    def finish(self) -> None:
        """Write the header into its place."""
        self._file.seek(8)
        self._file.write(self._header().ljust(self._room))

    def _enter(self, name: str, shape: tuple[int, ...]) -> None:
        start, self._end = self._end, self._end + shape[0] * shape[1] * DTYPES[self._dtype].itemsize
        self._entries[name] = {"dtype": self._dtype, "shape": list(shape), "data_offsets": [start, self._end]}

    def _header(self) -> bytes:
        return json.dumps(self._entries, separators=(",", ":")).encode()


def round_to(matrix: np.ndarray, dtype: str) -> np.ndarray:
    """A float32 matrix as F32, F16 or BF16 (its bits), rounded to the nearest, ties to even."""
    if dtype == "BF16":
        bits = np.ascontiguousarray(matrix).view(np.uint32)
        return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1))) >> 16).astype("<u2")
    return matrix.astype(DTYPES[dtype])
