"""Base class of all kinds of indexes: changes of the rows.

What an index holds is in contents.py, its folder in saved.py and following.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.array_forms import id_values
from cluscomp.indexes.compaction import Compactable
from cluscomp.indexes.contents import Segment
from cluscomp.indexes.saved import SavedIndex
from cluscomp.indexes.segments.id_lookup import (
    find_all,
    largest_id,
    require_kind,
    without,
)
from cluscomp.indexes.segments.ids import IdColumn, make_ids
from cluscomp.vocabulary import MISSING, Missing


class StoredIndex(Compactable, SavedIndex[Segment]):
    """Segments of stored rows, their ids and settings; `Index` and `MultiVectorIndex` search them.

    A row is what has an id: a vector, or all vectors of a document.
    """

    def delete(self, ids: Any, *, missing: Missing = "fail") -> int:
        """Take rows out of all later searches; no other id changes. Their ids may be added again.

        Args:
            ids: ids, or one id.
            missing: "fail" where an id is not in the index, or "ignore" it.

        Returns:
            How many rows were deleted.

        Raises:
            InputError: an id is not in the index; nothing is deleted then.
            UnknownKeyError: missing is unknown.
            DuplicateIdError: an id is given twice.
            DTypeError: ids are not of the kind that the index has.
        """
        checks.one_of("missing", missing, MISSING)
        values = [ids] if isinstance(ids, (str, int, np.integer)) else id_values(ids)
        if len(values) == 0:
            return 0
        wanted = make_ids(values, len(values))
        with self._lock:
            require_kind(self._id_kind, wanted)
            found = find_all(self._segments, wanted, missing)
            self._segments = without(self._segments, found)
        return sum(rows.size for rows in found)

    def _append(self, segment: Segment) -> None:
        self._put(segment, self._segments)

    def _put(self, segment: Segment, others: tuple[Segment, ...]) -> None:
        """Let the rows be those of `others` and `segment`, which a search sees all at once."""
        self._id_kind = segment.ids.kind
        self._next_id = max(self._next_id, largest_id(segment.ids) + 1)
        self._segments = (*others, segment)

    def _replace(self, ids: Any, n: int, encoded: Callable[[IdColumn], Segment]) -> int:
        """Put n rows in the place of those that have their ids; how many were replaced. encoded: makes the
        segment of the ids.
        """
        column = make_ids(ids, n)
        with self._lock:
            require_kind(self._id_kind, column)
            segment = encoded(column)
            found = find_all(self._segments, column, "ignore")
            self._put(segment, without(self._segments, found))
        return sum(rows.size for rows in found)

    # ---- facts ----

    def describe(self, *, nprobe: int | None = None) -> dict[str, Any]:
        """Tell key, settings, counts, bytes by part and balance of the lists.

        Args:
            nprobe: for the rows that a query reads, in `lists`; None: `index.nprobe`.

        Returns:
            JSON values, as `cluscomp inspect --json` prints them.

        Raises:
            UsageError: nprobe is outside 1 to nlist.
        """
        from cluscomp.indexes.describe import describe

        return describe(self, nprobe=None if nprobe is None else self._checked_nprobe(nprobe))

    def nbytes(self) -> dict[str, int]:
        """Count the bytes of the saved folder by part, without files of older generations.

        Returns:
            Part -> bytes: codes, ids and so on; "total" is their sum.
        """
        from cluscomp.indexes.describe import bytes_by_part

        return bytes_by_part(self)
