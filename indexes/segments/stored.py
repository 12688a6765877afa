"""What every kind of segment is: rows that were added together, each with an id, some marked as deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from cluscomp.indexes.segments.ids import IdColumn

Self = TypeVar("Self", bound="StoredSegment")


class StoredSegment:
    """Base of the frozen dataclasses `Segment` and `DocumentSegment`.

    ids: of the rows. deleted: (n_rows,) uint8 by position, 1 = deleted, or None. files: name -> SourceFile of
    arrays that are memory-mapped.
    """

    ids: IdColumn
    deleted: np.ndarray | None
    files: Mapping[str, Any]

    @property
    def n_rows(self) -> int:
        """Rows stored, deleted ones included."""
        return len(self.ids)

    @property
    def n_deleted(self) -> int:
        return 0 if self.deleted is None else int(self.deleted.sum(dtype=np.int64))

    def with_deleted(self: Self, positions: np.ndarray) -> Self:
        """The segment with more rows marked as deleted; a search on the old one is not disturbed."""
        mask = np.zeros(self.n_rows, dtype=np.uint8) if self.deleted is None else self.deleted.copy()
        mask[positions] = 1
        return replace(self, deleted=mask)  # type: ignore[type-var]

    def arrays(self) -> dict[str, np.ndarray]:
        """What is stored of it, ids and deletions aside: name of the file part -> array."""
        raise NotImplementedError
