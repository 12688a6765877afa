"""The driver of a search of documents over shards: `MultiVectorIndex`, with the scans of the shards."""

from __future__ import annotations

from typing import Any

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.distributed.search.candidates import best, best_of_chosen, in_rows
from cluscomp.distributed.search.groups import ask
from cluscomp.distributed.search.shared import SharedAllowed
from cluscomp.errors import UsageError
from cluscomp.indexes.filters.given import EVERYTHING, Given
from cluscomp.indexes.multivector.candidates import QUERY_BLOCK
from cluscomp.indexes.multivector.search import Effort
from cluscomp.indexes.multivector.searched import SearchedDocuments
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.stages.hits import Hits, best_hits
from cluscomp.multivector import Ragged


class ShardedDocuments(SearchedDocuments):
    """Segments are mapped for their ids; nothing else is read here."""

    def _allowed(self, together: Together[Any], given: Given) -> Any:
        return SharedAllowed.of(given)

    def _search_together(self, together: Any, queries: Ragged, k: int, effort: Effort) -> Hits:
        if effort.by_fde:
            raise UsageError("candidates_by='fde' reads encodings of one process; leave it out over shards")
        given = together.given if isinstance(together, SharedAllowed) else EVERYTHING
        blocks = iter_blocks(len(queries), QUERY_BLOCK)
        found = [self._block(given, together.n_live, queries.part(block), k, effort) for block in blocks]
        return in_rows(found, k)

    def _block(self, given: Given, n_live: int, queries: Ragged, k: int, effort: Effort) -> Hits:
        pipeline = self.pipeline
        base = pipeline.base_rows(queries.rows)
        projected = Ragged(pipeline.project_queries(base), queries.offsets)
        if pipeline.refine is None and effort.softmax is None:
            return self._scan(given, projected, k, effort)
        rough = self._scan(given, projected, min(k * effort.refine_factor, n_live), effort)
        finest = projected if pipeline.refine is None else Ragged(base, queries.offsets)
        scores = np.maximum.reduce(ask("finest", finest, rough.positions, effort.softmax))
        return best_hits(scores, rough.positions, k)

    def _scan(self, given: Given, queries: Ragged, k: int, effort: Effort) -> Hits:
        candidates = max(effort.candidates, k)
        has_choice = self.pipeline.partition is not None and candidates < self._together.n_rows
        if effort.direct or not has_choice:
            return best(ask("documents", given, queries, k), len(queries), k)
        nprobe = min(effort.nprobe, self.pipeline.spec.nlist)
        found = ask("documents_by_lists", given, queries, candidates, nprobe)
        return best_of_chosen(found, len(queries), candidates, k)

    def _vectors_in_lists(self, together: Any) -> np.ndarray:
        given = together.given if isinstance(together, SharedAllowed) else EVERYTHING
        counts: np.ndarray = np.sum(ask("lists_of_vectors", given), axis=0)
        return counts
