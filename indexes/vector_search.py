"""Search of an index of single vectors, through all rows or those that pass a filter."""

from __future__ import annotations

import warnings
from typing import Any, Literal, NamedTuple, overload

import numpy as np

from cluscomp import checks
from cluscomp.errors import IncompleteResultsWarning
from cluscomp.indexes.base import StoredIndex
from cluscomp.indexes.filters.allowed import Allowed
from cluscomp.indexes.filters.filterable import UNSAID
from cluscomp.indexes.filters.info import SearchInfo
from cluscomp.indexes.filters.searching import Answer, Found, Scope, search_scopes
from cluscomp.indexes.filters.visited import visited_info
from cluscomp.indexes.segments.asked_ids import asked_positions
from cluscomp.indexes.segments.bounded import ByBound, Rerank, rerank_of
from cluscomp.indexes.segments.budget import PassingHits, search_passing
from cluscomp.indexes.segments.ids import TEXT
from cluscomp.indexes.segments.passing import Passing
from cluscomp.indexes.segments.rows import queries_of_dim
from cluscomp.indexes.segments.scoring import score_positions
from cluscomp.indexes.segments.search import search_segments
from cluscomp.indexes.segments.segment import Segment
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.stages.hits import Hits, no_hits
from cluscomp.vocabulary import MISSING, KBeyond, Missing


class Effort(NamedTuple):
    """How much of an index a search looks at, as `SearchedVectors.search` says."""

    nprobe: int
    refine_factor: Rerank
    max_nprobe: int | None


class SearchedVectors(StoredIndex[Segment]):
    """Base of `Index`."""

    # ---- search ----

    @overload
    def search(
        self,
        queries: Any,
        k: int,
        *,
        nprobe: int | None = None,
        refine_factor: int | str | None = None,
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
        nprobe: int | None = None,
        refine_factor: int | str | None = None,
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
        nprobe: int | None = None,
        refine_factor: int | str | None = None,
        k_beyond: KBeyond = "fail",
        filter: Any = None,
        tenant: Any = UNSAID,
        max_nprobe: int | None = None,
        return_info: bool = False,
    ) -> tuple[np.ndarray, np.ndarray] | tuple[np.ndarray, np.ndarray, SearchInfo]:
        """Find the k best rows for each query.

        Args:
            queries: (nq, dim), or (dim,) for one.
            k: hits a query, at least 1.
            nprobe: lists to visit, 1 to nlist; more is slower and finds more. None: `index.nprobe`. No effect
                on keys without lists.
            refine_factor: the rerank scores k * refine_factor candidates with the finer codes. None:
                `index.refine_factor`. No effect on keys without rerank. For codes with error bars (RaBitQ,
                SAQ) also "bound": finer codes are read from the highest upper bound on, until none that is
                left reaches the k-th score. A row counts as at most 1.9 error bars above its score, as 97.1
                of 100 rows of RaBitQ are ("bound(3)": 99.87 of 100). "certain": as many as can be, so that
                the hits are those of all rows of the lists by the finer codes, which are RFlat or
                Refine(RaBitQ8).
            k_beyond: where k is above len(index): "fail", or "clip", which returns len(index) hits. Of no
                effect with a filter, which may always leave fewer rows than k.
            filter: which rows may be found: a condition on attributes (text, or a dict of JSON values), ids,
                or a `Mask`; or a list with one of these, or None, for each query, in which conditions are
                dicts. Lists are visited until as many rows that pass have been scored as a search without a
                filter would score, and at least nprobe lists; all rows that pass are scored where they are
                no more than that.
            tenant: whose rows may be found, where the index has a tenant column; None: those of all.
            max_nprobe: lists that a search with a filter visits at most, at least nprobe. None: all.
            return_info: also return a `SearchInfo`.

        Returns:
            Scores (nq, k) float32, best first, and ids (nq, k), int64 or object array of str. Scores are
            inner products (ip), cosines (cosine) or NEGATIVE squared distances (l2), so that more is always
            better; equal scores are ordered by time of adding. Where the visited lists hold fewer than k
            rows, the rest is -inf with id -1 (None for text ids), and an IncompleteResultsWarning says how
            many. With a filter there are as many columns as the query with the most has hits, at most k: one
            that fewer rows pass has -inf and id -1 in the rest, without a warning.

        Raises:
            UsageError: k, nprobe, refine_factor or the filter cannot be used, or no tenant was said.
            NotTrainedError: the key has to learn first.
            DimensionError, DTypeError, NonFiniteError, TooLargeError: the queries, or a mask or ids, are
                wrong.
        """
        answer = self._found(
            queries, k, nprobe, refine_factor, k_beyond, filter, tenant,
            max_nprobe=max_nprobe, wants_info=return_info,
        )  # fmt: skip
        self._warn_if_incomplete(answer, nprobe)
        found = answer.hits.scores, answer.ids(self._id_kind)
        return found if not return_info or answer.info is None else (*found, answer.info)

    def score(
        self,
        queries: Any,
        ids: Any,
        *,
        finer: bool = True,
        missing: Missing = "fail",
        tenant: Any = UNSAID,
    ) -> np.ndarray:
        """Score rows by id, each as a search that visits all lists would.

        Only these rows are read. So candidates from elsewhere (a lexical index, another embedding) get the
        scores of this one.

        Args:
            queries: (nq, dim), or (dim,) for one.
            ids: m ids for all queries, or (nq, m), m for each query; those of one query are different from
                each other.
            finer: score by the finer codes of the rerank where the key has one, else by the codes.
            missing: "fail" where an id is not in the index, or "ignore" it: its score is -inf.
            tenant: whose rows, as for `get`.

        Returns:
            Scores (nq, m) float32, equal bits to those of a search.

        Raises:
            InputError: an id is not in the index.
            UsageError: no tenant was said.
            DuplicateIdError: an id is given twice for one query.
            UnknownKeyError: missing is unknown.
            NotTrainedError: the key has to learn first.
            DimensionError, DTypeError, NonFiniteError, TooLargeError: the queries or ids are wrong.
        """
        checks.one_of("missing", missing, MISSING)
        self.pipeline.require_trained()
        rows = self._queries(queries)
        together = self._visible(tenant)
        positions = asked_positions(together.segments, self._id_kind, ids, len(rows), missing)
        return score_positions(self.pipeline, together, rows, positions, finer=finer)

    # ---- inside ----

    def _scores_at(self, queries: Any, positions: np.ndarray) -> np.ndarray:
        """`score` of rows by position (nq, m); -inf for -1."""
        return score_positions(self.pipeline, self._together, self._queries(queries), positions)

    def _queries(self, queries: Any) -> np.ndarray:
        return queries_of_dim(queries, self.dim, self.pipeline.largest)

    def _found(
        self,
        queries: Any,
        k: int,
        nprobe: int | None = None,
        refine_factor: int | str | None = None,
        k_beyond: KBeyond = "fail",
        filter: Any = None,
        tenant: Any = UNSAID,
        *,
        max_nprobe: int | None = None,
        wants_info: bool = False,
    ) -> Answer:
        """`search`, by position and without a warning."""
        together = self._together
        rows = queries_of_dim(queries, self.dim, self.pipeline.largest)
        is_plain = filter is None and self._schema.tenant is None and tenant is UNSAID
        k = self._checked_k(k, together.n_live, k_beyond if filter is None else "clip")
        effort = Effort(
            self._lists_to_visit(nprobe),
            self.refine_factor if refine_factor is None else rerank_of(refine_factor),
            None if max_nprobe is None else self._checked_nprobe(max_nprobe, "max_nprobe"),
        )
        self.pipeline.require_trained()
        by_bound = isinstance(effort.refine_factor, ByBound)
        if not is_plain or (wants_info and (k == 0 or max_nprobe is not None or by_bound)):
            return self._search_part(together, rows, k, effort, filter, tenant)
        if k == 0:
            return Answer(together, no_hits(rows.shape[0]))
        if not wants_info:
            return Answer(together, self._search_all(together, rows, k, effort))
        seen: list[np.ndarray] = []
        hits = self._search_all(together, rows, k, effort, seen)
        lists = np.concatenate(seen) if seen else None
        return Answer(together, hits, visited_info(together, self.spec.nlist, lists, len(rows)))

    def _search_all(
        self,
        together: Together[Segment],
        queries: np.ndarray,
        k: int,
        effort: Effort,
        seen: list[np.ndarray] | None = None,
    ) -> Hits:
        """A search without a filter. seen: gets the lists that were visited."""
        return search_segments(self.pipeline, together, queries, k, effort.nprobe, effort.refine_factor, seen)

    def _search_passing(
        self, together: Together[Segment], allowed: Allowed, queries: np.ndarray, k: int, effort: Effort
    ) -> PassingHits:
        """A search among rows that pass a filter."""
        passing = allowed.made.get("passing")
        if passing is None:
            passing = allowed.made["passing"] = Passing(self.pipeline, together, allowed.rows)
        return search_passing(passing, queries, k, **effort._asdict())

    def _search_part(
        self,
        together: Together[Segment],
        queries: np.ndarray,
        k: int,
        effort: Effort,
        filter: Any,
        tenant: Any,
    ) -> Answer:
        def search(scope: Scope, most: int) -> Found:
            found = self._search_passing(together, scope.allowed, queries[scope.queries], most, effort)
            path = np.where(found.direct, "direct", "lists").astype(object)
            return Found(found.hits, path, found.probed, found.rows_scored, found.rows_read)

        scopes = self._scopes(together, filter, tenant, len(queries))
        return Answer(together, *search_scopes(scopes, len(queries), k, together.n_live, search))

    def _lists_to_visit(self, nprobe: int | None) -> int:
        if nprobe is not None:
            return self._checked_nprobe(nprobe)
        return 1 if self.spec.partition is None else self.nprobe

    def _warn_if_incomplete(self, answer: Answer, nprobe: int | None) -> None:
        positions = answer.hits.positions
        last = positions[:, -1:]  # missing hits come last
        if last.size and (last.item() if last.size == 1 else last.min()) >= 0:
            return
        found, k = (positions >= 0).sum(axis=1), positions.shape[1]
        wanted = k if answer.info is None else np.minimum(answer.info.allowed, k)
        short = found[found < wanted]
        if short.size:
            warnings.warn(
                f"{short.size} of {len(found)} queries found fewer than k={np.max(wanted)} rows (fewest: "
                f"{short.min()}), because nprobe={self._lists_to_visit(nprobe)} of {self.spec.nlist} lists "
                f"hold no more; missing hits have id {'None' if self._id_kind == TEXT else -1} and score "
                "-inf. Raise nprobe, or ask for a smaller k",
                IncompleteResultsWarning,
                stacklevel=4,
            )
