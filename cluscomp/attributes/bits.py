"""Sets of rows as packed bits: row i is bit i % 8 of byte i // 8, as in Arrow and in faiss.

Bits behind the last row are 0.
"""

from __future__ import annotations

import numpy as np

_ONES = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)


def n_bytes(n_rows: int) -> int:
    """Bytes that the bits of n_rows take."""
    return (n_rows + 7) // 8


def packed(mask: np.ndarray) -> np.ndarray:
    """Bits (ceil(n / 8),) uint8 of a mask (n,) of bool."""
    return np.packbits(mask, bitorder="little")


def unpacked(bits: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Mask (stop - start,) bool of some rows. start: a multiple of 8."""
    part = np.unpackbits(bits[start // 8 : n_bytes(stop)], count=stop - start, bitorder="little")
    return part.view(bool)


def rows_of(bits: np.ndarray, n_rows: int) -> np.ndarray:
    """Numbers of the rows that are in the set, ascending, int64."""
    return np.flatnonzero(np.unpackbits(bits, count=n_rows, bitorder="little"))


def of_rows(rows: np.ndarray, n_rows: int) -> np.ndarray:
    """Bits of the set of some rows, which lie from 0 to n_rows - 1."""
    mask = np.zeros(n_rows, dtype=bool)
    mask[rows] = True
    return packed(mask)


def count(bits: np.ndarray) -> int:
    """Rows in the set."""
    return int(_ONES[bits].sum(dtype=np.int64))


def everything(n_rows: int) -> np.ndarray:
    """Bits of all rows."""
    return packed(np.ones(n_rows, dtype=bool))
