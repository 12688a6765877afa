"""Rows that the codes of an index stand for, by position: what `Index.vectors` returns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cluscomp.indexes.segments.segment import Segment
from cluscomp.indexes.segments.together import first_positions
from cluscomp.indexes.stages.code_layout import plain_rows
from cluscomp.indexes.stages.pipeline import Pipeline


def decoded_rows(pipeline: Pipeline, segments: Sequence[Segment], positions: np.ndarray) -> np.ndarray:
    """Rows (len(positions), dim) float32 in the space of the queries, by the finest codes there are.

    positions: over all segments. Raises UsageError where a transform has no way back, CorruptIndexError.
    """
    found = np.empty((len(positions), pipeline.dim), dtype=np.float32)
    for segment, base in zip(segments, first_positions(segments), strict=True):
        inside = np.flatnonzero((positions >= base) & (positions < base + segment.n_rows))
        if inside.size:
            found[inside] = _decoded(pipeline, segment, positions[inside] - base)
    return found


def _decoded(pipeline: Pipeline, segment: Segment, rows: np.ndarray) -> np.ndarray:
    """Rows of one segment, by position in it."""
    if pipeline.refine is not None and segment.refine is not None:
        finer = {name: np.ascontiguousarray(array[rows]) for name, array in segment.refine.items()}
        return pipeline.refine.decode(finer)
    stored = segment.stored_rows(rows)
    decoded = pipeline.codec.decode(plain_rows(pipeline.codec, segment.codes, segment.offsets, stored))
    if pipeline.partition is not None and pipeline.codec.by_residual:
        lists = np.searchsorted(segment.offsets, stored, side="right") - 1
        decoded = decoded + pipeline.partition.centroids[lists]
    return pipeline.take_back(decoded)
