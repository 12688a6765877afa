"""Which segments become one, and what they have in common: the rows that are left, under their ids.

Positions break ties between equal scores, so only neighbours become one: then no result changes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cluscomp.attributes import Attributes
from cluscomp.attributes.table import joined_tables
from cluscomp.errors import CorruptIndexError
from cluscomp.indexes.segments.id_lookup import live_ids
from cluscomp.indexes.segments.ids import TEXT, IdColumn, TextIds, int_column
from cluscomp.indexes.segments.mapped import read_in_order
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.segments.texts import RowTexts, picked_texts


def live_mask(segment: StoredSegment) -> np.ndarray:
    """(n_rows,) bool by position: rows that are not deleted."""
    return np.ones(segment.n_rows, dtype=bool) if segment.deleted is None else segment.deleted.live_mask()


def live_column(segments: Sequence[StoredSegment]) -> IdColumn:
    """Ids of all rows that are left, in order of adding; consecutive integers are stored as a range.

    segments: at least one. Raises CorruptIndexError for texts whose offsets are inconsistent.
    """
    if segments[0].ids.kind != TEXT:
        return int_column(live_ids(segments))
    texts = [_live_texts(segment) for segment in segments]
    lengths = np.concatenate([np.diff(column.offsets) for column in texts])
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return TextIds(np.concatenate([column.blob for column in texts]), offsets)


def _live_texts(segment: StoredSegment) -> TextIds:
    """Text ids of the rows that are left."""
    ids = segment.ids
    assert isinstance(ids, TextIds)
    with read_in_order(ids.blob, ids.offsets):
        return _kept_texts(ids, live_mask(segment))


def _kept_texts(ids: TextIds, live: np.ndarray) -> TextIds:
    lengths = np.diff(ids.offsets)
    if ids.offsets[0] != 0 or ids.offsets[-1] != len(ids.blob) or (lengths < 0).any():
        raise CorruptIndexError(
            f"offsets of text ids run from {ids.offsets[0]} to {ids.offsets[-1]}, but must rise from 0 to "
            f"{len(ids.blob)}: the index is damaged; restore a copy or rebuild it"
        )
    offsets = np.concatenate([[0], np.cumsum(lengths[live])]).astype(np.int64)
    return TextIds(np.asarray(ids.blob[np.repeat(live, lengths)]), offsets)


def live_texts(segments: Sequence[StoredSegment]) -> RowTexts | None:
    """Titles and texts of all rows that are left, in order of adding; None where no segment has any."""
    return picked_texts([(segment.texts, np.flatnonzero(live_mask(segment))) for segment in segments])


def runs_to_merge(segments: Sequence[StoredSegment], most: int) -> list[list[int]]:
    """Runs of neighbours that become one segment each, as numbers of segments in order of adding.

    Segments without a row that is left are in no run. While there are more runs than `most`, the two
    neighbours with the fewest rows together become one: large segments are seldom written again.
    """
    live = [segment.n_rows - segment.n_deleted for segment in segments]
    runs = [[number] for number, n in enumerate(live) if n]
    rows = np.array([live[run[0]] for run in runs], dtype=np.int64)
    while len(runs) > most:
        first = int(np.argmin(rows[:-1] + rows[1:]))
        rows[first] += rows[first + 1]
        rows = np.delete(rows, first + 1)
        runs[first] += runs.pop(first + 1)
    return runs


def stays(segment: StoredSegment, dead: float) -> bool:
    """Whether the share of deleted rows of a segment is at most `dead`."""
    return segment.n_deleted <= dead * segment.n_rows


def live_attributes(segments: Sequence[StoredSegment]) -> Attributes | None:
    """Attributes of all rows that are left, in order of adding; None where no segment has any."""
    tables = [segment.attributes for segment in segments if segment.attributes is not None]
    if not tables:
        return None
    schema = {name: field for table in tables for name, field in table.schema.items()}
    rows = [np.flatnonzero(live_mask(segment)) for segment in segments]
    return joined_tables(
        [
            (segment.attributes or Attributes({}, segment.n_rows)).take(live)
            for segment, live in zip(segments, rows, strict=True)
        ],
        schema,
    )
