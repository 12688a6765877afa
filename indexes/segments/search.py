"""Search over segments: probe lists, scan their codes, score the best again with finer codes.

Queries are prepared once and scanned by one call of the kernels, however many segments there are. Results are
ordered by score descending, then by position ascending (order of adding), for any number of threads, any
batch of queries and any division into segments.
"""

from __future__ import annotations

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.indexes.segments.bounded import ByBound, Rerank, rescore_by_bound
from cluscomp.indexes.segments.gathering import stored_lists
from cluscomp.indexes.segments.rerank import rescore
from cluscomp.indexes.segments.segment import Segment
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.stages.hits import Hits
from cluscomp.indexes.stages.ivf import EVERYTHING, Probes
from cluscomp.indexes.stages.pipeline import Pipeline

_MIN_QUERIES, _MAX_QUERIES = 16, 1024
_PRODUCTS_PER_BLOCK = 1 << 35  # by 8-bit codes: about a second on two cores


def search_segments(
    pipeline: Pipeline,
    together: Together[Segment],
    queries: np.ndarray,
    k: int,
    *,
    nprobe: int,
    refine_factor: Rerank,
    seen: list[np.ndarray] | None = None,
) -> Hits:
    """Best k rows of each query (nq, dim) of kernel dtype; k is at most the number of rows not deleted.

    seen: gets the lists (n, nprobe) that each block of queries visits, if there are lists.
    """
    at_once = queries_at_once(pipeline, together.n_rows, queries.shape[0], nprobe)
    if queries.shape[0] <= at_once:
        return _search_block(pipeline, together, queries, k, nprobe, refine_factor, seen)
    scores = np.empty((queries.shape[0], k), dtype=np.float32)
    positions = np.empty((queries.shape[0], k), dtype=np.int64)
    for block in iter_blocks(queries.shape[0], at_once):
        hits = _search_block(pipeline, together, queries[block], k, nprobe, refine_factor, seen)
        scores[block], positions[block] = hits.scores, hits.positions
    return Hits(scores, positions)


def queries_at_once(pipeline: Pipeline, n_rows: int, n_queries: int, nprobe: int) -> int:
    """Queries of one native call: about a second of work at most, fewer where more rows are read."""
    if n_queries <= _MIN_QUERIES:
        return _MIN_QUERIES
    nlist = pipeline.spec.nlist
    products = n_rows * pipeline.codec.dim * min(nprobe, nlist) // nlist
    return max(_MIN_QUERIES, min(_MAX_QUERIES, _PRODUCTS_PER_BLOCK // max(1, products)))


def _search_block(
    pipeline: Pipeline,
    together: Together[Segment],
    queries: np.ndarray,
    k: int,
    nprobe: int,
    refine_factor: Rerank,
    seen: list[np.ndarray] | None,
) -> Hits:
    base = pipeline.base_rows(queries)
    projected = pipeline.project_queries(base)
    if isinstance(refine_factor, ByBound):
        rough = refine_factor.bars is not None

        def scan(some: np.ndarray, width: int, bars: float) -> Hits:
            return _scan(pipeline, together, projected[some], width, nprobe, rough, seen, bars)

        return rescore_by_bound(pipeline, together, base, k, refine_factor, scan, together.n_live).hits
    if pipeline.refine is None:
        return _scan(pipeline, together, projected, k, nprobe, seen=seen)
    candidates = _candidates(pipeline, together, projected, k, nprobe, refine_factor, seen)
    return rescore(pipeline, together, base, candidates.positions, k)


def _scan(
    pipeline: Pipeline,
    together: Together[Segment],
    queries: np.ndarray,
    k: int,
    nprobe: int,
    rough: bool = False,
    seen: list[np.ndarray] | None = None,
    bars: float = 0.0,
) -> Hits:
    """Best k by the codes; scores are those of the codes, rounded where they may be rough, plus bars."""
    probes = probes_of(pipeline, queries, nprobe, seen)
    return scan_lists(pipeline, together, queries, probes, k, rough=rough, bars=bars)


def probes_of(
    pipeline: Pipeline, queries: np.ndarray, nprobe: int, seen: list[np.ndarray] | None = None
) -> Probes:
    """What queries behind the transforms visit. seen: gets the lists, where there are lists."""
    if pipeline.partition is None:
        return EVERYTHING
    probes = pipeline.partition.probe(queries, nprobe)
    if seen is not None:
        seen.append(probes.lists)
    return probes


def scan_lists(
    pipeline: Pipeline,
    together: Together[Segment],
    queries: np.ndarray,
    probes: Probes,
    k: int,
    *,
    rough: bool,
    bars: float = 0.0,
) -> Hits:
    """Best k by the codes in the lists that each query visits; rough, bars: as `Codec.scan` takes them."""
    nprobe = min(probes.lists.shape[1], pipeline.spec.nlist)
    lists = stored_lists(pipeline, together, queries.shape[0], nprobe)
    prepared = pipeline.codec.prepare(queries, pipeline.score_metric)
    return Hits(*pipeline.codec.scan(prepared, lists, probes, k, pipeline.score_metric, rough, bars))


def rerank_candidates(
    pipeline: Pipeline, together: Together[Segment], queries: np.ndarray, k: int, *, nprobe: int,
    refine_factor: int,
) -> np.ndarray:  # fmt: skip
    """Positions (nq, c) of the candidates that `search_segments` would score again; -1 where missing."""
    projected = pipeline.project(pipeline.base_rows(queries))
    return _candidates(pipeline, together, projected, k, nprobe, refine_factor).positions


def _candidates(
    pipeline: Pipeline,
    together: Together[Segment],
    projected: np.ndarray,
    k: int,
    nprobe: int,
    factor: int,
    seen: list[np.ndarray] | None = None,
) -> Hits:
    most = min(k * factor, together.n_live)
    return _scan(pipeline, together, projected, most, nprobe, rough=True, seen=seen)
