"""The file of the deleted rows of a segment: what it must be, and what it says."""

from __future__ import annotations

import numpy as np

from cluscomp.bits import bit_bytes, position_dtype
from cluscomp.errors import CorruptIndexError
from cluscomp.indexes.segments.tombstones import ROWS_PER_POSITION, Tombstones, stored_fault
from cluscomp.indexes.stages.parameters import ArraySpec


def deletions_spec(rows: int, deleted: int) -> ArraySpec:
    """Dtype and shape of `Tombstones.stored` for so many rows, of which so many are deleted."""
    if ROWS_PER_POSITION * deleted < rows:
        return ArraySpec(position_dtype(rows), (deleted,))
    return ArraySpec("|u1", (bit_bytes(rows),))


def read_deletions(stored: np.ndarray, rows: int, deleted: int, file: str) -> Tombstones:
    """The deleted rows that a file holds. file: its name, for messages.

    Raises CorruptIndexError unless it marks `deleted` of `rows` rows.
    """
    fault = stored_fault(rows, stored)
    found = None if fault else Tombstones.from_stored(rows, stored)
    if found is None or found.count != deleted:
        told = fault or f"it marks {0 if found is None else found.count} deleted rows, not {deleted}"
        raise CorruptIndexError(f"{file}: {told}; the index is damaged")
    return found
