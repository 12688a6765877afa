"""Whether vectors lie in the lists that their codes speak for, where searches do not look.

A vector went into the list nearest to it. What its finest codes stand for is a little off, and may lie beyond
the border of that list, but seldom beyond a few lists. Codes or positions that stand in lists of others are
far away. Two cases cannot be told by values: without a rerank, codes that are residuals are near to any
centroid, and positions say nothing but whose row it is. There the checksums are what protects them.
"""

from __future__ import annotations

import numpy as np

from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.stages.ivf import Ivf
from cluscomp.indexes.stages.pipeline import Pipeline

SAMPLED, FEWEST = 256, 64
NEAREST = 8
LEAST_SHARE = 0.5


def own_lists_fault(pipeline: Pipeline, segment: StoredSegment, sizes: np.ndarray) -> str | None:
    """What is wrong with the lists of a segment whose values are right, by evenly spaced vectors.

    sizes: (nlist,) vectors in the lists of all segments. A list that is full sends vectors elsewhere, so that
    those that would be in one are not looked at; nor are lists beyond their bound, which deletions left.
    Vectors of equal codes count once: many zero rows say no more than one.
    """
    partition = pipeline.partition
    if partition is None or partition.beyond_bound(sizes)[1]:
        return None
    vectors, nearest = segment.vectors(pipeline), min(NEAREST, max(1, partition.nlist // 8))
    numbers = np.unique(np.linspace(0, vectors.n - 1, SAMPLED).astype(np.int64))
    lists, base = vectors.lists(numbers), vectors.base_rows(numbers)
    assert lists is not None  # there is a partition
    rows = vectors.projected(numbers) if base is None else pipeline.project(base)
    different = np.unique(rows, axis=0, return_index=True)[1]
    ranked = partition.ranked(rows[different], nearest).lists
    judged = _has_room(partition, sizes)[ranked[:, 0]]
    inside = (ranked == lists[different, None]).any(axis=1)
    found, total = int(inside[judged].sum()), int(judged.sum())
    if total < FEWEST or found >= LEAST_SHARE * total:
        return None
    return (
        f"of {total} different vectors, {found} are in one of the {nearest} lists nearest to what their "
        f"codes stand for, but {LEAST_SHARE * total:g} or more must be: codes or positions stand in lists "
        "of others"
    )


def _has_room(partition: Ivf, sizes: np.ndarray) -> np.ndarray:
    """Whether (nlist,) each list may take a row of its own."""
    bound = partition.largest_allowed(int(sizes.sum()))
    return np.ones(len(sizes), dtype=bool) if bound is None else sizes < bound
