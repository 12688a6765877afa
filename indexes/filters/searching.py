"""A search in which each query has rows of its own that it may find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cluscomp.indexes.filters.allowed import Allowed
from cluscomp.indexes.filters.info import SearchInfo
from cluscomp.indexes.segments.ids import INT
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.stages.hits import Hits


@dataclass(frozen=True)
class Scope:
    """Queries that may find the same rows. queries: their numbers."""

    queries: np.ndarray
    allowed: Allowed


class Found(NamedTuple):
    """Hits of some queries, and (n,) arrays of path, lists, rows scored and read, as in `SearchInfo`."""

    hits: Hits
    path: np.ndarray
    probed: np.ndarray
    rows_scored: np.ndarray
    rows_read: np.ndarray | None = None

    @classmethod
    def of(cls, hits: Hits, path: str, probed: int, rows_scored: int) -> Found:
        """Hits of queries that took the same way."""
        n = len(hits.scores)
        return cls(hits, np.full(n, path, dtype=object), np.full(n, probed), np.full(n, rows_scored))


class Answer(NamedTuple):
    """Hits of a search by position, in the segments that it read. info: of one in which only some rows may be
    found, else None.
    """

    together: Together[Any]
    hits: Hits
    info: SearchInfo | None = None

    def ids(self, kind: str | None) -> np.ndarray:
        """Ids of the hits. kind: of the ids in the index."""
        return self.together.take_ids(self.hits.positions, kind or INT)


Search = Callable[[Scope, int], Found]
"""Searches for the k best rows, of which at least so many pass."""


def search_scopes(
    scopes: Sequence[Scope], n_queries: int, k: int, n_live: int, search: Search
) -> tuple[Hits, SearchInfo]:
    """The k best rows of each query, or all that pass where these are fewer: as many columns as the query
    with the most has hits. Missing hits have score -inf and position -1.
    """
    if len(scopes) == 1 and scopes[0].allowed.n and n_queries:
        return _one_scope(scopes[0], k, n_live, search)
    width = max((min(k, scope.allowed.n) for scope in scopes), default=0)
    scores = np.full((n_queries, width), -np.inf, dtype=np.float32)
    positions = np.full((n_queries, width), -1, dtype=np.int64)
    allowed, probed, scored = (np.zeros(n_queries, dtype=np.int64) for _ in range(3))
    path = np.full(n_queries, "empty", dtype=object)
    read: np.ndarray | None = None
    for scope in scopes:
        n = scope.allowed.n
        allowed[scope.queries] = n
        if n == 0 or not scope.queries.size:
            continue
        found, most = search(scope, min(k, n)), min(k, n)
        scores[scope.queries, :most], positions[scope.queries, :most] = (
            found.hits.scores,
            found.hits.positions,
        )
        path[scope.queries], probed[scope.queries] = found.path, found.probed
        scored[scope.queries] = found.rows_scored
        if found.rows_read is not None:
            read = np.zeros(n_queries, dtype=np.int64) if read is None else read
            read[scope.queries] = found.rows_read
    info = SearchInfo(
        allowed=allowed,
        selectivity=allowed / max(1, n_live),
        path=path,
        probed=probed,
        rows_scored=scored,
        complete=scored == allowed,
        unknown_ids=sum(scope.allowed.n_unknown for scope in scopes),
        rows_read=read,
    )
    return Hits(scores, positions), info


def _one_scope(scope: Scope, k: int, n_live: int, search: Search) -> tuple[Hits, SearchInfo]:
    """As `search_scopes` where all queries may find the same rows, of which there are some."""
    n, found = scope.allowed.n, search(scope, min(k, scope.allowed.n))
    allowed = np.full(len(found.path), n)
    info = SearchInfo(
        allowed=allowed,
        selectivity=allowed / max(1, n_live),
        path=found.path,
        probed=found.probed,
        rows_scored=found.rows_scored,
        complete=found.rows_scored == n,
        unknown_ids=scope.allowed.n_unknown,
        rows_read=found.rows_read,
    )
    return found.hits, info
