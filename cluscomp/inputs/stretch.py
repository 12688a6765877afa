"""Neighbouring rows of a source of vectors, as a source of their own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cluscomp.inputs.sources import Ids, VectorSource, check_block_rows, check_range


class Stretch:
    """VectorSource of the rows of a slice of another one. Rows without ids get their numbers there."""

    def __init__(self, source: VectorSource, rows: slice) -> None:
        check_range(rows.start, rows.stop, source.n)
        self._source, self._first = source, rows.start
        self.n, self.dim, self.dtype = rows.stop - rows.start, source.dim, source.dtype
        self.ids: Ids | None = np.arange(rows.start, rows.stop) if source.ids is None else source.ids[rows]

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """See VectorSource."""
        for start in range(0, self.n, check_block_rows(rows)):
            yield self.read(start, min(start + rows, self.n))

    def read(self, start: int, stop: int) -> np.ndarray:
        """See VectorSource."""
        check_range(start, stop, self.n)
        return self._source.read(self._first + start, self._first + stop)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """See VectorSource."""
        return self._source.take(np.asarray(rows, dtype=np.int64) + self._first)
