"""Sets of positions as packed bits, as kernels take them: position p is bit p % 8 of byte p // 8.

Bits behind the last position are 0.
"""

from __future__ import annotations

import numpy as np

INT32_ROWS = 2**31 - 1
_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)
_UNPACKED_BYTES = 1 << 17  # at a time: a million positions


def position_dtype(n: int) -> str:
    """int32 while it suffices: positions are 4 of the bytes that each row costs."""
    return "<i4" if n <= INT32_ROWS else "<i8"


def bit_bytes(n: int) -> int:
    """Bytes that the bits of n positions take."""
    return -(-n // 8)


def pack_mask(mask: np.ndarray) -> np.ndarray:
    """Bits (bit_bytes(n),) uint8 of the positions where a bool mask (n,) holds."""
    return np.packbits(mask, bitorder="little")


def unpack_bits(bits: np.ndarray, n: int) -> np.ndarray:
    """Bool mask (n,) of bits."""
    return np.unpackbits(bits, count=n, bitorder="little").view(bool)


def count_bits(bits: np.ndarray) -> int:
    """How many positions a set holds."""
    return int(_ONES[bits].sum(dtype=np.int64))


def inverted(bits: np.ndarray, n: int) -> np.ndarray:
    """Bits of the positions below n that a set does not hold."""
    others = ~bits
    if n % 8:
        others[-1] &= (1 << n % 8) - 1
    return others


def has_positions(bits: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Whether (same shape) bool a set holds each of some positions, all of which have a bit."""
    return (bits[positions >> 3] >> (positions & 7).astype(np.uint8) & 1).astype(bool)


def with_positions(bits: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """A copy of a set that holds ascending, different positions, too."""
    bits = bits.copy()
    if positions.size:
        places, first = np.unique(positions >> 3, return_index=True)
        bits[places] |= np.bitwise_or.reduceat(np.left_shift(1, positions & 7).astype(np.uint8), first)
    return bits


def positions_in(bits: np.ndarray) -> np.ndarray:
    """The positions (m,) int64 of a set, ascending."""
    found = [np.empty(0, dtype=np.int64)]
    for first in range(0, len(bits), _UNPACKED_BYTES):
        block = bits[first : first + _UNPACKED_BYTES]
        if block.any():
            found.append(np.flatnonzero(np.unpackbits(block, bitorder="little")) + 8 * first)
    return np.concatenate(found)


def unpacked_part(bits: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Mask (stop - start,) bool of some positions. start: a multiple of 8."""
    part = np.unpackbits(bits[start // 8 : bit_bytes(stop)], count=stop - start, bitorder="little")
    return part.view(bool)
