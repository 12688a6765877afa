"""What a search looks at: the lists that it probes and the candidates that it scores again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cluscomp.indexes.segments.rows import queries_of_dim
from cluscomp.indexes.segments.search import rerank_candidates
from cluscomp.indexes.segments.segment import Segment
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.stages.pipeline import Pipeline


def list_of_rows(segments: Sequence[Segment]) -> np.ndarray:
    """List (n,) int32 of each row by position, in order of adding; zeros without partition."""
    labels = np.zeros(sum(segment.n_rows for segment in segments), dtype=np.int32)
    base = 0
    for segment in segments:
        if segment.positions is not None:
            lists = np.repeat(np.arange(len(segment.offsets) - 1, dtype=np.int32), np.diff(segment.offsets))
            labels[base + segment.positions] = lists
        base += segment.n_rows
    return labels


def probed_lists(pipeline: Pipeline, queries: np.ndarray, nprobe: int) -> np.ndarray:
    """Lists (nq, nprobe) int32 that a search visits, best first; zeros without partition."""
    rows = queries_of_dim(queries, pipeline.dim, pipeline.largest)
    if pipeline.partition is None:
        return np.zeros((len(rows), 1), dtype=np.int32)
    projected = pipeline.project_queries(pipeline.base_rows(rows))
    return pipeline.partition.probe(projected, nprobe).lists


def candidates(
    pipeline: Pipeline,
    segments: Sequence[Segment],
    queries: np.ndarray,
    k: int,
    *,
    nprobe: int,
    refine_factor: int,
) -> np.ndarray | None:
    """Positions (nq, c) of the rows that the rerank scores again, -1 where missing; None without rerank."""
    if pipeline.refine is None:
        return None
    rows = queries_of_dim(queries, pipeline.dim, pipeline.largest)
    return rerank_candidates(
        pipeline, Together(tuple(segments)), rows, k, nprobe=nprobe, refine_factor=refine_factor
    )
