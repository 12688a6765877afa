"""What a search looks at: the lists that it probes and the candidates that it scores again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cluscomp.indexes.checks import as_matrix, rows_of_dim
from cluscomp.indexes.segments.search import rerank_candidates

if TYPE_CHECKING:
    from cluscomp.indexes.index import Index


def list_of_rows(index: Index) -> np.ndarray:
    """List (n,) int32 of each row by position, in order of adding; zeros without partition."""
    labels = np.zeros(sum(segment.n_rows for segment in index.segments), dtype=np.int32)
    base = 0
    for segment in index.segments:
        if segment.positions is not None:
            lists = np.repeat(np.arange(len(segment.offsets) - 1, dtype=np.int32), np.diff(segment.offsets))
            labels[base + segment.positions] = lists
        base += segment.n_rows
    return labels


def probed_lists(index: Index, queries: np.ndarray, nprobe: int | None = None) -> np.ndarray:
    """Lists (nq, nprobe) int32 that a search visits, best first; zeros without partition."""
    rows = rows_of_dim(as_matrix(queries), index.dim, "queries", check_finite=True)
    pipeline = index.pipeline
    if pipeline.partition is None:
        return np.zeros((len(rows), 1), dtype=np.int32)
    projected = pipeline.project_queries(pipeline.base_rows(rows))
    return pipeline.partition.probe(projected, nprobe or index.nprobe).lists


def candidates(
    index: Index, queries: np.ndarray, k: int, *, nprobe: int | None = None, refine_factor: int | None = None
) -> np.ndarray | None:
    """Positions (nq, c) of the rows that the rerank scores again, -1 where missing; None without rerank."""
    if index.pipeline.refine is None:
        return None
    rows = rows_of_dim(as_matrix(queries), index.dim, "queries", check_finite=True)
    return rerank_candidates(
        index.pipeline,
        index.segments,
        rows,
        k,
        nprobe=nprobe or index.nprobe,
        refine_factor=refine_factor or index.refine_factor,
    )
