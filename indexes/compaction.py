"""Compaction: segments become fewer and deleted rows go, without decoding a code or changing a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cluscomp import checks
from cluscomp.attributes import Schema
from cluscomp.errors import UsageError
from cluscomp.indexes.segments import by_list as lists
from cluscomp.indexes.segments.compacting import live_attributes, live_texts, runs_to_merge, stays
from cluscomp.indexes.segments.rebalancing import Rebalanced, rebalanced, require_bound
from cluscomp.indexes.segments.segment import list_sizes
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.storage.saving import stored_arrays
from cluscomp.progress import Progress, Ticker

MAX_SEGMENTS = 16
"""Segments that `compact` leaves unless told otherwise."""
MAX_SEGMENTS_BY_LIST = 4096
"""Most parts that lists are cut into, as many as an index has segments."""
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
    left. rewritten: segments written again. moved: vectors that `rebalance` put into other lists. encoded:
    of them those whose codes were made again. bytes_before, bytes_after: array files of the folder, as
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
    moved: int = 0
    encoded: int = 0

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return asdict(self)


class Compactable:
    """What an index needs to be compacted: its stages, its segments, and the lock of changes."""

    pipeline: Pipeline
    _schema: Schema
    _lock: Any
    _segments: tuple[Any, ...]

    def compact(
        self,
        *,
        segments: int = MAX_SEGMENTS,
        dead: float = MAX_DEAD,
        rebalance: bool = False,
        by_list: int | None = None,
        progress: Progress | None = None,
    ) -> CompactReport:
        """Merge segments and drop the rows that were deleted; every search finds what it found before.

        Codes, ids and the order of rows stay as they are, and nothing is decoded or trained. Neighbouring
        segments become one, those with the fewest rows first. The changes are in memory until `save`; files
        of segments that stay are then linked. The rows of merged segments are held twice for a while. Lists
        keep their rows, so that those of BIVF may exceed their bound when many rows were deleted; with
        rebalance the rows beyond it move, and results may change.

        Args:
            segments: most segments that are left, at least 1.
            dead: share of deleted rows, 0 to 1, up to which a segment may stay as it is. Segments that are
                merged lose all of their deleted rows; 0 drops every one.
            rebalance: move rows of balanced lists until no list holds more than ceil(cap * n / nlist) of the
                n rows that are stored. Of a list the rows stay that were added first; the others go to the
                best list, by their decoded vectors, that has room. Where codes are residuals (PQ), theirs
                are made again of decoded vectors, and lose a little once more.
            by_list: instead of merging neighbours, cut the index into so many segments, each with the rows
                of lists whose centroids lie near each other, all of about as many rows; deleted rows go. For
                searches over shards (`distributed.open`), which then ask the shards of visited lists alone.
                Rows keep their order within a list, and no score changes; but rows of different lists that
                score the same, to the last bit, may come in another order than before.
            progress: called with (stage, done, total), in stored rows of the segments that are merged.

        Returns:
            A `CompactReport`: rows, segments, bytes, dropped rows, and how even the lists are.

        Raises:
            UsageError: segments, dead or by_list is out of its range, this kind of index cannot be compacted,
                rebalance is asked of lists without a bound, or by_list of rows that do not lie in one list
                each, or together with rebalance.
            CorruptIndexError: positions or text ids in a folder are inconsistent.

        """
        most = checks.integer("segments", segments, 1)
        share = checks.number("dead", dead, low=0, high=1)
        if rebalance:
            require_bound(self.pipeline)
        parts = None if by_list is None else checks.integer("by_list", by_list, 1, MAX_SEGMENTS_BY_LIST)
        if parts is not None:
            lists.require_lists(self.pipeline, parts)
            if rebalance:
                raise UsageError(
                    "by_list groups lists by their rows, which rebalance moves; rebalance first, then cut"
                )
        with self._lock:
            before, tenant = self._segments, self._schema.tenant
            if parts is None:
                after = compacted(self.pipeline, before, most, share, progress, tenant=tenant)
            else:
                after = cut_by_list(self.pipeline, before, parts, progress, tenant=tenant)
            result = rebalanced(self.pipeline, after, progress) if rebalance else Rebalanced(after)
            self._segments = result.segments
        return _report(self.pipeline, before, result)


def compacted(
    pipeline: Pipeline,
    segments: Sequence[StoredSegment],
    most: int,
    dead: float,
    progress: Progress | None = None,
    *,
    tenant: str | None = None,
) -> tuple[StoredSegment, ...]:
    """At most `most` segments with the same rows. tenant: the tenant column."""
    runs = [[segments[number] for number in run] for run in runs_to_merge(segments, most)]
    is_new = [len(run) > 1 or not stays(run[0], dead) for run in runs]
    moved = [part for run, new in zip(runs, is_new, strict=True) if new for part in run]
    ticker = Ticker(progress, "compact", sum(part.n_rows for part in moved))
    return tuple(
        _merged(pipeline, run, ticker, tenant) if new else run[0]
        for run, new in zip(runs, is_new, strict=True)
    )


def cut_by_list(
    pipeline: Pipeline,
    segments: Sequence[Any],
    parts: int,
    progress: Progress | None = None,
    *,
    tenant: str | None = None,
) -> tuple[StoredSegment, ...]:
    """One segment for each part of the lists, with its rows that are left. tenant: the tenant column."""
    partition = pipeline.partition
    assert partition is not None
    sizes = lists.live_list_sizes(segments, partition.nlist)
    if not sizes.any():
        return ()
    part_of = lists.list_parts(partition.centroids, sizes, parts)
    if lists.is_cut(segments, part_of, parts):
        return tuple(segments)
    runs = lists.segments_of_parts(segments, part_of, parts)
    ticker = Ticker(progress, "compact", sum(one.n_rows for run in runs for one in run))
    return tuple(_merged(pipeline, run, ticker, tenant) for run in runs)


def _merged(pipeline: Pipeline, run: Sequence[Any], ticker: Ticker, tenant: str | None) -> Any:
    attributes = live_attributes(run)
    described = None if attributes is None else attributes.by_text(tenant)
    return type(run[0]).merged(pipeline, run, ticker).changed(attributes=described, texts=live_texts(run))


def _report(pipeline: Pipeline, before: Sequence[StoredSegment], result: Rebalanced) -> CompactReport:
    after, old = result.segments, {id(segment) for segment in before}
    deleted = sum(segment.n_deleted for segment in after)
    return CompactReport(
        rows=sum(segment.n_rows for segment in after) - deleted,
        dropped=sum(segment.n_rows for segment in before) - sum(segment.n_rows for segment in after),
        deleted=deleted,
        segments_before=len(before),
        segments_after=len(after),
        rewritten=sum(id(segment) not in old for segment in after),
        bytes_before=_array_bytes(pipeline, before),
        bytes_after=_array_bytes(pipeline, after),
        lists=list_excess(pipeline, after),
        moved=result.moved,
        encoded=result.encoded,
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
