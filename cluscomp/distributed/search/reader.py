"""What a shard answers: some segments of an index, opened in the process that reads them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from cluscomp.distributed.search.candidates import Candidates, with_finer
from cluscomp.indexes.filters.allowed import Allowed
from cluscomp.indexes.filters.given import Given
from cluscomp.indexes.index import open_index
from cluscomp.indexes.multivector.candidates import score_documents, softmax_scores
from cluscomp.indexes.multivector.counted_lists import vectors_in_lists
from cluscomp.indexes.multivector.search import document_set
from cluscomp.indexes.segments.budget import Visits, scan_visited
from cluscomp.indexes.segments.passing import Passing, live_in_lists
from cluscomp.indexes.segments.rerank import rescore
from cluscomp.indexes.segments.search import scan_lists
from cluscomp.indexes.sparse.search import AskedTerms, search_terms
from cluscomp.indexes.sparse.searched import exactly
from cluscomp.indexes.stages.hits import Hits
from cluscomp.indexes.stages.ivf import Probes
from cluscomp.multivector import Ragged
from cluscomp.terms import TermRows


class ShardReader:
    """Segments `first` to `last` of the index at a path, in one generation."""

    def __init__(self, path: str, generation: int | None, first: int, last: int) -> None:
        index: Any = open_index(path, generation=generation)
        segments = index.segments
        self._base = sum(segment.n_rows for segment in segments[:first])
        index._segments = segments[first:last]
        self._index = index
        self._pipeline = index.pipeline

    def answer(self, method: str, *arguments: Any) -> Any:
        """Call a method by its name."""
        return getattr(self, method)(*arguments)

    # ---- vectors ----

    def scan(
        self, base: np.ndarray | None, projected: np.ndarray, probes: Probes, k: int, rough: bool, bars: float
    ) -> Candidates:
        """Best k rows by the codes in the lists visited. base: queries of the rerank, None without one."""
        together = self._index._together
        k = min(k, together.n_live)
        if not k:
            return _nothing(len(projected))
        hits = scan_lists(self._pipeline, together, projected, probes, k, rough=rough, bars=bars)
        return self._candidates(hits, base)

    def scan_passing(
        self, given: Given, base: np.ndarray | None, projected: np.ndarray, visits: Visits, k: int,
        rough: bool, bars: float,
    ) -> Candidates:  # fmt: skip
        """The same among rows that pass a filter."""
        allowed = self._allowed(given)
        passing = allowed.made.get("passing")
        if passing is None:
            passing = allowed.made["passing"] = Passing(self._pipeline, self._index._together, allowed.rows)
        k = min(k, passing.n)
        if not k:
            return _nothing(len(projected))
        hits = scan_visited(passing, projected, visits, k, rough=rough, bars=bars)
        return self._candidates(hits, base)

    def lists_of_rows(self, given: Given) -> tuple[np.ndarray, np.ndarray]:
        """Rows (nlist,) of each list that pass a filter, and those that are not deleted."""
        allowed, together = self._allowed(given), self._index._together
        passing = allowed.made.setdefault("passing", Passing(self._pipeline, together, allowed.rows))
        return passing.in_lists, live_in_lists(together, self._pipeline.spec.nlist)

    # ---- documents ----

    def documents(self, given: Given, queries: Ragged, k: int) -> Candidates:
        """Best k documents by the codes of all that pass. queries: behind the transforms."""
        together = self._allowed(given).together
        k = min(k, together.n_live)
        if not k:
            return _nothing(len(queries))
        found = document_set(self._pipeline, together).search(
            queries.rows, queries.offsets, k, max(k, together.n_rows), 1, together.skip_bits
        )
        return self._candidates(Hits(*found), None)

    def documents_by_lists(self, given: Given, queries: Ragged, count: int, nprobe: int) -> Candidates:
        """The `count` documents of the best lists, by the sums of these, with their scores by the codes."""
        together = self._allowed(given).together
        count = min(count, together.n_live)
        if not count:
            return _nothing(len(queries))
        documents = document_set(self._pipeline, together)
        sums, positions = documents.candidates(
            queries.rows, queries.offsets, count, nprobe, together.skip_bits
        )
        scores = documents.scores(queries.rows, queries.offsets, positions)
        return Candidates(sums, self._everywhere(positions), scores)

    def finest(self, queries: Ragged, positions: np.ndarray, softmax: float | None) -> np.ndarray:
        """Scores (nq, c) of documents by the finest codes; -inf for those of other shards."""
        together = self._index._together
        local = np.where(positions >= 0, positions - self._base, -1)
        local = np.where((local >= 0) & (local < together.n_rows), local, -1)
        if softmax is None:
            return score_documents(self._pipeline, together, queries, local)
        return softmax_scores(self._pipeline, together, queries, local, softmax)

    def lists_of_vectors(self, given: Given) -> np.ndarray:
        """Vectors (nlist,) of documents that pass, in each list."""
        return vectors_in_lists(self._allowed(given).together, self._pipeline.spec.nlist)

    # ---- terms ----

    def terms(self, given: Given, queries: TermRows, k: int) -> Candidates:
        """Best k rows of those that pass."""
        segments = self._allowed(given).together.segments
        if not segments:
            return _nothing(len(queries))
        asked = AskedTerms(self._pipeline, queries)
        return self._candidates(search_terms(segments, asked, k, exactly(None).find), None)

    # ---- all kinds ----

    def process(self) -> int:
        """Number of the process."""
        return os.getpid()

    def passing(self, given: Given) -> tuple[int, int]:
        """How many rows pass a filter, and how many of its ids the shard does not have."""
        allowed = self._allowed(given)
        return allowed.n, allowed.n_unknown

    def _allowed(self, given: Given) -> Allowed:
        found: Allowed = self._index._allowed(self._index._together, given)
        return found

    def _candidates(self, hits: Hits, base: np.ndarray | None) -> Candidates:
        """Hits with positions over all segments, and with scores of the rerank."""
        if base is None:
            return Candidates(hits.scores, self._everywhere(hits.positions))
        width = hits.scores.shape[1]
        fine = rescore(self._pipeline, self._index._together, base, hits.positions, width)
        found = with_finer(hits, fine)
        return found._replace(positions=self._everywhere(found.positions))

    def _everywhere(self, positions: np.ndarray) -> np.ndarray:
        return np.where(positions >= 0, positions + self._base, -1)


def _nothing(n_queries: int) -> Candidates:
    scores, positions = np.empty((n_queries, 0), np.float32), np.empty((n_queries, 0), np.int64)
    return Candidates(scores, positions, np.empty((n_queries, 0), np.float32))
