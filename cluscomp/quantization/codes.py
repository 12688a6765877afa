"""Bit-packed product codes: layout and statistics.

Code j of a row takes bits [j * nbits, (j + 1) * nbits) of the row, counted from the lowest bit of its first
byte, as in faiss (4 bits: the first code is the low half of the byte).
"""

from __future__ import annotations

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.errors import UsageError
from cluscomp.quantization.scalar import check_codes

CODE_BITS = (4, 6, 8)
_BLOCK_ROWS = 16_384


def code_size(m: int, nbits: int) -> int:
    """Bytes a row of m codes of nbits each."""
    return (m * nbits + 7) // 8


def unpack_codes(codes: np.ndarray, m: int, nbits: int) -> np.ndarray:
    """Centroid numbers (n, m) uint8 of packed codes (n, code_size(m, nbits)) uint8."""
    codes = check_codes(codes, code_size(m, nbits))
    if nbits not in CODE_BITS:
        raise UsageError(f"nbits must be one of {CODE_BITS}, but is {nbits}")
    if nbits == 8:
        return codes
    numbers = np.empty((codes.shape[0], m), dtype=np.uint8)
    for block in iter_blocks(codes.shape[0], _BLOCK_ROWS):
        bits = np.unpackbits(codes[block], axis=1, count=m * nbits, bitorder="little")
        numbers[block] = bits.reshape(-1, m, nbits) @ (1 << np.arange(nbits, dtype=np.uint8))
    return numbers


def code_usage_entropy(codes: np.ndarray, m: int, nbits: int) -> np.ndarray:
    """Entropy in bits (m,) float64 of how often each sub-space uses its centroids; nbits when all alike.

    codes: packed (n, code_size(m, nbits)) uint8. For n = 0 the entropy is 0.
    """
    numbers = unpack_codes(codes, m, nbits)
    shares = [np.bincount(numbers[:, j], minlength=1 << nbits) / max(len(numbers), 1) for j in range(m)]
    return np.array([-float(np.sum(p[p > 0] * np.log2(p[p > 0]))) + 0.0 for p in shares])
