"""Documents that are named, not searched for: their scores, and the vectors that their codes stand for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks
from cluscomp.indexes.multivector.segment import DocumentSegment
from cluscomp.indexes.segments.together import Together, first_positions
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.multivector import Ragged

QUERY_BLOCK = 64


def score_positions(
    pipeline: Pipeline, together: Together[DocumentSegment], queries: Ragged, positions: np.ndarray
) -> np.ndarray:
    """Scores (nq, c) of documents by the finest codes; -inf where a position is -1.

    positions: (nq, c), or (1, c) for all queries.
    """
    positions = np.broadcast_to(positions, (len(queries), positions.shape[1]))
    scores = np.full(positions.shape, -np.inf, dtype=np.float32)
    if not together.segments:
        return scores
    for block in iter_blocks(len(queries), QUERY_BLOCK):
        part = queries.part(block)
        base = pipeline.base_rows(part.rows)
        if pipeline.refine is None:
            base = pipeline.project_queries(base)
        scores[block] = score_documents(pipeline, together, Ragged(base, part.offsets), positions[block])
    return scores


def score_documents(
    pipeline: Pipeline, together: Together[DocumentSegment], queries: Ragged, positions: np.ndarray
) -> np.ndarray:
    """Scores (nq, c) of documents of each query by the finest codes; -inf where a position is -1.

    queries: behind the transforms, or base rows where there are finer codes. positions: (nq, c).
    """
    documents = together.made("finest", lambda: _finest(pipeline, together))
    return documents.scores(queries.rows, queries.offsets, np.ascontiguousarray(positions))


def _finest(pipeline: Pipeline, together: Together[DocumentSegment]) -> native.DocumentSet:
    """The documents of all segments in their finest codes, as kernels score them."""
    return native.DocumentSet([segment.finest(pipeline) for segment in together.segments])


def softmax_scores(
    pipeline: Pipeline, together: Together[DocumentSegment], queries: Ragged, positions: np.ndarray,
    temperature: float,
) -> np.ndarray:  # fmt: skip
    """Scores (nq, c) of documents of each query by attention instead of the maximum: for each query vector q
    the sum of softmax_i(<c_i, q> / temperature) <c_i, q> over the vectors c_i of a document.

    The second step of pseudo-query embeddings (Tang et al., ACL 2021, arXiv 2105.03599), whose c_i are the
    centres of a document's token vectors, as a pool leaves them. Never above MaxSim, which a small
    temperature approaches. queries, positions: as in `score_documents`.
    """
    scores = np.full(positions.shape, -np.inf, dtype=np.float32)
    segments, bases = together.segments, together.firsts[:-1]
    for row, column in np.argwhere(positions >= 0).tolist():
        documents, begin, end = _place(segments, bases, int(positions[row, column]))
        vectors = documents.finest(pipeline).vectors(begin, end).astype(np.float64)
        products = queries.rows[queries.offsets[row] : queries.offsets[row + 1]] @ vectors.T
        weights = np.exp((products - products.max(axis=1, keepdims=True)) / temperature)
        scores[row, column] = ((weights * products).sum(axis=1) / weights.sum(axis=1)).sum()
    return scores


def vectors_at(pipeline: Pipeline, segments: Sequence[DocumentSegment], positions: np.ndarray) -> Ragged:
    """Vectors that the finest codes of documents stand for, in the space of the queries. UsageError where a
    transform has no way back.
    """
    parts = [np.empty((0, pipeline.dim), dtype=np.float32)]
    bases = first_positions(segments)
    for position in positions.tolist():
        segment, begin, end = _place(segments, bases, position)
        rows = segment.finest(pipeline).vectors(begin, end)
        parts.append(rows if pipeline.refine is not None else pipeline.take_back(rows))
    lengths = [rows.shape[0] for rows in parts]
    return Ragged(np.concatenate(parts), np.cumsum(lengths, dtype=np.int64))


def _place(
    segments: Sequence[DocumentSegment], bases: Sequence[int] | np.ndarray, position: int
) -> tuple[DocumentSegment, int, int]:
    """Segment of a document, and the rows [begin, end) of its vectors there."""
    number = int(np.searchsorted(bases, position, side="right")) - 1
    begin, end = segments[number].doc_offsets[position - bases[number] :][:2].tolist()
    return segments[number], begin, end
