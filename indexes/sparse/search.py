"""Searching and scoring terms in all segments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np

from cluscomp import native
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


class AskedTerms:
    """Queries whose terms are looked up once, however often segments are searched and score by them."""

    def __init__(self, pipeline: TermPipeline, queries: TermRows) -> None:
        self._pipeline, self._queries = pipeline, queries
        self._found: dict[int, tuple[np.ndarray, Terms]] = {}

    def __len__(self) -> int:
        return len(self._queries)

    def some(self, kept: np.ndarray) -> AskedTerms:
        """The queries of these numbers, ascending; itself for all."""
        return self if len(kept) == len(self) else AskedTerms(self._pipeline, self._queries[kept])

    def of(self, segment: NamedTerms) -> Terms:
        """The queries in the numbers of terms of a segment."""
        names = segment.terms  # changed segments, such as those of rows that pass a filter, share the array
        if id(names) not in self._found:
            self._found[id(names)] = names, self._numbered(segment)
        return self._found[id(names)][1]

    def _numbered(self, segment: NamedTerms) -> Terms:
        names, places, lists = self._known
        if len(segment.names):  # terms that training has not seen
            extra, n_known = segment.known.find(names), self._pipeline.terms.n_terms
            lists = np.where(lists >= 0, lists, np.where(extra >= 0, extra + n_known, -1))
        lists = lists if places is None else lists[places]
        offsets, lists, weights = native.ordered_terms(self._queries.offsets, lists, self._queries.weights)
        return offsets, lists, self._pipeline.terms.query_weights(lists, weights)

    @cached_property
    def _known(self) -> tuple[list[str], np.ndarray | None, np.ndarray]:
        """Names that occur, which of them (N,) each term has, None where each is its own, and their numbers
        in training, or -1.
        """
        used, places = self._queries.numbers, None
        if len(self._queries) > 1:
            used, places = np.unique(used, return_inverse=True)
        names = [self._queries.names[i] for i in used.tolist()]
        return names, places, self._pipeline.known.find(names)


def search_terms(segments: Sequence[Segment], asked: AskedTerms, k: int, find: Find[Segment]) -> Hits:
    """The k best rows of all segments with a score above 0; missing -inf, -1. find: searches one segment.

    Raises CorruptIndexError.
    """
    found = []
    for segment in segments:
        terms = asked.of(segment)
        try:
            found.append(Hits(*find(segment, terms, k)))
        except IndexError as exc:
            raise _damaged(exc) from exc
    return found[0] if len(found) == 1 else merged_hits(found, first_positions(segments), k)


def score_terms(segments: Sequence[NamedTerms], asked: AskedTerms, positions: np.ndarray) -> np.ndarray:
    """Scores (nq, m) float32 of rows at positions (nq, m), or (1, m) for all queries, over all segments;
    -inf for -1. Raises CorruptIndexError.
    """
    positions = np.broadcast_to(positions, (len(asked), positions.shape[1]))
    scores = np.full(positions.shape, -np.inf, dtype=np.float32)
    for segment, base in zip(segments, first_positions(segments), strict=True):
        terms = asked.of(segment)
        rows = np.where((positions >= base) & (positions < base + segment.n_rows), positions - base, -1)
        try:
            np.maximum(scores, segment.scorer.score(*terms, rows), out=scores)
        except IndexError as exc:
            raise _damaged(exc) from exc
    return scores


def _damaged(exc: IndexError) -> CorruptIndexError:
    return CorruptIndexError(f"{exc}: the index is damaged; restore a copy or rebuild it")
