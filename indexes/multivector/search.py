"""Search over segments of documents: MaxSim between query vectors and decoded codes.

A vector decodes to what its code stands for, plus the centroid of its list where codes are residuals, scaled
to length one where the pool made unit vectors: quantisation shortens vectors by different factors, and
rescaling to unit length undoes that. Results are ordered by score descending, then by position ascending.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks
from cluscomp.indexes.multivector.candidates import QUERY_BLOCK, score_documents, softmax_scores
from cluscomp.indexes.multivector.fde_candidates import fde_candidates
from cluscomp.indexes.multivector.segment import DocumentSegment
from cluscomp.indexes.segments.id_lookup import live_rows
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.stages.hits import Hits, best_hits
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.multivector import Ragged


@dataclass(frozen=True)
class Effort:
    """How much of the index a search looks at.

    candidates: documents whose codes are scored. nprobe: lists of each query vector that
    count when candidates are chosen. refine_factor: hits times so many are scored with the finer codes, or by
    softmax. by_fde: candidates by fixed-dimensional encodings. direct: all documents that are not deleted are
    scored, without a choice of candidates. softmax: temperature of the final scores, None
    for MaxSim.
    """

    candidates: int
    nprobe: int
    refine_factor: int
    by_fde: bool = False
    direct: bool = False
    softmax: float | None = None


def search_documents(
    pipeline: Pipeline, together: Together[DocumentSegment], queries: Ragged, k: int, effort: Effort
) -> Hits:
    """Best k documents of each query; k is at most the number of documents not deleted."""
    scores = np.empty((len(queries), k), dtype=np.float32)
    positions = np.empty((len(queries), k), dtype=np.int64)
    for block in iter_blocks(len(queries), QUERY_BLOCK):
        hits = _search_block(pipeline, together, queries.part(block), k, effort)
        scores[block], positions[block] = hits.scores, hits.positions
    return Hits(scores, positions)


def _search_block(
    pipeline: Pipeline, together: Together[DocumentSegment], queries: Ragged, k: int, effort: Effort
) -> Hits:
    base = pipeline.base_rows(queries.rows)
    projected = Ragged(pipeline.project_queries(base), queries.offsets)
    wider = min(k * effort.refine_factor, together.n_live)
    if pipeline.refine is None and effort.softmax is None:
        return _scan(pipeline, together, projected, k, effort)
    rough = _scan(pipeline, together, projected, wider, effort)
    finest = projected if pipeline.refine is None else Ragged(base, queries.offsets)
    if effort.softmax is None:
        return _rescore(pipeline, together, finest, rough.positions, k)
    scores = softmax_scores(pipeline, together, finest, rough.positions, effort.softmax)
    return best_hits(scores, rough.positions, k)


def _scan(
    pipeline: Pipeline, together: Together[DocumentSegment], queries: Ragged, k: int, effort: Effort
) -> Hits:
    """Best k by the codes. Candidates are chosen among the documents of all segments together."""
    nprobe, candidates = min(effort.nprobe, pipeline.spec.nlist), max(effort.candidates, k)
    documents = document_set(pipeline, together)
    if effort.direct:
        live = np.concatenate([
            live_rows(segment) + first
            for segment, first in zip(together.segments, together.firsts[:-1], strict=True)
        ])  # fmt: skip
        positions = np.tile(live, (len(queries), 1))
        return best_hits(documents.scores(queries.rows, queries.offsets, positions), positions, k)
    if effort.by_fde:
        positions = fde_candidates(pipeline, together, queries, candidates)
        return best_hits(documents.scores(queries.rows, queries.offsets, positions), positions, k)
    found = documents.search(queries.rows, queries.offsets, k, candidates, nprobe, together.skip_bits)
    return Hits(*found)


def document_set(pipeline: Pipeline, together: Together[DocumentSegment]) -> native.DocumentSet:
    """The documents of all segments as kernels search them."""
    return together.made(
        "documents",
        lambda: native.DocumentSet([segment.searchable(pipeline) for segment in together.segments]),
    )


def _rescore(
    pipeline: Pipeline, together: Together[DocumentSegment], queries: Ragged, positions: np.ndarray, k: int
) -> Hits:
    """Best k of the candidates (nq, c) by the finer codes."""
    scores = score_documents(pipeline, together, queries, positions)
    return best_hits(scores, positions, k)
