"""Declares the arrays that each trained stage stores (name, dtype, shape) and validates loaded arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cluscomp.errors import CorruptIndexError

Parameters = dict[str, np.ndarray]

# Element types that an index folder may hold, all little-endian.
DTYPES = ("<f4", "<f2", "|u1", "<u2", "<u8", "<i4", "<i8", "<f8")


@dataclass(frozen=True)
class ArraySpec:
    """dtype (one of DTYPES) and shape that an array of an index must have."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def require_finite_parameters(name: str, array: np.ndarray) -> None:
    """Raise CorruptIndexError if a small trained array holds NaN or infinity: every score would be wrong."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise CorruptIndexError(
            f"{name} holds NaN or infinity: the index is damaged; rebuild it or restore a copy"
        )
