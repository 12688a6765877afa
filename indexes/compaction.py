"""Compaction: segments become fewer and deleted rows go, without decoding a code or changing a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cluscomp import checks
from cluscomp.indexes.segments.compacting import runs_to_merge, stays
from cluscomp.indexes.segments.segment import list_sizes
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.storage.saving import stored_arrays
from cluscomp.progress import Progress, Ticker

MAX_SEGMENTS = 16
"""Segments that `compact` leaves unless told otherwise."""
MAX_DEAD = 0.2
"""Share of deleted rows that it leaves in a segment."""


@dataclass(frozen=True)
class ListExcess:
    """How even the lists are, deleted rows that are still there counted.

    max_over_mean: largest list over the mean. bound: rows that a balanced list (BIVF) may hold, None for
    others. exceeded_by: rows of the largest list above that bound.
    """

    max_over_mean: float
    bound: int | None
    exceeded_by: int


@dataclass(frozen=True)
class CompactReport:
    """What `compact` did.

    rows: that can be found, before and after. dropped: deleted rows that are gone. deleted: those that are
    left. rewritten: segments written again. bytes_before, bytes_after: array files of the folder, as
    `save` writes them. lists: None without lists or rows.
    """

    rows: int
    dropped: int
    deleted: int
    segments_before: int
    segments_after: int
    rewritten: int
    bytes_before: int
    bytes_after: int
    lists: ListExcess | None

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return asdict(self)


class Compactable:
    """What an index needs to be compacted: its stages, its segments, and the lock of changes."""

    pipeline: Pipeline
    _lock: Any
    _segments: tuple[Any, ...]

    def compact(
        self, *, segments: int = MAX_SEGMENTS, dead: float = MAX_DEAD, progress: Progress | None = None
    ) -> CompactReport:
        """Merge segments and drop the rows that were deleted; every search finds what it found before.

        Codes, ids and the order of rows stay as they are, and nothing is decoded or trained. Neighbouring
        segments become one, those with the fewest rows first. The changes are in memory until `save`; files
        of segments that stay are then linked. The rows of merged segments are held twice for a while. Lists
        keep their rows, so that those of BIVF may exceed their bound when many rows were deleted.

        Args:
            segments: most segments that are left, at least 1.
            dead: share of deleted rows, 0 to 1, up to which a segment may stay as it is. Segments that are
                merged lose all of their deleted rows; 0 drops every one.
            progress: called with (stage, done, total), in stored rows of the segments that are merged.

        Returns:
            A `CompactReport`: rows, segments, bytes, dropped rows, and how even the lists are.

        Raises:
            UsageError: segments or dead is out of its range, or this kind of index cannot be compacted.
            CorruptIndexError: positions or text ids in a folder are inconsistent.

        """
        most = checks.integer("segments", segments, 1)
        share = checks.number("dead", dead, low=0, high=1)
        with self._lock:
            before = self._segments
            after, rewritten = compacted(self.pipeline, before, most, share, progress)
            self._segments = after
        return _report(self.pipeline, before, after, rewritten)


def compacted(
    pipeline: Pipeline,
    segments: Sequence[StoredSegment],
    most: int,
    dead: float,
    progress: Progress | None = None,
) -> tuple[tuple[StoredSegment, ...], int]:
    """At most `most` segments with the same rows, and how many of them are new."""
    runs = [[segments[number] for number in run] for run in runs_to_merge(segments, most)]
    is_new = [len(run) > 1 or not stays(run[0], dead) for run in runs]
    moved = [part for run, new in zip(runs, is_new, strict=True) if new for part in run]
    ticker = Ticker(progress, "compact", sum(part.n_rows for part in moved))
    found = [
        type(run[0]).merged(pipeline, run, ticker) if new else run[0]
        for run, new in zip(runs, is_new, strict=True)
    ]
    return tuple(found), sum(is_new)


def _report(
    pipeline: Pipeline, before: Sequence[StoredSegment], after: Sequence[StoredSegment], rewritten: int
) -> CompactReport:
    deleted = sum(segment.n_deleted for segment in after)
    return CompactReport(
        rows=sum(segment.n_rows for segment in after) - deleted,
        dropped=sum(segment.n_rows for segment in before) - sum(segment.n_rows for segment in after),
        deleted=deleted,
        segments_before=len(before),
        segments_after=len(after),
        rewritten=rewritten,
        bytes_before=_array_bytes(pipeline, before),
        bytes_after=_array_bytes(pipeline, after),
        lists=list_excess(pipeline, after),
    )


def _array_bytes(pipeline: Pipeline, segments: Sequence[StoredSegment]) -> int:
    return sum(stored.file_bytes for stored in stored_arrays(pipeline, segments))


def list_excess(pipeline: Pipeline, segments: Sequence[StoredSegment]) -> ListExcess | None:
    """How even the lists are, and what balanced ones hold beyond their bound; None without lists or rows."""
    partition = pipeline.partition
    if partition is None or not segments:
        return None
    sizes = list_sizes(segments, partition.nlist)
    return ListExcess(float(sizes.max() * len(sizes) / sizes.sum()), *partition.beyond_bound(sizes))
