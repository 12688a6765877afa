"""Rows that a condition lets pass, as searches read them: found once for each condition and state.

A deleted row never passes. The rows that do not pass are either skipped by their bits, or those that do are
taken out and put side by side; a hit scores the same in both, and there are no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np

from cluscomp.indexes.segments.chosen import ChosenRows, chosen_rows
from cluscomp.indexes.segments.row_sets import RowSet
from cluscomp.indexes.segments.segment import Segment
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.stages.pipeline import Pipeline

ANY = TypeVar("ANY", bound=StoredSegment)
TAKEN_BYTES = 256 << 20
"""Most bytes of codes and positions that are taken out for one condition."""
_TAKING, _TAKING_INTERLEAVED = 4, 256
"""Rows that a scan reads in the time in which one row is taken out. An interleaved one is scattered over
many cache lines, and a scan reads 32 of them at a time.
"""


def restricted(together: Together[ANY], allowed: Sequence[RowSet | None]) -> Together[ANY]:
    """The segments in which all rows that do not pass count as deleted: every search of them, of rows and of
    documents, by lists and by fixed-dimensional encodings, finds the best that pass. `n_live` of the result
    is their number, above which k must not be.

    allowed: per segment, the rows that pass; None where all do.
    """
    return Together(
        tuple(
            segment if rows is None else segment.restricted(rows.bits)
            for segment, rows in zip(together.segments, allowed, strict=True)
        ),
        together,
    )


def live_sets(together: Together[ANY], allowed: Sequence[RowSet | None]) -> list[RowSet]:
    """Per segment, the rows that pass and are not deleted. allowed: as `restricted` takes them."""
    found = []
    for segment, rows in zip(together.segments, allowed, strict=True):
        if rows is None:
            found.append(RowSet(segment.n_rows, bits=segment.live_bits()))
        else:
            found.append(rows if segment.deleted is None else rows.without(segment.deleted.bits))
    return found


class Passing:
    """The rows of the segments of an index that a condition lets pass.

    May be kept while the segments stay the same: what searches need of it is made when first used.

    Args:
        pipeline: the trained one of the index.
        together: its segments.
        allowed: per segment, as `restricted` takes them.

    Attributes:
        n: rows that pass.
    """

    def __init__(
        self, pipeline: Pipeline, together: Together[Segment], allowed: Sequence[RowSet | None]
    ) -> None:
        self.pipeline, self.together = pipeline, together
        self._rows = live_sets(together, allowed)
        self.n = sum(rows.count for rows in self._rows)
        self._saved = 0.0  # rows that scans would not have read, had the passing ones been taken out

    @cached_property
    def skipping(self) -> Together[Segment]:
        """The segments for scans that skip all other rows."""
        return restricted(self.together, self._rows)

    @cached_property
    def stored(self) -> list[np.ndarray]:
        """Per segment, ascending, where the codes of the rows stand."""
        return [
            segment.stored_rows_of(rows)
            for segment, rows in zip(self.together.segments, self._rows, strict=True)
        ]

    @cached_property
    def in_lists(self) -> np.ndarray:
        """Passing rows (nlist,) int64 of each list."""
        return _in_lists(self.together, self.stored, self.pipeline.spec.nlist)

    @cached_property
    def live_in_lists(self) -> np.ndarray:
        """Rows (nlist,) int64 of each list that are not deleted; the same for all conditions."""
        return live_in_lists(self.together, self.pipeline.spec.nlist)

    @cached_property
    def filled(self) -> np.ndarray:
        """Lists (l,) int32 with passing rows."""
        return np.flatnonzero(self.in_lists).astype(np.int32)

    def least_budget(self, nprobe: int) -> int:
        """Rows that are not deleted in the nprobe smallest lists: no query reads fewer."""
        sizes = self.live_in_lists
        smallest = np.partition(sizes, nprobe - 1)[:nprobe] if nprobe < len(sizes) else sizes
        return int(smallest.sum())

    @cached_property
    def stored_in_lists(self) -> np.ndarray:
        """Rows (nlist,) int64 of each list, as a scan that skips rows reads them."""
        segments = self.together.segments
        return self.together.made(
            "stored in lists", lambda: np.sum([np.diff(segment.offsets) for segment in segments], axis=0)
        )

    @cached_property
    def positions(self) -> np.ndarray:
        """Positions (n,) int64 over all segments, ascending."""
        return np.concatenate(
            [
                np.sort(segment.positions_at(rows)).astype(np.int64) + first
                for segment, rows, first in zip(
                    self.together.segments, self.stored, self.together.firsts[:-1].tolist(), strict=True
                )
            ]
        )

    @cached_property
    def taken(self) -> ChosenRows:
        """The rows side by side, for scans that read no others."""
        return chosen_rows(self.pipeline, self.together, self.stored, arranged=True)

    def pays_to_take(self, skipped: float) -> bool:
        """Whether a scan shall read `taken`: from then on where scans by bits have read so many rows in vain
        that taking the others out would have been cheaper.

        skipped: rows that this scan would read in vain.
        """
        if "taken" in vars(self):
            return True
        codec = self.pipeline.codec
        self._saved += skipped
        pays = self._saved >= (_TAKING_INTERLEAVED if codec.interleaved else _TAKING) * self.n
        return pays and self.n * (codec.row_bytes + 4) <= TAKEN_BYTES


def _in_lists(together: Together[Segment], stored: Sequence[np.ndarray], nlist: int) -> np.ndarray:
    """Rows (nlist,) int64 of each list. stored: per segment, ascending."""
    if not together.segments:
        return np.zeros(nlist, dtype=np.int64)
    firsts = together.firsts[:-1]
    ends = together.made("list ends", lambda: _list_ends(together))
    rows = np.concatenate(stored) + np.repeat(firsts, [len(part) for part in stored])
    lists = np.searchsorted(ends, rows, side="right")
    return np.bincount(lists % nlist, minlength=nlist)


def _list_ends(together: Together[Segment]) -> np.ndarray:
    """(segments * nlist,) int64 stored row behind each list, counted through all segments."""
    ends = np.array([segment.offsets[1:] for segment in together.segments])
    return (ends + together.firsts[:-1, None]).ravel()


def live_in_lists(together: Together[Segment], nlist: int) -> np.ndarray:
    """Rows (nlist,) int64 of each list that are not deleted, counted once for the same segments."""
    return together.made("live in lists", lambda: _live_in_lists(together.segments, nlist))


def _live_in_lists(segments: Sequence[Segment], nlist: int) -> np.ndarray:
    counts = np.zeros(nlist, dtype=np.int64)
    for segment in segments:
        counts += np.diff(segment.offsets)
        if segment.deleted is not None:
            gone = segment.stored_rows_of(RowSet(segment.n_rows, bits=segment.deleted.bits))
            counts -= np.diff(np.searchsorted(gone, segment.offsets))
    return counts
