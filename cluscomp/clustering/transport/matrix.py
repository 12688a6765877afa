"""A cost matrix as it was given: any real numbers, read in blocks of float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cluscomp.arrays import as_numbers, iter_blocks
from cluscomp.errors import DTypeError, EmptyInputError, NonFiniteError

_COSTS_PER_BLOCK = 1 << 22  # entries looked at by one NumPy call
_PIVOT_STEP = 1 << 32


class CostMatrix:
    """A checked cost matrix (n, k).

    low, high: its smallest and largest value minus `pivot`. pivot: what `block` takes off beforehand, so that
    64-bit integers keep their differences; `move_to` sets it, and it is zero for all other types.
    Raises DTypeError, DimensionError, EmptyInputError, NonFiniteError.
    """

    def __init__(self, cost: Any) -> None:
        self.array = as_numbers(cost, name="cost", ndim=2)
        if not self.array.size:
            raise EmptyInputError(
                f"cost has shape {self.array.shape}, at least one row and one column are needed"
            )
        if self.array.dtype == np.longdouble:
            raise DTypeError("cost has dtype longdouble; pass float64")
        self.n, self.k = self.array.shape
        self.pivot = 0
        self.low, self.high = self._extremes()

    @property
    def is_narrow(self) -> bool:
        """Whether the values are float32 or fewer digits."""
        return self.array.dtype in (np.float32, np.float16)

    @property
    def lowest_pivot(self) -> int:
        """A pivot that suits the values: below all of them, and exact in float64."""
        is_long = self.array.dtype.kind in "iu" and self.array.dtype.itemsize == 8
        return int(self.low) // _PIVOT_STEP * _PIVOT_STEP if is_long else 0

    def move_to(self, pivot: int) -> None:
        """Take `pivot`, a multiple of 2**32 that is at most `lowest_pivot`, off all values."""
        self.low, self.high, self.pivot = self.low - pivot, self.high - pivot, pivot

    def blocks(self) -> Iterator[slice]:
        """Blocks of rows."""
        return iter_blocks(self.n, max(1, _COSTS_PER_BLOCK // self.k))

    def block(self, rows: slice) -> np.ndarray:
        """Costs of some rows minus the pivot, as a new float64 array."""
        part = self.array[rows]
        if part.dtype.kind in "iu" and part.dtype.itemsize == 8:
            part = part.astype(np.uint64) - np.uint64(self.pivot % 2**64)  # modulo 2^64, so exact
        elif self.pivot:
            return part.astype(np.float64) - self.pivot
        return part.astype(np.float64)

    def narrow(self) -> np.ndarray:
        """All values as contiguous float32, without a copy where they are."""
        return np.ascontiguousarray(self.array, dtype=np.float32)

    def _extremes(self) -> tuple[Any, Any]:
        lows, highs = [], []
        for rows in self.blocks():
            part = self.array[rows]
            if part.dtype.kind == "f" and not np.isfinite(part).all():
                row = rows.start + int(np.flatnonzero(~np.isfinite(part).all(axis=1))[0])
                raise NonFiniteError(
                    f"cost: row {row} holds NaN or infinity; use a large finite cost instead"
                )
            lows.append(part.min().item())
            highs.append(part.max().item())
        return min(lows), max(highs)
