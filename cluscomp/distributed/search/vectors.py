"""The driver of a search of single vectors over shards: `Index`, whose scans are those of the shards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.distributed.search.candidates import best, best_of_chosen, in_rows
from cluscomp.distributed.search.groups import ask, asked_parts, lost_shards
from cluscomp.distributed.search.owners import ask_owners, lists_held
from cluscomp.distributed.search.shared import SharedAllowed
from cluscomp.indexes.filters.given import Given
from cluscomp.indexes.filters.searching import Answer
from cluscomp.indexes.segments.bounded import ByBound, Rerank, rescore_by_bound
from cluscomp.indexes.segments.budget import PassingHits, Visits, search_passing
from cluscomp.indexes.segments.search import probes_of
from cluscomp.indexes.segments.segment import Segment
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.stages.hits import Hits
from cluscomp.indexes.stages.ivf import Probes
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.vector_search import Effort, SearchedVectors

BLOCK = 256
"""Queries that shards get at a time."""


class ShardedVectors(SearchedVectors):
    """Segments are mapped for their ids, and for the finer codes of a rerank by error bars; nothing else is
    read here.
    """

    def _allowed(self, together: Together[Any], given: Given) -> Any:
        return SharedAllowed.of(given)

    def _warn_if_incomplete(self, answer: Answer, nprobe: int | None) -> None:
        if not lost_shards():  # which is said elsewhere
            super()._warn_if_incomplete(answer, nprobe)

    def _search_all(
        self,
        together: Together[Segment],
        queries: np.ndarray,
        k: int,
        effort: Effort,
        seen: list[np.ndarray] | None = None,
    ) -> Hits:
        found = []
        for block in iter_blocks(len(queries), BLOCK):
            base = self.pipeline.base_rows(queries[block])
            projected = self.pipeline.project_queries(base)
            probes = probes_of(self.pipeline, projected, effort.nprobe, seen)

            def scan(some: Any, finer: np.ndarray | None, most: int, rough: bool, bars: float) -> Any:
                rows, lists = projected[some], _of(probes, some)  # noqa: B023
                return _scanned(self.pipeline, together, rows, lists, finer, most, rough, bars)

            shards = _Scans(self.pipeline, together, scan, together.n_live)
            found.append(shards.best(base, k, effort.refine_factor)[0])
        return in_rows(found, k)

    def _search_passing(
        self, together: Together[Segment], allowed: Any, queries: np.ndarray, k: int, effort: Effort
    ) -> PassingHits:
        counted = _SharedPassing(self.pipeline, together, allowed)
        return search_passing(counted, queries, k, **effort._asdict(), best=_best_passing)


@dataclass(frozen=True)
class _Scans:
    """The shards as one index: scan(queries, base, most, rough, bars) asks them. n: rows that it can find."""

    pipeline: Pipeline
    together: Together[Segment]
    scan: Any
    n: int

    def best(self, base: np.ndarray, k: int, rerank: Rerank) -> tuple[Hits, np.ndarray]:
        """The best k, and the rows (nq,) that were read by error bars."""
        every, nq = slice(None), len(base)
        nothing = np.zeros(nq, dtype=np.int64)
        if isinstance(rerank, ByBound):
            rough = rerank.bars is not None

            def scan(some: np.ndarray, width: int, bars: float) -> Hits:
                return best(self.scan(some, None, width, rough, bars), len(base[some]), width)

            bounded = rescore_by_bound(self.pipeline, self.together, base, k, rerank, scan, self.n)
            return bounded.hits, bounded.rows_read
        if self.pipeline.refine is None:
            return best(self.scan(every, None, k, False, 0.0), nq, k), nothing
        chosen = min(k * rerank, self.n)
        return best_of_chosen(self.scan(every, base, chosen, True, 0.0), nq, chosen, k), nothing


class _SharedPassing:
    """`Counted` of rows that pass in all shards."""

    def __init__(self, pipeline: Pipeline, together: Together[Segment], allowed: SharedAllowed) -> None:
        self.pipeline, self.together, self.allowed, self.n = pipeline, together, allowed, allowed.n

    @property
    def in_lists(self) -> np.ndarray:
        return self.allowed.lists[0]

    @property
    def live_in_lists(self) -> np.ndarray:
        return self.allowed.lists[1]

    @property
    def filled(self) -> np.ndarray:
        return np.flatnonzero(self.in_lists).astype(np.int32)

    def least_budget(self, nprobe: int) -> int:
        sizes = self.live_in_lists
        smallest = np.partition(sizes, nprobe - 1)[:nprobe] if nprobe < len(sizes) else sizes
        return int(smallest.sum())


def _best_passing(
    passing: Any, base: np.ndarray, projected: np.ndarray, visits: Visits, k: int, rerank: Rerank
) -> tuple[Hits, np.ndarray]:
    allowed: SharedAllowed = passing.allowed

    def scan(some: Any, finer: np.ndarray | None, most: int, rough: bool, bars: float) -> Any:
        seen, rows = visits if isinstance(some, slice) else visits.of(some), projected[some]
        if passing.pipeline.partition is None:
            return ask("scan_passing", allowed.given, finer, rows, seen, most, rough, bars)

        def arguments(chosen: Any) -> Any:
            own = seen if isinstance(chosen, slice) else seen.of(chosen)
            base = None if finer is None else finer[chosen]
            return allowed.given, base, rows[chosen], own, most, rough, bars

        held = _held(passing.pipeline, passing.together)
        return ask_owners("scan_passing", held, seen.probes.lists, arguments)

    return _Scans(passing.pipeline, passing.together, scan, passing.n).best(base, k, rerank)


def _scanned(
    pipeline: Pipeline, together: Together[Segment], rows: np.ndarray, probes: Probes,
    finer: np.ndarray | None, most: int, rough: bool, bars: float,
) -> Any:  # fmt: skip
    """Scans of the shards that hold a list which a query visits. rows: queries behind the transforms. finer:
    the same for the rerank, None without one.
    """
    if pipeline.partition is None:
        return ask("scan", finer, rows, probes, most, rough, bars)

    def arguments(some: Any) -> Any:
        base = None if finer is None else finer[some]
        return base, rows[some], _of(probes, some), most, rough, bars

    return ask_owners("scan", _held(pipeline, together), probes.lists, arguments)


def _held(pipeline: Pipeline, together: Together[Segment]) -> np.ndarray:
    """Lists that each shard holds, counted once."""
    parts, nlist = asked_parts(), pipeline.spec.nlist
    held: np.ndarray = together.made("held", lambda: lists_held(together.segments, parts, nlist))
    return held


def _of(probes: Probes, some: Any) -> Probes:
    """What some of the queries visit; one row of lists is that of all."""
    if len(probes.lists) == 1:
        return probes
    return Probes(probes.lists[some], None if probes.products is None else probes.products[some])
