"""What a search tells of itself: how many rows could be found, and how much was read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SearchInfo:
    """Facts of a search, one value a query.

    Args:
        allowed: (nq,) rows that pass the filter and are not deleted.
        selectivity: (nq,) their share of all rows that are not deleted.
        path: (nq,) texts: "empty", no row passes; "direct", all that pass were scored; "lists", those in the
            best lists were.
        probed: (nq,) lists that were visited.
        rows_scored: (nq,) rows that pass in these lists.
        complete: (nq,) whether all rows that pass were scored; then hits are those of a search through all
            codes. It never means that k hits were found.
        rows_read: (nq,) rows whose finer codes were read, where error bars ended the rerank; else None.
        unknown_ids: ids of the filter that the index does not have.
        missing_shards: numbers of shards that did not answer; no query is complete then.
    """

    allowed: np.ndarray
    selectivity: np.ndarray
    path: np.ndarray
    probed: np.ndarray
    rows_scored: np.ndarray
    complete: np.ndarray
    unknown_ids: int = 0
    rows_read: np.ndarray | None = None
    missing_shards: tuple[int, ...] = ()

    @property
    def share_read(self) -> np.ndarray | None:
        """(nq,) rows_read as a share of the rows that pass, else None."""
        return None if self.rows_read is None else self.rows_read / np.maximum(self.allowed, 1)
