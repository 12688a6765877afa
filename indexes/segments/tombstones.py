"""Which rows of a segment are deleted: a bit for each position, as scans read them, and their number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cluscomp.bits import (
    bit_bytes,
    count_bits,
    has_positions,
    inverted,
    position_dtype,
    positions_in,
    unpack_bits,
    with_positions,
)

ROWS_PER_POSITION = 32
"""Deletions are stored as numbers while they are fewer than one row in so many."""


@dataclass(frozen=True)
class Tombstones:
    """Deleted rows of a segment. Never changed: `with_deleted` makes another one.

    bits: (ceil(n / 8),) uint8 by position, as in bits.py. n: rows of the segment. count: how many are
    deleted.
    """

    bits: np.ndarray
    n: int
    count: int

    @classmethod
    def none(cls, n: int) -> Tombstones:
        """Of n rows, of which none is deleted."""
        return cls(np.zeros(bit_bytes(n), dtype=np.uint8), n, 0)

    def with_deleted(self, positions: np.ndarray) -> Tombstones:
        """These and more deleted rows: one copy of the bits, and work for each position.

        positions: (d,) integers below n; those deleted before may be among them.
        """
        added = np.unique(np.asarray(positions, dtype=np.int64))
        added = added[~self.holds(added)]
        return Tombstones(with_positions(self.bits, added), self.n, self.count + len(added))

    def holds(self, positions: np.ndarray) -> np.ndarray:
        """Whether (same shape) bool the rows at positions below n are deleted."""
        return has_positions(self.bits, positions)

    def positions(self) -> np.ndarray:
        """Positions (count,) int64 of the deleted rows, ascending."""
        return positions_in(self.bits)

    def live_positions(self) -> np.ndarray:
        """Positions (n - count,) int64 of the other rows, ascending."""
        return positions_in(inverted(self.bits, self.n))

    def live_mask(self) -> np.ndarray:
        """(n,) bool by position: rows that are not deleted."""
        return ~unpack_bits(self.bits, self.n)

    # ---- on disk ----

    def stored(self) -> np.ndarray:
        """The form in which they are stored: ascending positions while these are few, else the bits."""
        few = ROWS_PER_POSITION * self.count < self.n
        return self.positions().astype(position_dtype(self.n)) if few else self.bits

    @classmethod
    def from_stored(cls, n: int, stored: np.ndarray) -> Tombstones:
        """Of what `stored` returned, positions or uint8 bits, which has no `stored_fault`."""
        if stored.dtype == np.uint8:
            bits = np.array(stored)
            return cls(bits, n, count_bits(bits))
        return cls.none(n).with_deleted(stored)


def stored_fault(n: int, stored: np.ndarray) -> str | None:
    """What is wrong with deletions of n rows as a file holds them, integers or uint8; None if nothing."""
    if stored.dtype == np.uint8:
        if len(stored) != bit_bytes(n):
            return f"{len(stored)} bytes of bits, but {n} rows have {bit_bytes(n)}"
        return "a bit is set behind the last row" if n % 8 and int(stored[-1]) >> n % 8 else None
    if len(stored) and (
        int(stored.min()) < 0 or int(stored.max()) >= n or bool((np.diff(stored) <= 0).any())
    ):
        return f"deleted rows must rise within 0 to {n - 1}"
    return None
