"""Balanced lists within their bound again: the rows beyond it move to other lists, by what their codes say.

Of each list the rows stay that were added first. The others are placed one after the other, in order of
adding, as rows are that are added: each into the best list by its decoded vector that has room. Codes that
are residuals to a centroid are made again; the finer codes of a rerank, by which they are made where there
are some, stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.errors import UsageError
from cluscomp.indexes.segments.segment import list_sizes
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.stages.codec import Codes
from cluscomp.indexes.stages.ivf import ListAssigner
from cluscomp.indexes.stages.pipeline import BLOCK_ROWS, Pipeline
from cluscomp.progress import Progress, Ticker


@dataclass(frozen=True)
class Rebalanced:
    """segments: with all rows. moved: vectors that are in another list now. encoded: whose codes were made
    again.
    """

    segments: tuple[StoredSegment, ...]
    moved: int = 0
    encoded: int = 0


def require_bound(pipeline: Pipeline) -> None:
    """Raise UsageError for a key whose lists have no bound."""
    partition = pipeline.partition
    if partition is None or partition.largest_allowed(1) is None:
        what = "no lists" if partition is None else f"the lists of {partition.spec}, which have no bound"
        raise UsageError(
            f"rebalance=True moves rows of balanced lists (BIVF), but the key {str(pipeline.spec)!r} has "
            f"{what}; compact without it"
        )


def rebalanced(
    pipeline: Pipeline, segments: Sequence[StoredSegment], progress: Progress | None = None
) -> Rebalanced:
    """Segments whose lists together keep the bound of the rows that they hold.

    progress: in vectors that move. Raises UsageError where lists have no bound.
    """
    require_bound(pipeline)
    partition = pipeline.partition
    assert partition is not None
    sizes = list_sizes(segments, partition.nlist)
    bound, excess = partition.beyond_bound(sizes)
    if not excess or bound is None:
        return Rebalanced(tuple(segments))
    surplus = _surplus(pipeline, segments, bound)
    assigner = partition.list_assigner(np.minimum(sizes, bound), sum(map(len, surplus)))
    ticker = Ticker(progress, "rebalance", sum(map(len, surplus)))
    moved = tuple(
        _moved(pipeline, segment, numbers, assigner, ticker) if numbers.size else segment
        for segment, numbers in zip(segments, surplus, strict=True)
    )
    n = sum(map(len, surplus))
    return Rebalanced(moved, n, n if pipeline.uses_residuals else 0)


def _surplus(pipeline: Pipeline, segments: Sequence[StoredSegment], bound: int) -> list[np.ndarray]:
    """Per segment the vectors that come after the first `bound` of their list over all segments."""
    held, found = np.zeros(pipeline.spec.nlist, dtype=np.int64), []
    for segment in segments:
        vectors = segment.vectors(pipeline)
        lists = vectors.lists(np.arange(vectors.n))
        assert lists is not None
        counts = np.bincount(lists, minlength=len(held))
        order = np.argsort(lists, kind="stable")
        first = np.cumsum(counts) - counts
        rank = np.empty(len(lists), dtype=np.int64)
        rank[order] = np.arange(len(lists)) - first[lists[order]]
        found.append(np.flatnonzero(rank + held[lists] >= bound))
        held += counts
    return found


def _moved(
    pipeline: Pipeline,
    segment: StoredSegment,
    numbers: np.ndarray,
    assigner: ListAssigner,
    ticker: Ticker,
) -> StoredSegment:
    """The segment with some vectors in other lists."""
    vectors = segment.vectors(pipeline)
    lists = np.empty(len(numbers), dtype=np.int32)
    codes: list[Codes] = []
    for block in iter_blocks(len(numbers), BLOCK_ROWS):
        base = vectors.base_rows(numbers[block])
        projected = vectors.projected(numbers[block]) if base is None else pipeline.project(base)
        lists[block] = assigner.assign(projected)
        if pipeline.uses_residuals:
            codes.append(pipeline.codes(projected, lists[block]))
        ticker.advance(block.stop - block.start)
    new = {name: np.concatenate([part[name] for part in codes]) for name in codes[0]} if codes else {}
    moved = segment.relisted(pipeline, numbers, lists, new)
    return moved.changed(attributes=segment.attributes, texts=segment.texts)
