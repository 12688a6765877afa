"""Rows of terms from an inverted file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cluscomp.indexes.segments.together import first_positions
from cluscomp.indexes.sparse.pipeline import TermPipeline
from cluscomp.indexes.sparse.postings import read_lists, term_ranges
from cluscomp.indexes.sparse.segment import BLOCK_POSTINGS, TermSegment


def decoded_terms(
    pipeline: TermPipeline, segments: Sequence[TermSegment], positions: np.ndarray
) -> list[dict[str, float]]:
    """Terms and weights of rows at positions (n,) over all segments, each once; a weight is what a search
    multiplies the query's weight with.
    """
    found: list[dict[str, float]] = [{} for _ in positions]
    for segment, base in zip(segments, first_positions(segments), strict=True):
        inside = np.flatnonzero((positions >= base) & (positions < base + segment.n_rows))
        place = np.full(segment.n_rows, -1, dtype=np.int64)
        place[positions[inside] - base] = inside
        counts = np.diff(segment.postings["list_starts"].astype(np.int64))
        for lists in term_ranges(counts, BLOCK_POSTINGS):
            _collect(pipeline, segment, lists, place, found)
    return found


def _collect(
    pipeline: TermPipeline,
    segment: TermSegment,
    lists: slice,
    place: np.ndarray,
    found: list[dict[str, float]],
) -> None:
    owners, rows, stored = read_lists(segment.postings, lists)
    here = np.flatnonzero(place[rows] >= 0)
    numbers, targets = owners[here] + lists.start, place[rows[here]]
    weights = pipeline.terms.query_weights(numbers, stored[here].astype(np.float64))
    for number, target, weight in zip(numbers.tolist(), targets.tolist(), weights.tolist(), strict=True):
        found[target][_name(pipeline, segment, number)] = weight


def _name(pipeline: TermPipeline, segment: TermSegment, number: int) -> str:
    known = pipeline.terms.n_terms
    return pipeline.names.text(number) if number < known else segment.names.text(number - known)
