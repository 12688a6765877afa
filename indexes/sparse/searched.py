"""How every index of weighted terms is searched: rows of any form, filters, and what differs by kind."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from cluscomp.indexes.base import StoredIndex
from cluscomp.indexes.filters.filterable import UNSAID
from cluscomp.indexes.filters.searching import Answer, Found, Scope, search_scopes
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.sparse.named_terms import NamedTerms
from cluscomp.indexes.sparse.pipeline import TermPipeline
from cluscomp.indexes.sparse.search import AskedTerms, Find, Terms, search_terms
from cluscomp.indexes.sparse.segment import TermSegment
from cluscomp.indexes.stages.hits import no_hits
from cluscomp.indexes.uncopied import Uncopied
from cluscomp.terms import TermRows, as_term_rows
from cluscomp.vocabulary import KBeyond

DIRECT, LISTS = "direct", "lists"


class Way(NamedTuple):
    """How segments are searched. path: as `SearchInfo` names it. scored: after the search, rows (nq,) that
    were scored; None: all that pass.
    """

    find: Find[Any]
    path: str
    scored: Callable[[], np.ndarray] | None = None


Finder = Callable[[int | None], Way]
"""The way to search among so many rows that pass; None where all do."""


def exactly(n_passing: int | None) -> Way:
    """All rows count."""

    def find(segment: TermSegment, terms: Terms, k: int) -> tuple[np.ndarray, np.ndarray]:
        return segment.native.search(*terms, k, segment.skip_bits)

    return Way(find, DIRECT)


class SearchedTerms(Uncopied, StoredIndex[NamedTerms]):
    """Base of the indexes of weighted terms."""

    pipeline: TermPipeline
    _by_position = False  # whether `search` returns an Answer

    def _search(
        self,
        queries: Any,
        k: int,
        vocabulary: Sequence[str] | None,
        k_beyond: KBeyond,
        filter: Any,
        tenant: Any,
        return_info: bool,
        finder: Finder,
    ) -> Any:
        """`search`, with what searches one segment."""
        answer = self._found(
            queries,
            k,
            vocabulary=vocabulary,
            k_beyond=k_beyond,
            filter=filter,
            tenant=tenant,
            wants_info=return_info,
            finder=finder,
        )
        if self._by_position:
            return answer
        found = answer.hits.scores, answer.ids(self._id_kind)
        return found if not return_info or answer.info is None else (*found, answer.info)

    def _found_by_search(self, queries: Any, k: int, **options: Any) -> Answer:
        """What `search` finds with these options, by position."""
        asked: Any = copy.copy(self)
        asked._by_position = True
        answer: Answer = asked.search(queries, k, **options)
        return answer

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
        """`_search`, by position."""
        together = self._together
        asked = self._asked(queries, vocabulary)
        k = self._checked_k(k, together.n_live, k_beyond if filter is None else "clip")
        self.pipeline.require_trained()
        is_plain = filter is None and not wants_info and self._schema.tenant is None and tenant is UNSAID
        if not is_plain:
            return self._search_part(together, asked, k, filter, tenant, finder)
        if k == 0:
            return Answer(together, no_hits(len(asked)))
        hits = search_terms(together.segments, asked, k, finder(None).find)
        return Answer(together, hits)

    def _search_part(
        self,
        together: Together[NamedTerms],
        asked: AskedTerms,
        k: int,
        filter: Any,
        tenant: Any,
        finder: Finder,
    ) -> Answer:
        def search(scope: Scope, most: int) -> Found:
            segments, n = scope.allowed.together.segments, scope.allowed.n
            way = finder(None if n == together.n_live else n)
            hits = search_terms(segments, asked.some(scope.queries), most, way.find)
            found = Found.of(hits, way.path, 0, n)
            return found if way.scored is None else found._replace(rows_scored=way.scored())

        scopes = self._scopes(together, filter, tenant, len(asked))
        return Answer(together, *search_scopes(scopes, len(asked), k, together.n_live, search))

    def _asked(self, queries: Any, vocabulary: Sequence[str] | None = None) -> AskedTerms:
        """Queries as `_found` and `_scores_at` take them, too: both then look terms up once."""
        if isinstance(queries, AskedTerms):
            return queries
        return AskedTerms(self.pipeline, self._rows(queries, vocabulary))

    def _rows(self, rows: Any, vocabulary: Sequence[str] | None) -> TermRows:
        return as_term_rows(
            rows, vocabulary=vocabulary, split=self._split if self.pipeline.counts_words else None
        )

    def _split(self, texts: Sequence[str]) -> TermRows:
        from cluscomp.encoders.words import WordEncoder, word_encoder

        encoder = word_encoder(self._encoder) if self._encoder is not None else WordEncoder()
        if self._encoder is None:
            self.encoder = encoder.info
        return encoder.encode_documents(texts)
