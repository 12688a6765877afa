"""Finding repeated ids in a stream with 12 to 24 bytes an id, instead of the 100 of a set of strings."""

from __future__ import annotations

from array import array

_MASK64 = (1 << 64) - 1


class SeenIds:
    """Open-addressing table of 64-bit hashes of the ids met so far.

    `add` may be wrong in one direction only: it can call a new id "seen" (hash collision, odds about
    n^2 / 2^65), so callers confirm a hit against the data before they complain; a repeated id is never
    missed.
    """

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 << 10))
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def add(self, item: str) -> bool:
        """Remember `item`; True when it was (almost certainly) added before."""
        if 3 * (self._used + 1) > 2 * len(self._slots):
            self._grow()
        if not _insert(self._slots, hash(item) & _MASK64 or 1):  # 0 marks a free slot
            return True
        self._used += 1
        return False

    def _grow(self) -> None:
        larger = array("Q", bytes(16 * len(self._slots)))
        for value in self._slots:
            if value:
                _insert(larger, value)
        self._slots = larger


def _insert(slots: array[int], value: int) -> bool:
    mask = len(slots) - 1
    slot = value & mask
    while held := slots[slot]:
        if held == value:
            return False
        slot = (slot + 1) & mask
    slots[slot] = value
    return True
