"""How many lists of a query vector count in the choice of candidates among documents that pass a condition.

Without a condition, candidates are told apart by the `nprobe` best lists of each query vector; vectors in all
others count as if they lay in the worst of these. Where few documents pass, few of their vectors lie in these
lists, and most would count alike. So as many lists count as hold at least the number of passing vectors that
the first `nprobe` hold of all: a condition costs no recall, as in segments/budget.py, and one that all
documents pass changes nothing. The cost of a search hardly depends on how many lists count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.indexes.multivector.segment import DocumentSegment
from cluscomp.indexes.segments.compacting import live_mask
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.multivector import Ragged

_PRODUCTS = 1 << 24
"""Scores of lists that are ranked at once."""


def vectors_in_lists(together: Together[DocumentSegment], nlist: int) -> np.ndarray:
    """Vectors (nlist,) int64 of documents that are not deleted, in each list; kept with the segments."""
    return together.made("vectors in lists", lambda: _vectors_in_lists(together, nlist))


def counted_lists(
    pipeline: Pipeline,
    together: Together[DocumentSegment],
    passing: Together[DocumentSegment],
    queries: Ragged,
    nprobe: int,
    most: int,
    held: Callable[[Any], np.ndarray],
) -> np.ndarray:
    """Lists (nq,) int64 that count for each query: of its vectors, the one that needs most decides.

    passing: the segments with all other documents deleted. queries: checked. nprobe: lists without a
    condition. most: upper bound, at least nprobe. held: vectors (nlist,) in each list, of the
    documents of some segments that are not deleted.
    """
    partition = pipeline.partition
    if partition is None or nprobe >= most:
        return np.full(len(queries), nprobe, dtype=np.int64)
    every, some = held(together), held(passing)
    rows = pipeline.project_queries(pipeline.base_rows(queries.rows))
    needed = np.empty(len(rows), dtype=np.int64)
    for block in iter_blocks(len(rows), max(1, _PRODUCTS // partition.nlist)):
        ranked = partition.ranked(rows[block], partition.nlist).lists
        budget = every[ranked[:, :nprobe]].sum(axis=1)
        sums = np.cumsum(some[ranked], axis=1)
        needed[block] = np.where(
            sums[:, -1] >= budget, (sums < budget[:, None]).sum(axis=1) + 1, partition.nlist
        )
    return np.clip(np.maximum.reduceat(needed, queries.offsets[:-1]), nprobe, most)


def _vectors_in_lists(together: Together[DocumentSegment], nlist: int) -> np.ndarray:
    counts = np.zeros(nlist, dtype=np.int64)
    for segment in together.segments:
        if segment.lists is not None:
            kept = np.repeat(live_mask(segment), np.diff(segment.doc_offsets))
            counts += np.bincount(segment.lists[kept], minlength=nlist)
    return counts
