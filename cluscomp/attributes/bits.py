"""Sets of rows as packed bits: row i is bit i % 8 of byte i // 8, as in Arrow and in faiss.

Bits behind the last row are 0.
"""

from __future__ import annotations

import numpy as np


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
