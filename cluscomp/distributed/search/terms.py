"""The driver of a search of weighted terms over shards: `SparseIndex`, with the files of the shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cluscomp.distributed.search.candidates import best
from cluscomp.distributed.search.groups import ask
from cluscomp.distributed.search.shared import SharedAllowed
from cluscomp.indexes.filters.filterable import UNSAID
from cluscomp.indexes.filters.given import EVERYTHING, Given
from cluscomp.indexes.filters.searching import Answer, Found, Scope, search_scopes
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.sparse.index import SparseIndex
from cluscomp.indexes.sparse.searched import Finder, exactly
from cluscomp.indexes.stages.hits import no_hits
from cluscomp.vocabulary import KBeyond


class ShardedTerms(SparseIndex):
    """Segments are mapped for their ids; nothing else is read here."""

    def _allowed(self, together: Together[Any], given: Given) -> Any:
        return SharedAllowed.of(given)

    def _found(
        self,
        queries: Any,
        k: int,
        *,
        vocabulary: Sequence[str] | None = None,
        k_beyond: KBeyond = "fail",
        filter: Any = None,
        tenant: Any = UNSAID,
        wants_info: bool = False,
        finder: Finder = exactly,
    ) -> Answer:
        together, rows = self._together, self._rows(queries, vocabulary)
        k = self._checked_k(k, together.n_live, k_beyond if filter is None else "clip")
        self.pipeline.require_trained()
        is_plain = filter is None and not wants_info and self._schema.tenant is None and tenant is UNSAID
        if is_plain:
            hits = best(ask("terms", EVERYTHING, rows, k), len(rows), k) if k else no_hits(len(rows))
            return Answer(together, hits)

        def search(scope: Scope, most: int) -> Found:
            allowed: Any = scope.allowed
            some = rows[scope.queries]
            hits = best(ask("terms", allowed.given, some, most), len(some), most)
            return Found.of(hits, "direct", 0, allowed.n)

        scopes = self._scopes(together, filter, tenant, len(rows))
        return Answer(together, *search_scopes(scopes, len(rows), k, together.n_live, search))
