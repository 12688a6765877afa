"""Search of an index of documents of several vectors, through all of them or those that pass a filter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, overload

import numpy as np

from cluscomp.checks import integer, number, one_of
from cluscomp.errors import UsageError
from cluscomp.indexes.base import StoredIndex
from cluscomp.indexes.filters.filterable import UNSAID
from cluscomp.indexes.filters.info import SearchInfo
from cluscomp.indexes.filters.searching import Answer, Found, Scope, search_scopes
from cluscomp.indexes.multivector.counted_lists import counted_lists, vectors_in_lists
from cluscomp.indexes.multivector.queries import pruned, ragged_of_dim, require_query_vectors
from cluscomp.indexes.multivector.search import Effort, search_documents
from cluscomp.indexes.multivector.segment import DocumentSegment
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.stages.hits import Hits, no_hits
from cluscomp.multivector import Ragged
from cluscomp.vocabulary import CANDIDATES_BY, KBeyond

DEFAULT_CANDIDATES = 384
MOST_DIRECT = 65_536
"""Documents that are named to the scoring one by one, at most."""


class SearchedDocuments(StoredIndex[DocumentSegment]):
    """Base of `MultiVectorIndex`."""

    @property
    def nprobe(self) -> int:
        """Lists of a query vector that count in the choice of candidates: all until set. Saved."""
        return int(self.settings.get("nprobe", self.spec.nlist))

    @nprobe.setter
    def nprobe(self, value: int) -> None:
        self.settings["nprobe"] = self._checked_nprobe(value)

    @property
    def candidates(self) -> int:
        """Documents whose codes a search scores; 384 until set. Saved."""
        return int(self.settings.get("candidates", DEFAULT_CANDIDATES))

    @candidates.setter
    def candidates(self, value: int) -> None:
        self.settings["candidates"] = integer("candidates", value, 1)

    # ---- search ----

    @overload
    def search(
        self,
        queries: Any,
        k: int,
        *,
        lengths: Any = None,
        nprobe: int | None = None,
        candidates: int | None = None,
        refine_factor: int | None = None,
        candidates_by: str = "lists",
        softmax: float | None = None,
        keep: float | None = None,
        salience: Any = None,
        k_beyond: KBeyond = "fail",
        filter: Any = None,
        tenant: Any = UNSAID,
        max_nprobe: int | None = None,
        return_info: Literal[False] = False,
    ) -> tuple[np.ndarray, np.ndarray]: ...

    @overload
    def search(
        self,
        queries: Any,
        k: int,
        *,
        lengths: Any = None,
        nprobe: int | None = None,
        candidates: int | None = None,
        refine_factor: int | None = None,
        candidates_by: str = "lists",
        softmax: float | None = None,
        keep: float | None = None,
        salience: Any = None,
        k_beyond: KBeyond = "fail",
        filter: Any = None,
        tenant: Any = UNSAID,
        max_nprobe: int | None = None,
        return_info: Literal[True],
    ) -> tuple[np.ndarray, np.ndarray, SearchInfo]: ...

    def search(
        self,
        queries: Any,
        k: int,
        *,
        lengths: Any = None,
        nprobe: int | None = None,
        candidates: int | None = None,
        refine_factor: int | None = None,
        candidates_by: str = "lists",
        softmax: float | None = None,
        keep: float | None = None,
        salience: Any = None,
        k_beyond: KBeyond = "fail",
        filter: Any = None,
        tenant: Any = UNSAID,
        max_nprobe: int | None = None,
        return_info: bool = False,
    ) -> tuple[np.ndarray, np.ndarray] | tuple[np.ndarray, np.ndarray, SearchInfo]:
        """Find the k best documents for each query.

        With lists (IVF, BIVF), documents are first compared by the centroids of their vectors' lists, and the
        best of these candidates are scored by their codes. Without lists every document is scored.

        Args:
            queries: ragged, as documents are; (t, dim) without lengths is one query of t vectors.
            k: hits a query, at least 1.
            lengths: (nq,) vectors of each query, or None.
            nprobe: the lists of a query vector that count in the choice of candidates; all others count as
                the worst of them. None: `index.nprobe`, at first all.
            candidates: documents whose codes are scored, at least k. None: `index.candidates`.
            refine_factor: the rerank scores k * refine_factor hits with the finer codes. None:
                `index.refine_factor`.
            candidates_by: "lists", or "fde": the candidates are those of the largest inner products of
                MUVERA's fixed-dimensional encodings, also without lists (2560 bytes a document in memory,
                made of the codes at the first search).
            softmax: a temperature: k * refine_factor hits are scored again by the mean of a document's
                products with each query vector, weighted by their softmax, instead of the largest
                (pseudo-query embeddings). None: MaxSim.
            keep: search with this share of each query's vectors only, those of the largest salience
                (HPC-ColPali's pruning). None: all.
            salience: (N,) numbers, one a query vector, such as the attention that it gets; comes with keep.
            k_beyond: where k is above len(index): "fail", or "clip", which returns len(index) hits. Of no
                effect with a filter.
            filter: which documents may be found, as `Index.search` takes it. Candidates are chosen among
                those that pass; where these are no more than candidates, all of them are scored.
            tenant: whose documents may be found, where the index has a tenant column; None: those of all.
            max_nprobe: most lists of a query vector that count in a search with a filter, at least nprobe; as
                many count as hold so many vectors of documents that pass as the first nprobe hold of all.
                None: all.
            return_info: also return a `SearchInfo`.

        Returns:
            Scores (nq, k) float32, best first, and ids (nq, k), int64 or object array of str; equal scores
            are ordered by time of adding. With a filter there are as many columns as the query with the most
            has hits, at most k; one that fewer documents pass has -inf and id -1 (None) in the rest.

        Raises:
            UsageError: a parameter cannot be used, or no tenant was said.
            NotTrainedError: the key has to learn first.
            InputError: a query has no vectors.
            DimensionError, DTypeError, NonFiniteError, TooLargeError: the queries are wrong.
        """
        answer = self._found(
            queries,
            k,
            lengths=lengths,
            nprobe=nprobe,
            candidates=candidates,
            refine_factor=refine_factor,
            candidates_by=candidates_by,
            softmax=softmax,
            keep=keep,
            salience=salience,
            k_beyond=k_beyond,
            filter=filter,
            tenant=tenant,
            max_nprobe=max_nprobe,
            wants_info=return_info,
        )
        found = answer.hits.scores, answer.ids(self._id_kind)
        return found if not return_info or answer.info is None else (*found, answer.info)

    # ---- inside ----

    def _found(
        self,
        queries: Any,
        k: int,
        *,
        lengths: Any = None,
        nprobe: int | None = None,
        candidates: int | None = None,
        refine_factor: int | None = None,
        candidates_by: str = "lists",
        softmax: float | None = None,
        keep: float | None = None,
        salience: Any = None,
        k_beyond: KBeyond = "fail",
        filter: Any = None,
        tenant: Any = UNSAID,
        max_nprobe: int | None = None,
        wants_info: bool = False,
    ) -> Answer:
        """`search`, by position."""
        together = self._together
        asked = ragged_of_dim(queries, lengths, self.dim, "queries", largest=self.pipeline.largest)
        require_query_vectors(asked)
        asked = pruned(asked, keep, salience)
        is_plain = filter is None and not wants_info and self._schema.tenant is None and tenant is UNSAID
        k = self._checked_k(k, together.n_live, k_beyond if filter is None else "clip")
        effort = Effort(
            self.candidates if candidates is None else integer("candidates", candidates, 1),
            self.nprobe if nprobe is None else self._checked_nprobe(nprobe),
            self.refine_factor if refine_factor is None else integer("refine_factor", refine_factor, 1),
            by_fde=one_of("candidates_by", candidates_by, CANDIDATES_BY) == "fde",
            softmax=None if softmax is None else number("softmax", softmax, above=0),
        )
        most = self.spec.nlist if max_nprobe is None else self._checked_nprobe(max_nprobe, "max_nprobe")
        if max_nprobe is not None and most < effort.nprobe:
            raise UsageError(f"max_nprobe={most} is below nprobe={effort.nprobe}; raise it, or lower nprobe")
        self.pipeline.require_trained()
        if not is_plain:
            return self._search_part(together, asked, k, effort, most, filter, tenant)
        if k == 0:
            return Answer(together, no_hits(len(asked)))
        return Answer(together, self._search_together(together, asked, k, effort))

    def _search_together(
        self, together: Together[DocumentSegment], queries: Ragged, k: int, effort: Effort
    ) -> Hits:
        """Best k of the documents that are not deleted."""
        return search_documents(self.pipeline, together, queries, k, effort)

    def _vectors_in_lists(self, together: Together[DocumentSegment]) -> np.ndarray:
        """Vectors (nlist,) of documents that are not deleted, in each list."""
        return vectors_in_lists(together, self.spec.nlist)

    def _search_part(
        self,
        together: Together[DocumentSegment],
        queries: Ragged,
        k: int,
        effort: Effort,
        most: int,
        filter: Any,
        tenant: Any,
    ) -> Answer:
        def search(scope: Scope, wanted: int) -> Found:
            some = queries.take(scope.queries)
            return self._search_scope(together, scope, some, wanted, effort, most)

        scopes = self._scopes(together, filter, tenant, len(queries))
        return Answer(together, *search_scopes(scopes, len(queries), k, together.n_live, search))

    def _search_scope(
        self,
        together: Together[DocumentSegment],
        scope: Scope,
        queries: Ragged,
        k: int,
        effort: Effort,
        most: int,
    ) -> Found:
        is_scored_again = self.pipeline.refine is not None or effort.softmax is not None
        n, passing = scope.allowed.n, scope.allowed.together
        chosen = max(effort.candidates, k * effort.refine_factor if is_scored_again else k)
        has_choice = effort.by_fde or self.pipeline.partition is not None
        everything = n <= chosen or not has_choice
        effort = replace(effort, direct=n <= min(chosen, MOST_DIRECT))
        if effort.direct or effort.by_fde or not has_choice:
            hits = self._search_together(passing, queries, k, effort)
            return Found.of(hits, "direct" if everything else "lists", 0, n if everything else chosen)
        counted = counted_lists(
            self.pipeline, together, passing, queries, effort.nprobe, most, self._vectors_in_lists
        )
        scores = np.empty((len(queries), k), dtype=np.float32)
        positions = np.empty((len(queries), k), dtype=np.int64)
        for nprobe in np.unique(counted):
            some = np.flatnonzero(counted == nprobe)
            wider = replace(effort, nprobe=int(nprobe))
            hits = self._search_together(passing, queries.take(some), k, wider)
            scores[some], positions[some] = hits.scores, hits.positions
        found = Found.of(
            Hits(scores, positions), "direct" if everything else "lists", 0, n if everything else chosen
        )
        return found._replace(probed=counted)
