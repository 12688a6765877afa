"""Searching and scoring terms in all segments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from cluscomp.errors import CorruptIndexError
from cluscomp.indexes.segments.together import first_positions
from cluscomp.indexes.sparse.named_terms import NamedTerms
from cluscomp.indexes.sparse.pipeline import TermPipeline
from cluscomp.indexes.stages.hits import Hits, merged_hits
from cluscomp.terms import TermRows

Terms = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Queries as a kernel takes them: offsets (nq + 1,), and the term (N,) and weight (N,) of each, ascending by
term.
"""
Segment = TypeVar("Segment", bound=NamedTerms)
Find = Callable[[Segment, Terms, int], tuple[np.ndarray, np.ndarray]]
"""Best k rows of a segment for queries: scores and positions (nq, k)."""


def search_terms(
    pipeline: TermPipeline, segments: Sequence[Segment], queries: TermRows, k: int, find: Find[Segment]
) -> Hits:
    """The k best rows of all segments with a score above 0; missing -inf, -1. find: searches one segment.

    Raises CorruptIndexError.
    """
    found = []
    for segment, terms in _terms_by_segment(pipeline, segments, queries):
        try:
            found.append(Hits(*find(segment, terms, k)))
        except IndexError as exc:
            raise _damaged(exc) from exc
    return merged_hits(found, first_positions(segments), k)


def score_terms(
    pipeline: TermPipeline, segments: Sequence[NamedTerms], queries: TermRows, positions: np.ndarray
) -> np.ndarray:
    """Scores (nq, m) float32 of rows at positions (nq, m), or (1, m) for all queries, over all segments;
    -inf for -1. Raises CorruptIndexError.
    """
    positions = np.broadcast_to(positions, (len(queries), positions.shape[1]))
    scores = np.full(positions.shape, -np.inf, dtype=np.float32)
    bases = first_positions(segments)
    for (segment, terms), base in zip(_terms_by_segment(pipeline, segments, queries), bases, strict=True):
        rows = np.where((positions >= base) & (positions < base + segment.n_rows), positions - base, -1)
        try:
            np.maximum(scores, segment.scorer.score(*terms, rows), out=scores)
        except IndexError as exc:
            raise _damaged(exc) from exc
    return scores


def _terms_by_segment(
    pipeline: TermPipeline, segments: Sequence[Segment], queries: TermRows
) -> Iterator[tuple[Segment, Terms]]:
    """Each segment with the queries in its numbers of terms."""
    used, numbers = np.unique(queries.numbers, return_inverse=True)
    names, n_known = [queries.names[i] for i in used.tolist()], pipeline.terms.n_terms
    known = pipeline.known.find(names)
    for segment in segments:
        extra = segment.known.find(names)
        lists = np.where(known >= 0, known, np.where(extra >= 0, extra + n_known, -1))[numbers]
        yield segment, _ordered(pipeline, queries, lists)


def _ordered(pipeline: TermPipeline, queries: TermRows, lists: np.ndarray) -> Terms:
    here = np.flatnonzero(lists >= 0)
    rows, lists = queries.rows[here], lists[here]
    order = np.lexsort((lists, rows))
    rows, lists, weights = rows[order], lists[order], queries.weights[here][order]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(queries)))]).astype(np.int64)
    return offsets, lists, pipeline.terms.query_weights(lists, weights)


def _damaged(exc: IndexError) -> CorruptIndexError:
    return CorruptIndexError(f"{exc}: the index is damaged; restore a copy or rebuild it")
