"""Search of an index of single vectors, through all rows or those that pass a filter."""

from __future__ import annotations

import warnings
from typing import Any, Literal, NamedTuple, overload

import numpy as np

from cluscomp import checks
from cluscomp.errors import IncompleteResultsWarning
from cluscomp.indexes.base import StoredIndex
from cluscomp.indexes.filters.filterable import UNSAID
from cluscomp.indexes.filters.info import SearchInfo
from cluscomp.indexes.filters.searching import Found, Scope, search_scopes
from cluscomp.indexes.filters.visited import visited_info
from cluscomp.indexes.segments.budget import search_passing
from cluscomp.indexes.segments.ids import INT, TEXT
from cluscomp.indexes.segments.passing import Passing
from cluscomp.indexes.segments.rows import as_matrix, rows_of_dim
from cluscomp.indexes.segments.search import search_segments
from cluscomp.indexes.segments.segment import Segment
from cluscomp.indexes.segments.together import Together
from cluscomp.vocabulary import KBeyond


class Effort(NamedTuple):
    """How much of an index a search looks at, as `SearchedVectors.search` says."""

    nprobe: int
    refine_factor: int
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
        refine_factor: int | None = None,
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
        refine_factor: int | None = None,
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
        refine_factor: int | None = None,
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
                `index.refine_factor`. No effect on keys without rerank.
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
        together = self._together
        rows = rows_of_dim(as_matrix(queries), self.dim, "queries", largest=self.pipeline.largest)
        is_plain = filter is None and self._schema.tenant is None and tenant is UNSAID
        k = self._checked_k(k, together.n_live, k_beyond if filter is None else "clip")
        effort = Effort(
            self._lists_to_visit(nprobe),
            self.refine_factor
            if refine_factor is None
            else checks.integer("refine_factor", refine_factor, 1),
            None if max_nprobe is None else self._checked_nprobe(max_nprobe, "max_nprobe"),
        )
        self.pipeline.require_trained()
        if not is_plain or (return_info and (k == 0 or max_nprobe is not None)):
            return self._search_part(together, rows, k, effort, filter, tenant, return_info)
        if k == 0:
            return self._no_hits(rows.shape[0])
        seen: list[np.ndarray] = []
        hits = search_segments(
            self.pipeline,
            together,
            rows,
            k,
            nprobe=effort.nprobe,
            refine_factor=effort.refine_factor,
            seen=seen,
        )
        self._warn_if_incomplete(hits.positions, k, effort.nprobe)
        ids = together.take_ids(hits.positions, self._id_kind or INT)
        if not return_info:
            return hits.scores, ids
        lists = np.concatenate(seen) if seen else None
        return hits.scores, ids, visited_info(together, self.spec.nlist, lists, len(rows))

    # ---- inside ----

    def _search_part(
        self,
        together: Together[Segment],
        queries: np.ndarray,
        k: int,
        effort: Effort,
        filter: Any,
        tenant: Any,
        return_info: bool,
    ) -> tuple[np.ndarray, np.ndarray] | tuple[np.ndarray, np.ndarray, SearchInfo]:
        def search(scope: Scope, most: int) -> Found:
            passing = scope.allowed.made.get("passing")
            if passing is None:
                passing = Passing(self.pipeline, together, scope.allowed.rows)
                scope.allowed.made["passing"] = passing
            found = search_passing(passing, queries[scope.queries], most, **effort._asdict())
            path = np.where(found.direct, "direct", "lists").astype(object)
            return Found(found.hits, path, found.probed, found.rows_scored)

        scopes = self._scopes(together, filter, tenant, len(queries))
        hits, info = search_scopes(scopes, len(queries), k, together.n_live, search)
        self._warn_if_incomplete(hits.positions, np.minimum(info.allowed, k), effort.nprobe)
        ids = together.take_ids(hits.positions, self._id_kind or INT)
        return (hits.scores, ids, info) if return_info else (hits.scores, ids)

    def _lists_to_visit(self, nprobe: int | None) -> int:
        if nprobe is not None:
            return self._checked_nprobe(nprobe)
        return 1 if self.spec.partition is None else self.nprobe

    def _warn_if_incomplete(self, positions: np.ndarray, wanted: np.ndarray | int, nprobe: int) -> None:
        last = positions[:, -1:]  # missing hits come last
        if last.size and (last.item() if last.size == 1 else last.min()) >= 0:
            return
        found = (positions >= 0).sum(axis=1)
        short = found[found < wanted]
        if short.size:
            warnings.warn(
                f"{short.size} of {len(found)} queries found fewer than k={np.max(wanted)} rows (fewest: "
                f"{short.min()}), because nprobe={nprobe} of {self.spec.nlist} lists hold no more; missing "
                f"hits have id {'None' if self._id_kind == TEXT else -1} and score -inf. "
                "Raise nprobe, or ask for a smaller k",
                IncompleteResultsWarning,
                stacklevel=4,
            )
