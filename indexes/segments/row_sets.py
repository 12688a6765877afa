"""Some rows of a segment: as bits by position, or as their positions, whichever is there; the other is made
when it is asked for. So a few rows are found and searched without work for each row of the segment.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from cluscomp.bits import bit_bytes, count_bits, has_positions, positions_in, with_positions

FEW = 32
"""Positions are kept, and read one by one, of fewer rows than one in so many."""


class RowSet:
    """Rows of a segment of n_rows rows. Never changed.

    bits: (ceil(n / 8),) uint8, as in bits.py; or positions: (m,) int64, ascending.
    """

    def __init__(
        self, n_rows: int, *, bits: np.ndarray | None = None, positions: np.ndarray | None = None
    ) -> None:
        self.n_rows, self._bits, self._positions = n_rows, bits, positions

    @cached_property
    def count(self) -> int:
        """How many rows there are."""
        return count_bits(self.bits) if self._positions is None else len(self._positions)

    @cached_property
    def bits(self) -> np.ndarray:
        """(ceil(n / 8),) uint8 by position."""
        if self._bits is not None:
            return self._bits
        assert self._positions is not None
        return with_positions(np.zeros(bit_bytes(self.n_rows), dtype=np.uint8), self._positions)

    @cached_property
    def positions(self) -> np.ndarray:
        """(m,) int64, ascending."""
        return positions_in(self.bits) if self._positions is None else self._positions

    @property
    def is_few(self) -> bool:
        """Whether positions are at hand."""
        return self._positions is not None

    def without(self, bits: np.ndarray) -> RowSet:
        """Those of the rows that are not among others. bits: of these."""
        if self._positions is None:
            return RowSet(self.n_rows, bits=self.bits & ~bits)
        return RowSet(self.n_rows, positions=self._positions[~has_positions(bits, self._positions)])

    def within(self, bits: np.ndarray) -> RowSet:
        """Those of the rows that are among others. bits: of these."""
        if self._positions is None:
            return RowSet(self.n_rows, bits=self.bits & bits)
        return RowSet(self.n_rows, positions=self._positions[has_positions(bits, self._positions)])

    @classmethod
    def of(cls, n_rows: int, positions: np.ndarray) -> RowSet:
        """The rows at ascending positions, kept in the form that suits their number."""
        found = cls(n_rows, positions=positions)
        return found if FEW * len(positions) < n_rows else cls(n_rows, bits=found.bits)
