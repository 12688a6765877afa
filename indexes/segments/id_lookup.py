"""Ids over all segments of an index: which are there, which may be added, which number comes next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from cluscomp.errors import DTypeError, DuplicateIdError, InputError
from cluscomp.indexes.segments.ids import MAX_ID, TEXT, IdColumn, IntIds, RangeIds, make_ids
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.vocabulary import Missing

Segment = TypeVar("Segment", bound=StoredSegment)


def live_rows(segment: StoredSegment) -> np.ndarray:
    """Positions of the rows of a segment that are not deleted, ascending."""
    if segment.deleted is None:
        return np.arange(segment.n_rows, dtype=np.int64)
    return segment.deleted.live_positions()


def live_ids(segments: Sequence[StoredSegment]) -> np.ndarray:
    """All ids that can be found, in order of adding: int64, or object array of str."""
    if not segments:
        return np.empty(0, dtype=np.int64)
    return np.concatenate([segment.ids.take(live_rows(segment)) for segment in segments])


def live_matches(segment: StoredSegment, wanted: IdColumn) -> np.ndarray:
    """Position in the segment (len(wanted),) of each wanted id, -1 where it is not there or deleted."""
    rows = segment.ids.find(wanted)
    if segment.deleted is not None:
        rows = np.where((rows >= 0) & ~segment.deleted.holds(np.maximum(rows, 0)), rows, -1)
    return rows


def new_ids(segments: Sequence[StoredSegment], kind: str | None, next_id: int, ids: Any, n: int) -> IdColumn:
    """Ids for n new rows. kind: of the ids in the index, None for an empty one. ids: None numbers from
    next_id.

    Raises DimensionError, DTypeError, InputError, DuplicateIdError (an id is in the index).
    """
    if ids is None:
        return _numbered(kind, next_id, n)
    column = make_ids(ids, n)
    require_kind(kind, column)
    for segment in segments:
        taken = np.flatnonzero(live_matches(segment, column) >= 0)
        if taken.size:
            raise taken_already(column.take(taken[:1]).tolist()[0], taken.size, n)
    return column


def taken_already(name: Any, count: int, n: int) -> DuplicateIdError:
    """The error for new ids of which `count` of n are in the index, `name` among them."""
    return DuplicateIdError(
        f"id {name!r} is in the index already ({count} of {n} ids are); nothing was added. To replace its "
        "row, pass it to `upsert`"
    )


def find_all(
    segments: Sequence[StoredSegment], wanted: IdColumn, missing: Missing = "fail"
) -> list[np.ndarray]:
    """Per segment, the positions of the wanted ids that it holds. missing: what to do if one is in no
    segment, "fail" with InputError or "ignore" it.
    """
    found = [live_matches(segment, wanted) for segment in segments]
    if missing == "fail":
        is_missing = np.ones(len(wanted), dtype=bool)
        for rows in found:
            is_missing &= rows < 0
        require_found(wanted, is_missing, "nothing was deleted; missing='ignore' passes over such ids")
    return [rows[rows >= 0] for rows in found]


def without(segments: Sequence[Segment], found: Sequence[np.ndarray]) -> tuple[Segment, ...]:
    """Segments with more rows marked as deleted. found: their positions, per segment."""
    return tuple(
        segment.with_deleted(rows) if rows.size else segment
        for segment, rows in zip(segments, found, strict=True)
    )


def positions_of(segments: Sequence[StoredSegment], wanted: IdColumn) -> np.ndarray:
    """Position over all segments (len(wanted),) of each wanted id; -1 where no live row has it."""
    positions = np.full(len(wanted), -1, dtype=np.int64)
    base = 0
    for segment in segments:
        rows = live_matches(segment, wanted)
        positions = np.where(rows >= 0, rows + base, positions)
        base += segment.n_rows
    return positions


def require_found(wanted: IdColumn, missing: np.ndarray, outcome: str) -> None:
    """Raise InputError naming the first missing id, if there is one. missing: (len(wanted),) bool."""
    if missing.any():
        name = wanted.take(np.flatnonzero(missing)[:1]).tolist()[0]
        raise InputError(
            f"id {name!r} is not in the index ({int(missing.sum())} of {len(wanted)} ids are not); {outcome}"
        )


def require_kind(kind: str | None, column: IdColumn) -> None:
    """Raise DTypeError unless the ids are of the kind that the index has."""
    if kind not in (None, column.kind):
        raise DTypeError(f"the index has {kind} ids, but these are {column.kind}; pass ids of one kind")


def largest_id(ids: IdColumn) -> int:
    """Largest integer id of a column; -1 for text ids and for negative ids, so that numbering starts at 0."""
    if isinstance(ids, RangeIds):
        return max(-1, ids.start + ids.n - 1)
    return max(-1, int(ids.values.max())) if isinstance(ids, IntIds) else -1


def _numbered(kind: str | None, first_id: int, n: int) -> IdColumn:
    if kind == TEXT:
        raise DTypeError("the index has text ids, so rows cannot be numbered; pass one text a row as ids")
    if first_id + n - 1 > MAX_ID:
        raise InputError(f"{n} ids from {first_id} on do not fit int64; pass ids")
    return RangeIds(first_id, n)
