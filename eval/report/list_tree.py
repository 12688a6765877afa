"""The lists of an index as a tree: what lies in each of them, and which are alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cluscomp.arrays import iter_blocks, normalize_rows
from cluscomp.clustering.ward_estimator import Ward
from cluscomp.errors import TooLargeError, UsageError
from cluscomp.indexes.segments.compacting import live_mask
from cluscomp.indexes.stages.pipeline import BLOCK_ROWS, Pipeline

if TYPE_CHECKING:
    from cluscomp.indexes.any_index import AnyIndex

MOST_LISTS = 4096
SAMPLE = 1 << 18
MEDOIDS = 3
_NEAREST = 12  # vectors of a block that are looked at: a document may have several of them


@dataclass(frozen=True)
class ListTree:
    """Lists with rows, and their merges by Ward's method on the directions of their centroids.

    Attributes:
        numbers: (m,) int64 numbers of the lists.
        rows: (m,) int64 rows that are not deleted; vectors, where a document has several.
        cohesion: (m,) float64 mean cosine of a list's vectors with its centroid.
        medoids: ids of the documents nearest to each centroid, best first, at most MEDOIDS.
        merges: (m - 1, 2) int64 what is joined, nearest first: i < m is a list, m + i what merge i made.
    """

    numbers: np.ndarray
    rows: np.ndarray
    cohesion: np.ndarray
    medoids: list[list[str]]
    merges: np.ndarray


def list_tree(index: AnyIndex, **whose: Any) -> ListTree:
    """The tree of an index with lists.

    Cosines are those of the first rows of each list, 262144 in all, as the codes of the search have them.

    Args:
        index: an index of vectors, or of several vectors a document.
        **whose: `tenant`, as `Index.segments_of` has it.

    Returns:
        The tree; without lists where the index has no row.

    Raises:
        UsageError: the key has no lists, or no tenant was said.
        TooLargeError: there are more than 4096 lists.
    """
    pipeline, nlist = index.pipeline, index.spec.nlist
    if index.spec.partition is None:
        raise UsageError(f"the index has no lists, since its key is {index.key!r}")
    if nlist > MOST_LISTS:
        raise TooLargeError(f"a tree of {nlist} lists is too large to show; the most is {MOST_LISTS}")
    assert pipeline.partition is not None
    centres = normalize_rows(np.asarray(pipeline.partition.centroids, dtype=np.float32))
    sums, seen, rows = np.zeros(nlist), np.zeros(nlist, dtype=np.int64), np.zeros(nlist, dtype=np.int64)
    best: list[list[tuple[float, str]]] = [[] for _ in range(nlist)]
    for segment in index.segments_of(**whose):
        kept, lists = _first_of_lists(pipeline, segment, rows, max(8, SAMPLE // nlist))
        for block in iter_blocks(len(kept), BLOCK_ROWS):
            vectors = normalize_rows(segment.vectors(pipeline).projected(kept[block]))
            cosines = np.einsum("nd,nd->n", vectors, centres[lists[block]]).astype(np.float64)
            np.add.at(sums, lists[block], cosines)
            np.add.at(seen, lists[block], 1)
            _keep_best(best, segment, kept[block], lists[block], cosines)
    numbers = np.flatnonzero(rows)
    merges = np.zeros((0, 2), dtype=np.int64)
    if len(numbers) > 1:
        merges = Ward(n_clusters=1).fit(centres[numbers]).children_
    return ListTree(
        numbers,
        rows[numbers],
        sums[numbers] / np.maximum(1, seen[numbers]),
        [[name for _, name in best[number]] for number in numbers.tolist()],
        merges,
    )


def _first_of_lists(
    pipeline: Pipeline, segment: Any, rows: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and lists of the first live vectors of each list, `most` over all segments; counts all in
    `rows`.
    """
    vectors, document_of = segment.vectors(pipeline), _documents(segment)
    live, kept, in_lists = live_mask(segment), [], []
    for block in iter_blocks(vectors.n, BLOCK_ROWS):
        numbers = np.arange(block.start, block.stop)
        numbers = numbers[live[document_of(numbers)]]
        lists = vectors.lists(numbers).astype(np.int64)
        order = np.argsort(lists, kind="stable")
        numbers, lists = numbers[order], lists[order]
        counts = np.bincount(lists, minlength=len(rows))
        places = np.arange(len(lists)) - (np.cumsum(counts) - counts)[lists] + rows[lists]
        rows += counts
        kept.append(numbers[places < most])
        in_lists.append(lists[places < most])
    nothing = [np.empty(0, dtype=np.int64)]
    return np.concatenate(kept or nothing), np.concatenate(in_lists or nothing)


def _documents(segment: Any) -> Any:
    """From numbers of vectors to rows of the segment."""
    offsets = segment.vector_offsets()
    if offsets is None:
        return lambda numbers: numbers
    return lambda numbers: np.searchsorted(offsets, numbers, side="right") - 1


def _keep_best(
    best: list[list[tuple[float, str]]],
    segment: Any,
    kept: np.ndarray,
    lists: np.ndarray,
    cosines: np.ndarray,
) -> None:
    """Put the nearest documents of a block among the best of their lists, each document once."""
    documents = _documents(segment)(kept)
    order = np.lexsort((kept, -cosines, lists))
    starts = np.flatnonzero(np.r_[True, np.diff(lists[order]) > 0]).tolist() if len(order) else []
    for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
        chosen = order[start : min(stop, start + _NEAREST)]
        names = [str(one) for one in segment.ids.take(documents[chosen]).tolist()]
        known = best[int(lists[chosen[0]])]
        known += zip((-cosines[chosen]).tolist(), names, strict=True)
        known.sort(key=lambda one: one[0])
        once = {name: cosine for cosine, name in reversed(known)}  # the best cosine of each
        known[:] = sorted(((cosine, name) for name, cosine in once.items()), key=lambda one: one[0])[:MEDOIDS]
