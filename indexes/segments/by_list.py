"""Segments cut by lists: each holds the rows of some lists that lie near each other.

Then a search over shards asks those alone that hold a list which it visits. The lists are grouped by k-means
of their centroids, within a bound on the rows of a part; a part is written as a merge of all segments in
which the rows of other lists count as deleted, so that nothing is decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.bits import pack_mask
from cluscomp.clustering.balanced.kmeans import BalancedKMeans
from cluscomp.errors import UsageError
from cluscomp.indexes.segments.compacting import live_mask
from cluscomp.indexes.segments.segment import Segment
from cluscomp.indexes.segments.tombstones import Tombstones
from cluscomp.indexes.stages.pipeline import Pipeline

SLACK = 1.05
"""Rows of a part over the mean, at most, but for those of one list."""


def require_lists(pipeline: Pipeline, parts: int) -> None:
    """Raise UsageError where rows do not lie in one list each, or where there are fewer lists than parts."""
    if pipeline.spec.kind != "vectors" or pipeline.partition is None:
        raise UsageError(
            f"by_list cuts indexes whose rows lie in one list each (keys with IVF), not those of the key "
            f"{str(pipeline.spec)!r}; their segments are searched by shards as they are"
        )
    nlist = pipeline.partition.nlist
    if parts > nlist:
        raise UsageError(f"by_list={parts}, but there are {nlist} lists; ask for {nlist} parts at most")


def live_list_sizes(segments: Sequence[Segment], nlist: int) -> np.ndarray:
    """Rows (nlist,) int64 of each list that are not deleted."""
    sizes = np.zeros(nlist, dtype=np.int64)
    for one in segments:
        sizes += np.bincount(lists_of_rows(one)[live_mask(one)], minlength=nlist)
    return sizes


def lists_of_rows(segment: Segment) -> np.ndarray:
    """The list (n_rows,) int32 of each row, by position."""
    positions = segment.checked_positions()
    assert positions is not None
    lists = np.empty(segment.n_rows, dtype=np.int32)
    lists[positions] = np.repeat(np.arange(len(segment.offsets) - 1), np.diff(segment.offsets))
    return lists


def list_parts(centroids: np.ndarray, sizes: np.ndarray, parts: int) -> np.ndarray:
    """The part (nlist,) int32 of each list. centroids: (nlist, d). sizes: (nlist,) rows.

    Centroids are clustered into `parts` clusters of as many lists. Then each list goes to the nearest centre
    whose part has room for its rows, else to the part with most room, those first that would lose most by
    another one. No part has more than SLACK times the mean and one list.
    """
    rows = np.ascontiguousarray(centroids, dtype=np.float32)
    centres = BalancedKMeans(parts).fit_rows(rows).cluster_centers_
    far = -native.score_pairs(rows, np.ascontiguousarray(centres), "l2")
    order = np.argsort(far, axis=1, kind="stable")
    nearest = np.take_along_axis(far, order[:, :2], axis=1)
    room = np.full(parts, SLACK * sizes.sum() / parts)
    chosen = np.empty(len(rows), dtype=np.int32)
    for row in np.argsort(nearest[:, 0] - nearest[:, -1], kind="stable").tolist():
        fits = np.flatnonzero(room[order[row]] >= sizes[row])
        part = int(order[row, fits[0]] if fits.size else room.argmax())
        chosen[row] = part
        room[part] -= sizes[row]
    return chosen


def segments_of_parts(segments: Sequence[Segment], part_of: np.ndarray, parts: int) -> list[list[Any]]:
    """For each part that has rows, the segments with all other rows deleted. part_of: (nlist,) of lists."""
    owners = [np.where(live_mask(one), part_of[lists_of_rows(one)], -1) for one in segments]
    found = []
    for part in range(parts):
        own = [_only(one, owner == part) for one, owner in zip(segments, owners, strict=True)]
        some = [one for one in own if one.n_deleted < one.n_rows]
        if some:
            found.append(some)
    return found


def _only(segment: Segment, mask: np.ndarray) -> Segment:
    bits = pack_mask(~mask)
    dead = int(np.count_nonzero(~mask))
    return segment.changed(deleted=Tombstones(bits, segment.n_rows, dead) if dead else None)


def leading_parts(segments: Sequence[Any], nlist: int) -> int:
    """How many of the first segments were cut of one: no two of them hold the same list. 1 where none was."""
    seen, count = np.zeros(nlist, dtype=bool), 0
    for segment in segments:
        held = segment.list_sizes(nlist) > 0
        if (seen & held).any():
            break
        seen |= held
        count += 1
    return max(1, count)


def is_cut(segments: Sequence[Segment], part_of: np.ndarray, parts: int) -> bool:
    """Whether each segment has the rows of one part, in the order of parts, and none is deleted."""
    if any(one.n_deleted for one in segments):
        return False
    held = [np.unique(part_of[np.flatnonzero(np.diff(one.offsets))]).tolist() for one in segments]
    return held == [[part] for part in range(parts) if [part] in held]
