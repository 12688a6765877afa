"""Small segments side by side: their codes are copied list by list, so that searches find long lists.

A scan of n rows in one list takes much less time than scans of one row in each of n segments: codes of 4 bits
are read 32 rows at a time, and every list that is begun costs something. So neighbours with few rows a list
are put together, as `compact` would put them, but in memory only: codes and positions, GATHERED_BYTES at
most. Positions stay what they are, and no result changes.

Copies are made when searches have read the segments once through since the last copy, so that one search of
an index that was just opened does not pay for them. Runs grow by a factor, so that a segment that is added
moves few rows; where nothing is added for long, they become one. A group is kept while its segments are
there, whatever is deleted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cluscomp.bits import pack_mask, position_dtype
from cluscomp.indexes.segments.compacting import live_mask
from cluscomp.indexes.segments.segment import Segment, list_offsets
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.stages.code_layout import arrange_codes, plain_codes
from cluscomp.indexes.stages.codec import Codec, Codes, ListView, StoredLists
from cluscomp.indexes.stages.pipeline import Pipeline

GATHERED_BYTES = 256 << 20
"""Most bytes of codes and positions that an index holds twice."""
ROWS_A_LIST = 512
"""Mean rows of a list from which a segment is scanned where it stands."""
STEPS = ((1, 4.0), (64, math.inf))
"""After how many readings of all segments copies are made, and how many times the rows of the next one a run
may have that takes it in."""
_LAST = len(STEPS)


@dataclass(frozen=True)
class Group:
    """Neighbours whose lists stand side by side. parts: codes of each, by which it is known again."""

    parts: tuple[Codes, ...]
    view: ListView

    def begins(self, segments: Sequence[Segment]) -> bool:
        """Whether it holds the first of these segments."""
        return len(segments) >= len(self.parts) and all(
            segment.codes is codes for segment, codes in zip(segments, self.parts, strict=False)
        )


@dataclass
class Gathering:
    """What an index keeps while its segments change. read: how often searches have read the segments through
    since groups were made last.
    """

    groups: tuple[Group, ...] = ()
    read: float = 0.0


def stored_lists(pipeline: Pipeline, together: Together[Segment], n_queries: int, nprobe: int) -> StoredLists:
    """The codes of all segments as the scan of so many queries reads them."""
    current: tuple[int, StoredLists] | None = together.found("lists")
    if current is not None and current[0] == _LAST:
        return current[1]
    if pipeline.partition is None or len(together.segments) == 1:
        return together.put("lists", (_LAST, _lists(pipeline, together, ())))[1]
    kept: Gathering = together.kept.setdefault("gathering", Gathering())
    kept.read += n_queries * min(nprobe, pipeline.spec.nlist) / pipeline.spec.nlist
    step = sum(kept.read >= readings for readings, _ in STEPS)
    if current is not None and current[0] >= step:
        return current[1]
    if step:
        groups = _groups(pipeline, together.segments, kept.groups, STEPS[step - 1][1])
        kept.read, kept.groups = 0.0, tuple(groups)
    return together.put("lists", (step, _lists(pipeline, together, kept.groups)))[1]


def lists_stay(together: Together[Segment]) -> bool:
    """Whether `stored_lists` will return the same from now on, which it has returned once."""
    current: tuple[int, StoredLists] | None = together.found("lists")
    return current is not None and current[0] == _LAST


def _lists(pipeline: Pipeline, together: Together[Segment], groups: Sequence[Group]) -> StoredLists:
    covered = list(_cover(pipeline, together.segments, groups))
    if together.skip_bits is None:
        return StoredLists(tuple(view for view, _ in covered))
    bits = [_skip_bits(members) for _, members in covered]
    return StoredLists(tuple(view for view, _ in covered), bits)


def _cover(
    pipeline: Pipeline, segments: Sequence[Segment], groups: Sequence[Group]
) -> Iterator[tuple[ListView, Sequence[Segment]]]:
    """Views that cover neighbours, of groups where there are some, else of segments; and what each covers."""
    coarse = pipeline.residual_centroids
    at = {id(group.parts[0]): group for group in groups}
    number = 0
    while number < len(segments):
        group = at.get(id(segments[number].codes))
        if group is not None and group.begins(segments[number : number + len(group.parts)]):
            yield group.view, segments[number : number + len(group.parts)]
            number += len(group.parts)
        else:
            yield segments[number].list_view(coarse), segments[number : number + 1]
            number += 1


def _skip_bits(segments: Sequence[Segment]) -> np.ndarray | None:
    """Deleted rows of neighbours as kernels take them, None for none."""
    if len(segments) == 1 or not any(segment.n_deleted for segment in segments):
        return segments[0].skip_bits
    return pack_mask(~np.concatenate([live_mask(segment) for segment in segments]))


def _groups(
    pipeline: Pipeline, segments: Sequence[Segment], known: Sequence[Group], growth: float
) -> Iterator[Group]:
    """Those that are known as far as they may stay, and larger ones where the rule says so."""
    most = _most_rows(pipeline, segments)
    small = {id(segment.codes) for segment in segments if segment.n_rows < most}
    kept = [group for group in known if all(id(codes) in small for codes in group.parts)]
    covered = list(_cover(pipeline, segments, kept))
    rows = [int(view.offsets[-1]) for view, _ in covered]
    for start, stop in runs_to_gather(rows, most, growth):
        view, members = covered[start][0], [s for _, part in covered[start:stop] for s in part]
        if stop - start > 1:
            for segment in members:
                segment.checked_positions()  # they will count from elsewhere
            view = gathered_view(pipeline.codec, [view for view, _ in covered[start:stop]])
        if len(members) > 1:
            yield Group(tuple(segment.codes for segment in members), view)


def _most_rows(pipeline: Pipeline, segments: Sequence[Segment]) -> int:
    """Rows from which a segment is scanned where it stands: fewer where copies would take too much memory."""
    most, row_bytes = ROWS_A_LIST * pipeline.spec.nlist, pipeline.codec.row_bytes + 4
    while sum(segment.n_rows for segment in segments if segment.n_rows < most) * row_bytes > GATHERED_BYTES:
        most //= 2
    return most


def runs_to_gather(rows: Sequence[int], most: int, growth: float) -> list[tuple[int, int]]:
    """Runs [start, stop) of neighbours that are scanned as one. rows: of each segment. most: rows from which
    a segment, or a run, takes in no other. growth: as in STEPS.
    """
    runs: list[tuple[int, int, int]] = []
    for number, n in enumerate(rows):
        start = number
        while runs and max(runs[-1][2], n) < most and runs[-1][2] <= growth * n:
            start, _, before = runs.pop()
            n += before
        runs.append((start, number + 1, n))
    return [(start, stop) for start, stop, _ in runs]


def gathered_view(codec: Codec, views: Sequence[ListView]) -> ListView:
    """Views of neighbours as one: rows of a list by position, which count through all of them."""
    sizes = np.array([np.diff(view.offsets) for view in views])
    nlist = sizes.shape[1]
    numbers = np.arange(nlist, dtype=np.uint16 if nlist <= 1 << 16 else np.int32)
    order = np.argsort(np.concatenate([np.repeat(numbers, own) for own in sizes]), kind="stable")
    firsts = np.cumsum([0, *sizes.sum(axis=1)])
    positions = np.concatenate(
        [
            (np.arange(len(first)) if view.positions is None else view.positions) + first
            for view, first in zip(views, firsts[:-1], strict=True)
        ]
    )[order]
    plain = [plain_codes(codec, view.codes, view.offsets) for view in views]
    codes = {name: np.concatenate([part[name] for part in plain])[order] for name in codec.arrays}
    offsets = list_offsets(sizes.sum(axis=0))
    arrange_codes(codec, codes, offsets)
    return ListView(codes, offsets, positions.astype(position_dtype(len(order))), views[0].coarse)
