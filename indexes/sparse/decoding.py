"""Rows of terms as they were stored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cluscomp.indexes.segments.together import first_positions
from cluscomp.indexes.sparse.named_terms import NamedTerms
from cluscomp.indexes.sparse.pipeline import TermPipeline


def decoded_terms(
    pipeline: TermPipeline, segments: Sequence[NamedTerms], positions: np.ndarray
) -> list[dict[str, float]]:
    """Terms and weights of rows at positions (n,) over all segments, each once; a weight is what a search
    multiplies the query's weight with.
    """
    found: list[dict[str, float]] = [{} for _ in positions]
    for segment, base in zip(segments, first_positions(segments), strict=True):
        inside = np.flatnonzero((positions >= base) & (positions < base + segment.n_rows))
        for places, numbers, stored in segment.entries(positions[inside] - base):
            weights = pipeline.terms.query_weights(numbers, stored.astype(np.float64))
            targets = inside[places].tolist()
            for target, number, weight in zip(targets, numbers.tolist(), weights.tolist(), strict=True):
                found[target][_name(pipeline, segment, number)] = weight
    return found


def _name(pipeline: TermPipeline, segment: NamedTerms, number: int) -> str:
    known = pipeline.terms.n_terms
    return pipeline.names.text(number) if number < known else segment.names.text(number - known)
