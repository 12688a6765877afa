"""Search over segments: probe lists, scan their codes, merge, score the best again with finer codes.

Results are ordered by score descending, then by position ascending (order of adding), for any number of
threads, any batch of queries and any division into segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.indexes.segments.segment import Segment
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.stages.codec import Codes
from cluscomp.indexes.stages.ivf import Probes
from cluscomp.indexes.stages.pipeline import Pipeline

FETCH_BYTES = 64 << 20
"""Finer codes that are read from disk at a time."""
_MIN_QUERIES, _MAX_QUERIES = 16, 1024
_PRODUCTS_PER_BLOCK = 1 << 35  # by 8-bit codes: about a second on two cores


@dataclass(frozen=True)
class Hits:
    """scores: (nq, k) float32, best first, -inf where missing. positions: (nq, k) int64 over all segments, -1
    missing.
    """

    scores: np.ndarray
    positions: np.ndarray


def search_segments(
    pipeline: Pipeline,
    segments: Sequence[Segment],
    queries: np.ndarray,
    k: int,
    *,
    nprobe: int,
    refine_factor: int,
) -> Hits:
    """Best k rows of each query (nq, dim) of kernel dtype; k is at most the number of rows not deleted."""
    at_once = _queries_at_once(pipeline, segments, queries.shape[0], nprobe)
    if queries.shape[0] <= at_once:
        return _search_block(pipeline, segments, queries, k, nprobe, refine_factor)
    scores = np.empty((queries.shape[0], k), dtype=np.float32)
    positions = np.empty((queries.shape[0], k), dtype=np.int64)
    for block in iter_blocks(queries.shape[0], at_once):
        hits = _search_block(pipeline, segments, queries[block], k, nprobe, refine_factor)
        scores[block], positions[block] = hits.scores, hits.positions
    return Hits(scores, positions)


def _queries_at_once(pipeline: Pipeline, segments: Sequence[Segment], n_queries: int, nprobe: int) -> int:
    """Queries of one native call: about a second of work at most, fewer where more rows are read."""
    if n_queries <= _MIN_QUERIES:
        return _MIN_QUERIES
    nlist = pipeline.spec.nlist
    products = sum(segment.n_rows for segment in segments) * pipeline.codec.dim * min(nprobe, nlist) // nlist
    return max(_MIN_QUERIES, min(_MAX_QUERIES, _PRODUCTS_PER_BLOCK // max(1, products)))


def _search_block(
    pipeline: Pipeline,
    segments: Sequence[Segment],
    queries: np.ndarray,
    k: int,
    nprobe: int,
    refine_factor: int,
) -> Hits:
    base = pipeline.base_rows(queries)
    projected = pipeline.project_queries(base)
    if pipeline.refine is None:
        return _scan(pipeline, segments, projected, k, nprobe)
    candidates = _candidates(pipeline, segments, projected, k, nprobe, refine_factor)
    return _rescore(pipeline, segments, base, candidates.positions, k)


def _scan(
    pipeline: Pipeline,
    segments: Sequence[Segment],
    queries: np.ndarray,
    k: int,
    nprobe: int,
    rough: bool = False,
) -> Hits:
    """Best k by the codes; scores are those of the codes, rounded where they may be rough."""
    if pipeline.partition is None:
        probes, coarse = Probes(np.zeros((queries.shape[0], 1), dtype=np.int32)), None
    else:
        probes = pipeline.partition.probe(queries, nprobe)
        coarse = pipeline.partition.centroids if pipeline.uses_residuals else None
    prepared = pipeline.codec.prepare(queries, pipeline.score_metric)
    found = [_scan_segment(pipeline, segment, prepared, probes, coarse, k, rough) for segment in segments]
    return merged_hits(segments, found, k)


def merged_hits(segments: Sequence[StoredSegment], found: Sequence[Hits], k: int) -> Hits:
    """The best k of the hits of all segments, whose positions then count over all of them."""
    if len(segments) == 1:
        return found[0]
    bases = first_positions(segments)
    positions = [
        np.where(hits.positions >= 0, hits.positions + base, -1)
        for hits, base in zip(found, bases, strict=True)
    ]
    scores = np.concatenate([hits.scores for hits in found], axis=1)
    return best_hits(scores, np.concatenate(positions, axis=1), k)


def _scan_segment(
    pipeline: Pipeline,
    segment: Segment,
    prepared: Any,
    probes: Probes,
    coarse: np.ndarray | None,
    k: int,
    rough: bool,
) -> Hits:
    scores, positions = pipeline.codec.scan(
        prepared, segment.list_view(coarse), probes, k, pipeline.score_metric, rough
    )
    segment.check_positions(positions)
    return Hits(scores, positions)


def _rescore(
    pipeline: Pipeline, segments: Sequence[Segment], queries: np.ndarray, positions: np.ndarray, k: int
) -> Hits:
    """Best k of the candidates (nq, c) by the finer codes."""
    assert pipeline.refine is not None
    found = []
    for segment, base in zip(segments, first_positions(segments), strict=True):
        assert segment.refine is not None
        local = positions
        if len(segments) > 1:
            inside = (positions >= base) & (positions < base + segment.n_rows)
            local = np.where(inside, positions - base, -1)
        if pipeline.spec.on_disk:
            found.append(rescore_from_disk(pipeline, segment.refine, queries, local, k))
        else:
            hits = pipeline.refine.rescore(queries, segment.refine, local, k, pipeline.score_metric)
            found.append(Hits(*hits))
    return merged_hits(segments, found, k)


def rescore_from_disk(
    pipeline: Pipeline, codes: Codes, queries: np.ndarray, candidates: np.ndarray, k: int
) -> Hits:
    """Best k of the candidates (nq, c), -1 for none, of one segment; its finer codes are on disk.

    The candidates of some queries at a time are read, each row once and in the order of the file.
    """
    assert pipeline.refine is not None
    scores = np.empty((len(queries), k), dtype=np.float32)
    positions = np.empty((len(queries), k), dtype=np.int64)
    row_bytes = pipeline.refine.row_bytes
    for block in iter_blocks(len(queries), max(1, FETCH_BYTES // (candidates.shape[1] * row_bytes))):
        local = candidates[block]
        wanted = np.unique(local[local >= 0])
        if not wanted.size:
            scores[block], positions[block] = -np.inf, -1
            continue
        compact = np.where(local >= 0, np.searchsorted(wanted, local), -1)
        read = {name: np.ascontiguousarray(array[wanted]) for name, array in codes.items()}
        scores[block], found = pipeline.refine.rescore(
            queries[block], read, compact, k, pipeline.score_metric
        )
        positions[block] = np.where(found >= 0, wanted[found], -1)
    return Hits(scores, positions)


def best_hits(scores: np.ndarray, positions: np.ndarray, k: int) -> Hits:
    """The k best columns of each row, by score descending, then position ascending, missing ones last."""
    keys = np.where(positions < 0, np.iinfo(np.int64).max, positions)
    order = np.lexsort((keys, -scores), axis=1)[:, :k]
    return Hits(np.take_along_axis(scores, order, axis=1), np.take_along_axis(positions, order, axis=1))


def first_positions(segments: Sequence[StoredSegment]) -> list[int]:
    """Position of the first row of each segment, counted over all of them."""
    return list(accumulate((segment.n_rows for segment in segments), initial=0))[: len(segments)]


def take_ids(segments: Sequence[StoredSegment], positions: np.ndarray, kind: str) -> np.ndarray:
    """Ids (same shape) of positions over all segments: int64 with -1, or object array of str with None, where
    missing.
    """
    if len(segments) == 1 and positions.min(initial=0) >= 0:
        return segments[0].ids.take(positions)
    ids = (
        np.full(positions.shape, -1, dtype=np.int64)
        if kind == "int64"
        else np.full(positions.shape, None, dtype=object)
    )
    for segment, base in zip(segments, first_positions(segments), strict=True):
        inside = (positions >= base) & (positions < base + segment.n_rows)
        ids[inside] = segment.ids.take(positions[inside] - base)
    return ids


def rerank_candidates(
    pipeline: Pipeline, segments: Sequence[Segment], queries: np.ndarray, k: int, *, nprobe: int,
    refine_factor: int,
) -> np.ndarray:  # fmt: skip
    """Positions (nq, c) of the candidates that `search_segments` would score again; -1 where missing."""
    projected = pipeline.project(pipeline.base_rows(queries))
    return _candidates(pipeline, segments, projected, k, nprobe, refine_factor).positions


def _candidates(
    pipeline: Pipeline, segments: Sequence[Segment], projected: np.ndarray, k: int, nprobe: int, factor: int
) -> Hits:
    n_live = sum(segment.n_rows - segment.n_deleted for segment in segments)
    return _scan(pipeline, segments, projected, min(k * factor, n_live), nprobe, rough=True)
