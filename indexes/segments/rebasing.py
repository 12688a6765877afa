"""Changes of one owner of an index, carried over onto the segments that another owner has saved since."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from cluscomp.errors import DuplicateIdError, IndexChangedError
from cluscomp.indexes.segments.compacting import live_column
from cluscomp.indexes.segments.id_lookup import find_all, live_matches, require_kind, without
from cluscomp.indexes.segments.ids import make_ids
from cluscomp.indexes.segments.stored import StoredSegment

Segment = TypeVar("Segment", bound=StoredSegment)


def rebased(
    base: Sequence[Segment], mine: Sequence[Segment], theirs: Sequence[Segment]
) -> tuple[Segment, ...]:
    """`theirs`, without the rows that were deleted between `base` and `mine`, and the segments added then.

    A row is deleted by its position where its segment is among `theirs`, else by its id, if a row has it.
    Segments are told apart by their arrays, which stay the same when rows are deleted. Raises
    IndexChangedError where segments of the base are not there any more (compact) or have other attributes
    now, DuplicateIdError for an id that both sides added, DTypeError where their ids are of two kinds.
    """
    kept = {id(segment.ids): segment for segment in mine}
    if not all(_holds(kept.get(id(segment.ids)), segment) for segment in base):
        raise IndexChangedError(
            "the index was compacted here, and changed by another writer in the meantime, so that the two "
            "cannot be joined; open it again and compact that"
        )
    if any(segment.attributes is not kept[id(segment.ids)].attributes for segment in base):
        raise IndexChangedError(
            "attributes of rows were changed here, and the folder by another writer in the meantime, so that "
            "the two cannot be joined; open it again and set them there"
        )
    for segment in base:
        gone = _deleted_since(segment, kept.pop(id(segment.ids)))
        if gone.size:
            theirs = _deleted(theirs, segment, gone)
    added = [segment for segment in mine if id(segment.ids) in kept]
    for segment in added:
        _require_new(theirs, segment)
    return (*theirs, *added)


def _holds(now: StoredSegment | None, before: StoredSegment) -> bool:
    """Whether a segment still has the arrays that it had."""
    if now is None:
        return False
    old = before.arrays()
    return all(
        array is old[name] or not array.size or np.may_share_memory(array, old[name])
        for name, array in now.arrays().items()
    )


def _deleted_since(before: StoredSegment, now: StoredSegment) -> np.ndarray:
    """Positions of rows that are deleted now and were not before."""
    if now.deleted is None:
        return np.empty(0, dtype=np.int64)
    positions = now.deleted.positions()
    return positions if before.deleted is None else positions[~before.deleted.holds(positions)]


def _deleted(theirs: Sequence[Segment], segment: StoredSegment, gone: np.ndarray) -> tuple[Segment, ...]:
    if any(other.name == segment.name for other in theirs):
        found = [gone if other.name == segment.name else gone[:0] for other in theirs]
    else:
        found = find_all(theirs, make_ids(segment.ids.take(gone), gone.size), "ignore")
    return without(theirs, found)


def _require_new(theirs: Sequence[StoredSegment], added: StoredSegment) -> None:
    """Raise DuplicateIdError for an id of a row that is left and that another row has, too."""
    if added.n_deleted == added.n_rows:
        return
    column = live_column([added])
    for segment in theirs:
        require_kind(segment.ids.kind, column)
        taken = np.flatnonzero(live_matches(segment, column) >= 0)
        if taken.size:
            name = column.take(taken[:1]).tolist()[0]
            raise DuplicateIdError(
                f"id {name!r} was added by another writer in the meantime ({taken.size} of {len(column)} ids "
                "were); nothing was saved. Open the index again, and add the rows under other ids, or "
                "`upsert` them"
            )
