"""Search among rows that pass a condition: lists are visited until a budget of passing rows is spent.

The budget of a query is the number of rows that its search without a condition reads: those of the first
`nprobe` lists that are not deleted. Where no more rows pass than that, all of them are scored, whatever list
they are in. Else lists are visited in the order of their centroids, those without a passing row skipped,
until `nprobe` of them have been seen and the rows that passed are as many as the budget. So a condition never
costs recall, however few rows pass and wherever they lie, and a condition that all rows pass gives the bits
of a search without one. (Stopping when k are found finds k rows, not the nearest.)

Budgets count the rows of all segments together: results do not depend on how rows were added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks
from cluscomp.errors import UsageError
from cluscomp.indexes.segments.bounded import ByBound, Rerank, rescore_by_bound
from cluscomp.indexes.segments.gathering import stored_lists
from cluscomp.indexes.segments.passing import Passing
from cluscomp.indexes.segments.rerank import rescore
from cluscomp.indexes.segments.search import queries_at_once
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.stages.hits import Hits, padded
from cluscomp.indexes.stages.ivf import Probes
from cluscomp.indexes.stages.pipeline import Pipeline

_LIST_SCORES = 1 << 22  # of the queries whose lists are chosen at once


class Counted(Protocol):
    """What the choice of lists has to know of rows that pass: how many there are, in all and in each list."""

    pipeline: Pipeline
    together: Together[Any]
    n: int

    @property
    def in_lists(self) -> np.ndarray: ...

    @property
    def live_in_lists(self) -> np.ndarray: ...

    @property
    def filled(self) -> np.ndarray: ...

    def least_budget(self, nprobe: int) -> int: ...


@dataclass(frozen=True)
class Visits:
    """What the queries of one search visit.

    probes: lists with passing rows, -1 elsewhere. probed: (nq,) int64 lists read. rows_scored: (nq,) int64
    passing rows in them. direct: (nq,) bool: all passing rows, since they are no more than the budget.
    """

    probes: Probes
    probed: np.ndarray
    rows_scored: np.ndarray
    direct: np.ndarray

    def of(self, queries: np.ndarray) -> Visits:
        """Those of some queries."""
        products = None if self.probes.products is None else self.probes.products[queries]
        probes = Probes(self.probes.lists[queries], products)
        return Visits(probes, self.probed[queries], self.rows_scored[queries], self.direct[queries])


@dataclass(frozen=True)
class PassingHits:
    """Hits among passing rows, (nq, k), and per query what was read for them, as in `Visits`.

    exhausted: (nq,) bool: every passing row was scored, so that the hits are the best by the codes.
    rows_read: (nq,) int64 rows that a rerank by error bars scored again, None without one.
    """

    hits: Hits
    probed: np.ndarray
    rows_scored: np.ndarray
    direct: np.ndarray
    exhausted: np.ndarray
    rows_read: np.ndarray | None = None


Best = Callable[[Any, np.ndarray, np.ndarray, Visits, int, Rerank], tuple[Hits, np.ndarray]]
"""(passing, base, projected, visits, k, refine_factor): the best k rows in the lists visited, and the rows
(nq,) that were read by error bars.
"""


def search_passing(
    passing: Counted,
    queries: np.ndarray,
    k: int,
    *,
    nprobe: int,
    refine_factor: Rerank,
    max_nprobe: int | None = None,
    best: Best | None = None,
) -> PassingHits:
    """Best k passing rows of each query.

    Args:
        passing: the rows that pass.
        queries: (nq, dim) of kernel dtype, checked.
        k: hits a query, at least 1; where fewer rows pass, the last columns are missing.
        nprobe: lists that a search without a condition visits, 1 to nlist.
        refine_factor: the rerank scores k * refine_factor passing rows, or those whose error bars reach.
        max_nprobe: most lists that a query sees where more rows pass than its budget; None for no bound.
        best: reads the rows that are visited; None: those of the segments here.

    Returns:
        Hits, and what was read.

    Raises:
        UsageError: max_nprobe is below nprobe.
        CorruptIndexError: the lists do not hold each row once.
    """
    if max_nprobe is not None and max_nprobe < nprobe:
        raise UsageError(f"max_nprobe={max_nprobe} is below nprobe={nprobe}; raise it, or lower nprobe")
    pipeline = passing.pipeline
    at_once = queries_at_once(pipeline, passing.together.n_rows, len(queries), nprobe)
    at_once = min(at_once, max(1, _LIST_SCORES // pipeline.spec.nlist))
    wanted = min(k, passing.n)
    by_bound = isinstance(refine_factor, ByBound)
    read: Best = best or _best
    found, visits, rows = [], [], [np.empty(0, dtype=np.int64)]
    for block in iter_blocks(len(queries), at_once):
        base = pipeline.base_rows(queries[block])
        projected = pipeline.project_queries(base)
        visits.append(visits_of(passing, projected, nprobe, max_nprobe))
        if wanted:
            hits, rows_read = read(passing, base, projected, visits[-1], wanted, refine_factor)
            found.append(hits)
            rows.append(rows_read)
    nothing = np.empty((len(queries), 0), dtype=np.int64)
    hits = (
        Hits(np.concatenate([h.scores for h in found]), np.concatenate([h.positions for h in found]))
        if found
        else Hits(nothing.astype(np.float32), nothing)
    )
    probed, scored, direct = (
        np.concatenate([getattr(v, name) for v in visits] or [np.empty(0, dtype=dtype)])
        for name, dtype in (("probed", np.int64), ("rows_scored", np.int64), ("direct", bool))
    )
    rows_read = np.concatenate(rows) if wanted else np.zeros(len(queries), dtype=np.int64)
    return PassingHits(
        padded(hits, k), probed, scored, direct, scored == passing.n, rows_read if by_bound else None
    )


def visits_of(passing: Counted, projected: np.ndarray, nprobe: int, max_nprobe: int | None = None) -> Visits:
    """The lists that each query visits, by the rule above. projected: queries behind the transforms."""
    nq, partition = len(projected), passing.pipeline.partition
    if partition is None or passing.n == 0:
        return _all_rows(passing, nq, np.zeros(int(passing.n > 0), dtype=np.int32))
    adds_products = passing.pipeline.residual_centroids is not None and partition.scores_are_products
    if not adds_products and passing.n <= passing.least_budget(nprobe):
        return _all_rows(passing, nq, passing.filled)
    first = None
    if nprobe == 1:  # decided more exactly than by scores
        first = np.ascontiguousarray(partition.probe(projected, 1).lists[:, 0])
    lists, products, *read = native.walk_lists(
        partition.list_scores(projected),
        passing.live_in_lists,
        passing.in_lists,
        nprobe,
        partition.nlist if max_nprobe is None else min(max_nprobe, partition.nlist),
        first,
        adds_products,
    )
    return Visits(Probes(lists, products), *read)


def _all_rows(passing: Counted, nq: int, lists: np.ndarray) -> Visits:
    """Visits to all lists with passing rows."""
    probes = Probes(np.ascontiguousarray(np.broadcast_to(lists, (nq, len(lists)))))
    return Visits(probes, np.full(nq, len(lists)), np.full(nq, passing.n), np.ones(nq, dtype=bool))


def _best(
    passing: Passing, base: np.ndarray, projected: np.ndarray, visits: Visits, k: int, refine_factor: Rerank
) -> tuple[Hits, np.ndarray]:
    """Hits, and rows that were read by error bars."""
    pipeline, nothing = passing.pipeline, np.zeros(len(base), dtype=np.int64)
    if isinstance(refine_factor, ByBound):
        rough = refine_factor.bars is not None

        def scan(some: np.ndarray, width: int, bars: float) -> Hits:
            return scan_visited(passing, projected[some], visits.of(some), width, rough=rough, bars=bars)

        bounded = rescore_by_bound(pipeline, passing.together, base, k, refine_factor, scan, passing.n)
        return bounded.hits, bounded.rows_read
    if pipeline.refine is None:
        return scan_visited(passing, projected, visits, k, rough=False), nothing
    pool = min(k * refine_factor, passing.n)
    if pool == passing.n and bool((visits.rows_scored == passing.n).all()):  # no choice is left to the codes
        candidates = np.ascontiguousarray(np.broadcast_to(passing.positions, (len(base), pool)))
    else:
        candidates = scan_visited(passing, projected, visits, pool, rough=True).positions
    return rescore(pipeline, passing.together, base, candidates, k), nothing


def scan_visited(
    passing: Passing, projected: np.ndarray, visits: Visits, k: int, *, rough: bool, bars: float = 0.0
) -> Hits:
    """Best k by the codes of the rows that pass, in the lists visited."""
    pipeline = passing.pipeline
    codec, metric = pipeline.codec, pipeline.score_metric
    takes = passing.pays_to_take(_read_in_vain(passing, visits))
    nprobe = min(visits.probes.lists.shape[1], pipeline.spec.nlist)
    lists = passing.taken.lists if takes else stored_lists(pipeline, passing.skipping, len(projected), nprobe)
    prepared = codec.prepare(projected, metric)
    scores, found = codec.scan(prepared, lists, visits.probes, k, metric, rough, bars)
    return Hits(scores, passing.taken.positions_of(found) if takes else found)


def _read_in_vain(passing: Passing, visits: Visits) -> float:
    """Rows that a scan by bits reads and one of the passing rows alone does not, in units of the latter.

    A prescreen lets a scan by bits read fewer bytes of each row.
    """
    pipeline = passing.pipeline
    lists = visits.probes.lists
    read = np.where(lists >= 0, passing.stored_in_lists[np.maximum(lists, 0)], 0).sum()
    codec = pipeline.codec
    share = min(1.0, (codec.dim + 16) / codec.row_bytes) if pipeline.spec.has_prescreen else 1.0
    return float(share * read - visits.rows_scored.sum())
