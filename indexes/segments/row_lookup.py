"""Where the codes of a row stand: the inverse of the positions of a segment, made when first used."""

from __future__ import annotations

import numpy as np

from cluscomp.errors import CorruptIndexError
from cluscomp.portable import Portable


class RowLookup(Portable):
    """The stored row of each position of one segment: 4 bytes a row. Segments that differ only in what is
    deleted share it.
    """

    caches = ("_rows",)

    def __init__(self) -> None:
        self._rows: np.ndarray | None = None

    def rows_of(self, positions: np.ndarray) -> np.ndarray:
        """Stored row (n,) of every position. positions: (n,) position of each stored row.

        Raises CorruptIndexError unless each position stands there once: those in a file are not trusted.
        """
        if self._rows is None:
            self._rows = _inverse(positions)
        return self._rows


def _inverse(positions: np.ndarray) -> np.ndarray:
    n = len(positions)
    low, high = int(positions.min(initial=0)), int(positions.max(initial=-1))
    rows = np.full(n, -1, dtype=positions.dtype)
    if low >= 0 and high < n:
        rows[positions] = np.arange(n, dtype=positions.dtype)
    if n and int(rows.min()) < 0:
        raise CorruptIndexError(
            f"the lists hold positions {low} to {high}, but not each of 0 to {n - 1} once: the index is "
            "damaged; restore a copy or rebuild it"
        )
    return rows
