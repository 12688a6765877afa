"""Search over segments of documents: MaxSim between query vectors and decoded codes.

A vector decodes to what its code stands for, plus the centroid of its list where codes are residuals, scaled
to length one where the pool made unit vectors: codes shrink some vectors more than others, and the scale
takes that back. Results are ordered by score descending, then by position ascending.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from cluscomp import native
from cluscomp.arrays import normalize_rows
from cluscomp.indexes.multivector.segment import DocumentSegment
from cluscomp.indexes.pipeline import Pipeline
from cluscomp.indexes.search import Hits, best_hits, first_positions
from cluscomp.multivector import Ragged
from cluscomp.multivector.ragged import document_blocks, rows_of_documents

BLOCK_VECTORS = 16384


def decode_vectors(pipeline: Pipeline, segment: DocumentSegment, vectors: slice) -> np.ndarray:
    """Vectors (n, d) float32 that stored codes stand for, in the space behind the transforms."""
    rows = pipeline.codec.decode(np.asarray(segment.codes[vectors]))
    if pipeline.uses_residuals:
        assert pipeline.partition is not None and segment.lists is not None
        rows = rows + pipeline.partition.centroids[segment.lists[vectors]]
    return normalize_rows(rows) if pipeline.decodes_to_unit else rows


def search_documents(
    pipeline: Pipeline, segments: Sequence[DocumentSegment], queries: Ragged, k: int, *, refine_factor: int
) -> Hits:
    """Best k documents of each query; k is at most the number of documents not deleted."""
    base = pipeline.base_rows(queries.rows)
    projected = pipeline.project(base)
    if pipeline.refine is None:
        return _scan(pipeline, segments, Ragged(projected, queries.offsets), k)
    n_live = sum(segment.n_rows - segment.n_deleted for segment in segments)
    rough = _scan(pipeline, segments, Ragged(projected, queries.offsets), min(k * refine_factor, n_live))
    return _rescore(pipeline, segments, Ragged(base, queries.offsets), rough.positions, k)


def _scan(pipeline: Pipeline, segments: Sequence[DocumentSegment], queries: Ragged, k: int) -> Hits:
    """Best k of all documents by their codes."""
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    positions = np.full((len(queries), k), -1, dtype=np.int64)
    for segment, base in zip(segments, first_positions(segments), strict=True):
        segment.check_lists(pipeline.spec.nlist)
        for block, found in _block_scores(pipeline, segment, queries):
            live = np.arange(block.start, block.stop)
            if segment.deleted is not None:
                live = live[segment.deleted[block] == 0]
            numbers = np.broadcast_to(live + base, (len(queries), live.size))
            hits = best_hits(
                np.concatenate([scores, found[:, live - block.start]], axis=1),
                np.concatenate([positions, numbers], axis=1),
                k,
            )
            scores, positions = hits.scores, hits.positions
    return Hits(scores, positions)


def _block_scores(
    pipeline: Pipeline, segment: DocumentSegment, queries: Ragged
) -> Iterator[tuple[slice, np.ndarray]]:
    """Documents of a block, and scores (nq, n) of each query with each of them."""
    offsets = segment.doc_offsets
    for block in document_blocks(np.diff(offsets), BLOCK_VECTORS):
        vectors = slice(int(offsets[block.start]), int(offsets[block.stop]))
        decoded = decode_vectors(pipeline, segment, vectors)
        local = offsets[block.start : block.stop + 1] - vectors.start
        yield block, native.maxsim(queries.rows, queries.offsets, decoded, local)


def _rescore(
    pipeline: Pipeline, segments: Sequence[DocumentSegment], queries: Ragged, candidates: np.ndarray, k: int
) -> Hits:
    """Best k of the candidates (nq, c) by the finer codes."""
    assert pipeline.refine is not None
    scores = np.full(candidates.shape, -np.inf, dtype=np.float32)
    for segment, base in zip(segments, first_positions(segments), strict=True):
        assert segment.refine is not None
        for q in range(len(queries)):
            inside = np.flatnonzero((candidates[q] >= base) & (candidates[q] < base + segment.n_rows))
            if inside.size:
                numbers, offsets = rows_of_documents(segment.doc_offsets, candidates[q, inside] - base)
                rows = pipeline.refine.decode(np.asarray(segment.refine[numbers]))
                one = queries.part(slice(q, q + 1))
                scores[q, inside] = native.maxsim(one.rows, one.offsets, rows, offsets)[0]
    return best_hits(scores, candidates, k)
