"""Rows that are named, not searched for: their scores.

A row scores here what a search gives it, bit for bit.
"""

from __future__ import annotations

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.indexes.segments.chosen import chosen_rows, stored_rows
from cluscomp.indexes.segments.rerank import FETCH_BYTES, read_rows
from cluscomp.indexes.segments.segment import Segment
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.stages.pipeline import Pipeline


def score_positions(
    pipeline: Pipeline,
    together: Together[Segment],
    queries: np.ndarray,
    positions: np.ndarray,
    *,
    finer: bool = True,
) -> np.ndarray:
    """Scores (nq, c) float32 of some rows of each query; -inf where a position is -1.

    queries: (nq, dim) of kernel dtype. positions: (nq, c) int64 over all segments, or (1, c) for all queries;
    those of one query are different from each other. finer: by the codes of the rerank, where there are any.
    """
    score = _finer_scores if finer and pipeline.refine is not None else _code_scores
    scores = np.full((len(queries), positions.shape[1]), -np.inf, dtype=np.float32)
    if not positions.size:
        return scores
    row_bytes = sum(array.nbytes for array in pipeline.row_arrays().values())
    of_query = positions.shape[1] * (8 if len(positions) == 1 else row_bytes)
    for block in iter_blocks(len(queries), max(1, FETCH_BYTES // of_query)):
        wanted = positions if len(positions) == 1 else positions[block]
        known = np.unique(wanted[wanted >= 0])
        if known.size:
            places = np.where(wanted >= 0, np.searchsorted(known, wanted), -1)
            scores[block] = score(pipeline, together, pipeline.base_rows(queries[block]), known, places)
    return scores


def _code_scores(
    pipeline: Pipeline, together: Together[Segment], base: np.ndarray, known: np.ndarray, places: np.ndarray
) -> np.ndarray:
    """By the codes. known: ascending positions. places: (nq or 1, c) which of these are scored, or -1."""
    view = chosen_rows(pipeline, together, stored_rows(together, known), arranged=False).view
    assert view.positions is not None
    rows = np.where(places >= 0, np.argsort(view.positions)[np.maximum(places, 0)], -1)
    order = np.argsort(rows, axis=1)
    found = pipeline.codec.score_rows(
        pipeline.project_queries(base), view, np.take_along_axis(rows, order, axis=1), pipeline.score_metric
    )
    return _put_back(found, order)


def _finer_scores(
    pipeline: Pipeline, together: Together[Segment], base: np.ndarray, known: np.ndarray, places: np.ndarray
) -> np.ndarray:
    """By the codes of the rerank, of which only those of these rows are read."""
    assert pipeline.refine is not None
    candidates = np.ascontiguousarray(np.broadcast_to(places, (len(base), places.shape[1])))
    scores, found = pipeline.refine.rescore(
        base, read_rows(together, known), candidates, places.shape[1], pipeline.score_metric
    )
    by_row = np.take_along_axis(scores, np.argsort(found, axis=1, kind="stable"), axis=1)
    return _put_back(by_row, np.argsort(candidates, axis=1, kind="stable"))


def _put_back(ordered: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Values whose column i belongs into column order[:, i], there."""
    values = np.empty_like(ordered)
    np.put_along_axis(values, np.broadcast_to(order, ordered.shape), ordered, axis=1)
    return values
