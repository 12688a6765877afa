"""The rerank: candidates of all segments are scored again with finer codes, once."""

from __future__ import annotations

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks
from cluscomp.indexes.segments.segment import Segment
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.stages.codec import Codes
from cluscomp.indexes.stages.hits import Hits
from cluscomp.indexes.stages.pipeline import Pipeline

FETCH_BYTES = 64 << 20
"""Finer codes that are read from disk at a time."""


def rescore(
    pipeline: Pipeline, together: Together[Segment], queries: np.ndarray, candidates: np.ndarray, k: int
) -> Hits:
    """Best k of the candidates (nq, c), -1 for none, by the finer codes."""
    parts = finer_parts(pipeline, together)
    if parts is None:
        return _rescoreread_rows(pipeline, together, queries, candidates, k)
    return Hits(*parts.rescore(queries, candidates, k, pipeline.score_metric))


def finer_parts(pipeline: Pipeline, together: Together[Segment]) -> native.Parts | None:
    """The finer codes as kernels score them, made once; None where rows are read first: from disk, or since
    no kernel reads such codes.
    """
    return together.made("finer", lambda: (_finer_parts(pipeline, together),))[0]


def _finer_parts(pipeline: Pipeline, together: Together[Segment]) -> native.Parts | None:
    assert pipeline.refine is not None
    if pipeline.spec.on_disk:
        return None
    return pipeline.refine.parts([finer_of(segment) for segment in together.segments])


def _rescoreread_rows(
    pipeline: Pipeline, together: Together[Segment], queries: np.ndarray, candidates: np.ndarray, k: int
) -> Hits:
    """The candidates of some queries at a time are read, each row once and in the order of the files."""
    assert pipeline.refine is not None
    scores = np.empty((len(queries), k), dtype=np.float32)
    positions = np.empty((len(queries), k), dtype=np.int64)
    row_bytes = pipeline.refine.row_bytes
    for block in iter_blocks(len(queries), max(1, FETCH_BYTES // (candidates.shape[1] * row_bytes))):
        wanted = np.unique(candidates[block])
        wanted = wanted[wanted >= 0]
        if not wanted.size:
            scores[block], positions[block] = -np.inf, -1
            continue
        compact = np.where(candidates[block] >= 0, np.searchsorted(wanted, candidates[block]), -1)
        scores[block], found = pipeline.refine.rescore(
            queries[block], read_rows(together, wanted), compact, k, pipeline.score_metric
        )
        positions[block] = np.where(found >= 0, wanted[found], -1)
    return Hits(scores, positions)


def read_rows(together: Together[Segment], wanted: np.ndarray) -> Codes:
    """Finer codes of ascending positions, in memory."""
    read = [(finer_of(segment), rows) for segment, rows, _ in together.parts(wanted)]
    return {name: np.concatenate([codes[name][rows] for codes, rows in read]) for name in read[0][0]}


def finer_of(segment: Segment) -> Codes:
    """Codes of the rerank, which the key has."""
    assert segment.refine is not None
    return segment.refine
