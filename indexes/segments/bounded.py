"""The rerank by error bars: rows are scored by finer codes from the highest upper bound on, until no bound is
left that reaches the k-th of these scores.

Codes with error bars say of each row how far its score may be off. A row whose score plus its bars is below
the k-th score of the finer codes is not read, so that easy queries read few rows and hard ones many, where a
fixed number of candidates reads the same of all. More candidates are asked of the codes, by a factor, while
those that were found do not end the rerank.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cluscomp import checks, native
from cluscomp.errors import UsageError
from cluscomp.indexes.segments.rerank import finer_of
from cluscomp.indexes.segments.segment import Segment
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.stages.codec import Refiner
from cluscomp.indexes.stages.hits import Hits, padded
from cluscomp.indexes.stages.pipeline import Pipeline

BARS = 1.9
"""Error bars above its score below which a row is taken to lie: 2.9 of 100 rows lie above."""
_MOST_BARS = 1e6
_SPARE, _LEAST = 4, 64  # hits times so many, and at least so many, are asked for first
_GROWTH = 4
_FORM = re.compile(r"bound(?:\(([0-9.]+(?:e[+-]?\d+)?)\))?")


@dataclass(frozen=True)
class ByBound:
    """A rerank that error bars end. bars: how many a row may lie above its score; None: as many as it can, so
    that the hits are those of all rows by the finer codes.
    """

    bars: float | None = BARS


Rerank = int | ByBound
"""Candidates a hit, or the rule that ends a rerank."""
Scan = Callable[[np.ndarray, int, float], Hits]
"""(queries, width, bars): the rows with the highest upper bounds of some queries, with these for scores."""


def rerank_of(value: int | str) -> Rerank:
    """What `refine_factor` asks for: a number, "bound", "bound(3)" or "certain"; UsageError for others."""
    if not isinstance(value, str):
        return checks.integer("refine_factor", value, 1)
    if value == "certain":
        return ByBound(None)
    found = _FORM.fullmatch(value)
    bars = None if found is None else BARS if found[1] is None else _number(found[1])
    if bars is None or not 0 < bars <= _MOST_BARS:
        raise UsageError(
            f"refine_factor={value!r} is no rerank; write a number of candidates a hit, 'bound' for {BARS} "
            "error bars, 'bound(3)' for another number above 0, or 'certain'"
        )
    return ByBound(bars)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


@dataclass(frozen=True)
class BoundedHits:
    """Hits by the finer codes, and (nq,) int64 how many rows of them each query read."""

    hits: Hits
    rows_read: np.ndarray


def _require_bars(pipeline: Pipeline, rerank: ByBound) -> None:
    """Raise UsageError where the key cannot say how far a score may be off, or has nothing finer."""
    key = str(pipeline.spec)
    if not pipeline.codec.has_bars:
        raise UsageError(
            f"refine_factor='bound' needs codes with error bars, and {key!r} has none; take RaBitQ ... "
            "as in RR,IVF1024,RaBitQ4,Refine(SQ8), or give a number of candidates a hit"
        )
    if pipeline.refine is None:
        raise UsageError(
            f"refine_factor='bound' reads finer codes, and {key!r} has none; add RFlat, Refine(SQ8) or "
            "Refine(RaBitQ8)"
        )
    if rerank.bars is None and any(
        step.matrix is None or step.dim_out < step.dim_in for step in pipeline.steps
    ):
        raise UsageError(
            f"refine_factor='certain' needs codes of whole rows, and {key!r} drops or scales dimensions; "
            "take RR alone in front"
        )


def rescore_by_bound(
    pipeline: Pipeline,
    together: Together[Segment],
    queries: np.ndarray,
    k: int,
    rerank: ByBound,
    scan: Scan,
    most: int,
) -> BoundedHits:
    """Best k rows of each query (nq, dim) by the finer codes, among those that `scan` finds.

    queries: as the finer codes score them. most: rows that a scan can find. Raises UsageError where the
    key has no error bars or no finer codes, or where these cannot give what is asked for.
    """
    _require_bars(pipeline, rerank)
    parts, bars = _finer_parts(pipeline, together), rerank.bars
    slack = np.zeros(len(queries), dtype=np.float32)
    if bars is None:
        bars = 1.01 * math.sqrt(pipeline.codec.dim)  # more than sqrt(d - 1), and than the rounding of bars
        slack = _slack(pipeline, together, queries)
    hits = padded(Hits(np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)), k)
    rows_read = np.zeros(len(queries), dtype=np.int64)
    left, width = np.arange(len(queries)), min(most, max(_SPARE * k, _LEAST))
    while left.size:
        upper = scan(left, width, bars)
        scores, positions, read = parts.rescore_by_bound(
            queries[left], upper.positions, upper.scores, k, pipeline.score_metric, slack[left]
        )
        hits.scores[left], hits.positions[left], rows_read[left] = scores, positions, read
        if width >= most:
            break
        left, width = left[read == width], min(most, _GROWTH * width)
    return BoundedHits(hits, rows_read)


def _finer_parts(pipeline: Pipeline, together: Together[Segment]) -> native.Parts:
    """Finer codes as kernels score them, row by row where they are on disk."""
    refine = pipeline.refine
    assert refine is not None

    def made() -> tuple[native.Parts | None]:
        return (refine.parts([finer_of(segment) for segment in together.segments]),)

    (parts,) = together.made("finer by bound", made)
    if parts is None:
        raise UsageError(f"refine_factor='bound' needs finer codes that kernels read, not {refine.spec}")
    return parts


def _slack(pipeline: Pipeline, together: Together[Segment], queries: np.ndarray) -> np.ndarray:
    """(nq,) float32 by how much scores of finer codes may be off those of the rows."""
    refine = pipeline.refine
    assert refine is not None
    off = together.made("largest error", lambda: (_largest_error(refine, together),))[0]
    if off is None:
        raise UsageError(
            f"refine_factor='certain' needs finer codes that know how far they are from the rows, not "
            f"{refine.spec}; take RFlat or Refine(RaBitQ8)"
        )
    slack: np.ndarray = refine.score_error(queries, off, pipeline.score_metric)
    return slack


def _largest_error(refine: Refiner, together: Together[Segment]) -> float | None:
    errors = [refine.largest_error(finer_of(segment)) for segment in together.segments]
    known = [error for error in errors if error is not None]
    return max(known, default=0.0) if len(known) == len(errors) else None
