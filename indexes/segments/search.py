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
from cluscomp.indexes.segments.whole_search import prepared_search
from cluscomp.indexes.stages.codec import StoredLists
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
    nprobe: int,
    refine_factor: Rerank,
    seen: list[np.ndarray] | None = None,
) -> Hits:
    """Best k rows of each query (nq, dim) of kernel dtype; k is at most the number of rows not deleted.

    seen: gets the lists (n, nprobe) that each block of queries visits, if there are lists.
    """
    if queries.shape[0] <= _MIN_QUERIES:
        return _search_block(pipeline, together, queries, k, nprobe, refine_factor, seen)
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
    base, projected = pipeline.query_rows(queries)
    if isinstance(refine_factor, ByBound):
        return _search_by_bound(pipeline, together, base, projected, k, nprobe, refine_factor, seen)
    prepared = prepared_search(pipeline, together, queries.shape[0], nprobe)
    most = k if pipeline.refine is None else min(k * refine_factor, together.n_live)
    if prepared.kernels is None:
        probes = probes_of(pipeline, projected, nprobe, seen)
        hits = _scan_lists(
            pipeline, prepared.lists, projected, probes, most, rough=pipeline.refine is not None
        )
        return hits if pipeline.refine is None else rescore(pipeline, together, base, hits.positions, k)
    hits, visited = prepared.run(base, projected, k, most)
    if seen is not None and pipeline.partition is not None:
        seen.append(visited)
    return hits


def _search_by_bound(
    pipeline: Pipeline,
    together: Together[Segment],
    base: np.ndarray,
    projected: np.ndarray,
    k: int,
    nprobe: int,
    rerank: ByBound,
    seen: list[np.ndarray] | None,
) -> Hits:
    rough = rerank.bars is not None

    def scan(some: np.ndarray, width: int, bars: float) -> Hits:
        probes = probes_of(pipeline, projected[some], nprobe, seen)
        return scan_lists(pipeline, together, projected[some], probes, width, rough=rough, bars=bars)

    return rescore_by_bound(pipeline, together, base, k, rerank, scan, together.n_live).hits


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
    return _scan_lists(pipeline, lists, queries, probes, k, rough=rough, bars=bars)


def _scan_lists(
    pipeline: Pipeline,
    lists: StoredLists,
    queries: np.ndarray,
    probes: Probes,
    k: int,
    *,
    rough: bool,
    bars: float = 0.0,
) -> Hits:
    prepared = pipeline.codec.prepare(queries, pipeline.score_metric)
    return Hits(*pipeline.codec.scan(prepared, lists, probes, k, pipeline.score_metric, rough, bars))


def rerank_candidates(
    pipeline: Pipeline, together: Together[Segment], queries: np.ndarray, k: int, *, nprobe: int,
    refine_factor: int,
) -> np.ndarray:  # fmt: skip
    """Positions (nq, c) of the candidates that `search_segments` would score again; -1 where missing."""
    _, projected = pipeline.query_rows(queries)
    probes, most = probes_of(pipeline, projected, nprobe), min(k * refine_factor, together.n_live)
    return scan_lists(pipeline, together, projected, probes, most, rough=True).positions
