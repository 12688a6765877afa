"""What values of a stored segment can be wrong, where searches do not look: for `verify_index`."""

from __future__ import annotations

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.indexes.stages.pipeline import BLOCK_ROWS


def floats_fault(array: np.ndarray) -> str | None:
    """What is wrong with an array (n, ...) of floats: the first row with NaN or infinity."""
    for block in iter_blocks(len(array), BLOCK_ROWS):
        rows = array[block].reshape(block.stop - block.start, -1)
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if bad.size:
            return f"row {block.start + int(bad[0])} of {len(array)} holds NaN or infinity"
    return None


def lists_fault(lists: np.ndarray, nlist: int) -> str | None:
    """What is wrong with the list (N,) of each vector."""
    outside = np.flatnonzero((lists < 0) | (lists >= nlist))
    if not outside.size:
        return None
    return (
        f"vector {outside[0]} is in list {lists[outside[0]]}, but the index has {nlist} lists "
        f"({outside.size} of {len(lists)} vectors are in such lists)"
    )


def positions_fault(positions: np.ndarray, offsets: np.ndarray) -> str | None:
    """What is wrong with the position (n,) of each stored row: lists hold every row once, in rising order.

    offsets: (nlist + 1,) of the lists, rising from 0 to n.
    """
    n = len(positions)
    outside = np.flatnonzero((positions < 0) | (positions >= n))
    if outside.size:
        return (
            f"place {outside[0]} holds position {positions[outside[0]]}, outside 0 to {n - 1} "
            f"({outside.size} of {n} places do)"
        )
    counts = np.bincount(positions, minlength=n)
    if (counts == 0).any():
        return (
            f"row {counts.argmax()} is in the lists {counts.max()} times and row {counts.argmin()} is not "
            f"({int((counts == 0).sum())} of {n} rows are in no list)"
        )
    return _order_fault(positions, offsets)


def _order_fault(positions: np.ndarray, offsets: np.ndarray) -> str | None:
    starts = offsets[1:-1]
    falls = np.diff(positions) < 0
    falls[starts[(starts > 0) & (starts < len(positions))] - 1] = False  # from one list to the next
    if not falls.any():
        return None
    place = int(np.flatnonzero(falls)[0])
    number = int(np.searchsorted(offsets, place, side="right")) - 1
    return f"positions of list {number} do not rise at place {place + 1}"
