"""Base class of all kinds of indexes: changes of the rows.

What an index holds is in contents.py, its folder in saved.py and following.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.array_forms import id_values
from cluscomp.bits import positions_in
from cluscomp.errors import UsageError
from cluscomp.indexes.attributed import NOTHING_NEW, Attributed, Described
from cluscomp.indexes.compaction import Compactable
from cluscomp.indexes.contents import Segment
from cluscomp.indexes.filters.filterable import UNSAID
from cluscomp.indexes.health.checkup import HasHealth
from cluscomp.indexes.records import Recorded
from cluscomp.indexes.segments.given import document_ids
from cluscomp.indexes.segments.id_lookup import (
    find_all,
    largest_id,
    new_ids,
    require_kind,
    without,
)
from cluscomp.indexes.segments.ids import IdColumn, make_ids
from cluscomp.vocabulary import MISSING, Missing


class StoredIndex(Attributed, Compactable, HasHealth, Recorded[Segment]):
    """Segments of stored rows, their ids and settings; `Index` and `MultiVectorIndex` search them.

    A row is what has an id: a vector, or all vectors of a document.
    """

    def delete(
        self, ids: Any = None, *, filter: Any = None, tenant: Any = UNSAID, missing: Missing = "fail"
    ) -> int:
        """Take rows out of all later searches; no other id changes. Their ids may be added again.

        Args:
            ids: ids, or one id.
            filter: instead of ids, which rows go: a condition on attributes or a Mask, as for `search`.
            tenant: whose rows, where the index has a tenant column: ids of others are not in the index then;
                None: those of all.
            missing: "fail" where an id is not in the index, or "ignore" it.

        Returns:
            How many rows were deleted.

        Raises:
            InputError: an id is not in the index; nothing is deleted then.
            UsageError: ids and a filter, or neither, or a filter that cannot be used, or no tenant was said.
            UnknownKeyError: missing is unknown.
            DuplicateIdError: an id is given twice.
            DTypeError: ids are not of the kind that the index has.
        """
        checks.one_of("missing", missing, MISSING)
        if (ids is None) == (filter is None):
            raise UsageError("delete takes ids or a filter: pass one of them")
        with self._lock:
            found = self._rows_of(ids, missing, tenant) if filter is None else self._rows_by(filter, tenant)
            self._segments = without(self._segments, found)
        return sum(rows.size for rows in found)

    def _rows_of(self, ids: Any, missing: Missing, tenant: Any) -> list[np.ndarray]:
        """Per segment, the positions of rows by id."""
        values = [ids] if isinstance(ids, (str, int, np.integer)) else id_values(ids)
        segments = self.segments_of(tenant)
        if len(values) == 0:
            return [np.empty(0, dtype=np.int64) for _ in segments]
        wanted = make_ids(values, len(values))
        require_kind(self._id_kind, wanted)
        return find_all(segments, wanted, missing)

    def _rows_by(self, filter: Any, tenant: Any) -> list[np.ndarray]:
        """Per segment, the positions of the rows that pass a filter."""
        allowed = self._allowed_by(self._together, filter, tenant)
        return [positions_in(segment.live_bits()) for segment in allowed.together.segments]

    def _new_ids(self, ids: Any, n: int, documents: Any) -> IdColumn:
        """Ids of n new rows: as given, or those of their documents, or numbered."""
        return new_ids(self._segments, self._id_kind, self._next_id, document_ids(documents, ids), n)

    def _append(self, segment: Segment, described: Described = NOTHING_NEW) -> None:
        self._put(segment, self._segments, described)

    def _put(self, segment: Segment, others: tuple[Segment, ...], described: Described) -> None:
        """Let the rows be those of `others` and `segment`, which a search sees all at once."""
        self._id_kind = segment.ids.kind
        self._next_id = max(self._next_id, largest_id(segment.ids) + 1)
        if described.schema is not None:
            self._schema = described.schema
            segment = segment.changed(attributes=described.table)
        if described.texts is not None:
            segment = segment.changed(texts=described.texts)
        self._segments = (*others, segment)

    def _replace(
        self,
        ids: Any,
        n: int,
        encoded: Callable[[IdColumn], Segment],
        attributes: Any = None,
        new_attributes: bool = False,
        documents: Any = None,
    ) -> int:
        """Put n rows in the place of those that have their ids; how many were replaced. encoded: makes the
        segment of the ids.
        """
        column = make_ids(ids, n)
        with self._lock:
            require_kind(self._id_kind, column)
            described = self._described(attributes, column, new_attributes, documents)
            segment = encoded(column)
            found = find_all(self._segments, column, "ignore")
            self._put(segment, without(self._segments, found), described)
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
