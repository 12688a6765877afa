"""Rows that were chosen beforehand, taken out of all segments and put side by side, list by list.

Codes are moved, never decoded, so that a row scores what it scores where it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cluscomp.bits import position_dtype
from cluscomp.indexes.segments.segment import Segment, list_offsets
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.stages.code_layout import arrange_codes, plain_rows
from cluscomp.indexes.stages.codec import ListView, StoredLists
from cluscomp.indexes.stages.pipeline import Pipeline

ACROSS_LISTS_BELOW = 64
"""Mean rows of a list, empty ones aside, below which groups of interleaved codes go across lists."""


@dataclass(frozen=True)
class ChosenRows:
    """Some rows as one segment would hold them. positions: (m,) int64 over all segments, ascending. view: its
    positions count through these.
    """

    positions: np.ndarray
    view: ListView

    @cached_property
    def lists(self) -> StoredLists:
        """The rows as scans read them."""
        return StoredLists((self.view,))

    def positions_of(self, found: np.ndarray) -> np.ndarray:
        """Positions over all segments of hits in the view; -1 where missing."""
        if not len(self.positions):
            return found
        return np.where(found >= 0, self.positions[np.maximum(found, 0)], -1)


def stored_rows(together: Together[Segment], positions: np.ndarray) -> list[np.ndarray]:
    """Per segment, ascending, where the codes of rows stand. positions: ascending, over all segments.

    Raises CorruptIndexError for lists that do not hold each row once.
    """
    stored = [np.empty(0, dtype=np.int64)] * len(together.segments)
    bounds = np.searchsorted(positions, together.firsts)
    for number in np.flatnonzero(bounds[1:] > bounds[:-1]).tolist():
        local = positions[bounds[number] : bounds[number + 1]] - together.firsts[number]
        stored[number] = np.sort(together.segments[number].stored_rows(local))
    return stored


def chosen_rows(
    pipeline: Pipeline, together: Together[Segment], stored: Sequence[np.ndarray], *, arranged: bool
) -> ChosenRows:
    """Rows of at least one segment side by side.

    stored: per segment, ascending stored rows. arranged: codes are in storage order, as `Codec.scan` reads
    them; else they are plain, as `Codec.score_rows` reads them.
    """
    codec = pipeline.codec
    firsts = together.firsts[:-1].tolist()
    parts = [part for part in zip(together.segments, firsts, stored, strict=True) if part[2].size]
    parts = parts or [(together.segments[0], 0, stored[0])]
    labels = np.concatenate([np.searchsorted(s.offsets, rows, side="right") - 1 for s, _, rows in parts])
    positions = np.concatenate([s.positions_at(rows).astype(np.int64) + first for s, first, rows in parts])
    taken = [plain_rows(codec, segment.codes, segment.offsets, rows) for segment, _, rows in parts]
    codes = {name: np.concatenate([part[name] for part in taken]) for name in codec.arrays}
    if len(parts) > 1:
        order = np.argsort(labels, kind="stable")
        positions, codes = positions[order], {name: array[order] for name, array in codes.items()}
    offsets = list_offsets(np.bincount(labels, minlength=pipeline.spec.nlist))
    across_lists = arranged and _pays_across_lists(pipeline, offsets)
    if arranged:
        arrange_codes(codec, codes, offsets, across_lists=across_lists)
    by_position = np.argsort(positions)
    ranks = np.empty(len(positions), dtype=position_dtype(len(positions)))
    ranks[by_position] = np.arange(len(positions))
    coarse = pipeline.residual_centroids
    view = ListView(codes, offsets, ranks, coarse, across_lists=across_lists)
    return ChosenRows(positions[by_position], view)


def _pays_across_lists(pipeline: Pipeline, offsets: np.ndarray) -> bool:
    """Whether groups of interleaved codes go across lists. Residual codes in l2 have a table a list."""
    if not pipeline.codec.across_lists or (
        pipeline.residual_centroids is not None and pipeline.score_metric == "l2"
    ):
        return False
    return bool(offsets[-1] < ACROSS_LISTS_BELOW * np.count_nonzero(np.diff(offsets)))
