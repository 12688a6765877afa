"""The lists of an index as a map: centroids in two dimensions, their sizes, and what lies in one of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.errors import RequestRefusedError, UsageError
from cluscomp.indexes.segments.compacting import live_mask
from cluscomp.indexes.segments.segment import list_sizes
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.stages.pipeline import BLOCK_ROWS, Pipeline
from cluscomp.server.served import Served


def cluster_map(served: Served) -> dict[str, Any]:
    """Centroids by their first two principal components, weighted by size: x, y in -1 to 1, and rows; blocks.

    explained: share of the variance between centroids that the two components hold. Raises UsageError for an
    index without lists.
    """
    partition = served.index.pipeline.partition
    if partition is None:
        raise UsageError(f"{served.name!r} has no lists, since its key is {served.index.key!r}")
    sizes = list_sizes(served.index.segments, served.index.spec.nlist)
    places, explained = plane(np.asarray(partition.centroids, dtype=np.float64), sizes.astype(np.float64))
    lists = [
        {"number": number, "x": round(x, 5), "y": round(y, 5), "rows": rows}
        for number, ((x, y), rows) in enumerate(zip(places.tolist(), sizes.tolist(), strict=True))
    ]
    return {
        "index": served.name,
        "generation": served.generation,
        "explained": round(explained, 4),
        "lists": lists,
    }


def plane(points: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Weighted principal components: places (n, 2) within -1 to 1, and the share of variance in them.

    Signs are fixed by the largest entry of each component, so that a map does not turn over by chance.
    """
    shares = (weights + 1e-9) / (weights + 1e-9).sum()
    centered = points - shares @ points
    values, vectors = np.linalg.eigh(centered.T @ (centered * shares[:, None]))
    axes = np.zeros((points.shape[1], 2))
    n = min(2, points.shape[1])
    axes[:, :n] = vectors[:, ::-1][:, :n]
    largest = axes[np.abs(axes).argmax(axis=0), [0, 1]]
    places = centered @ (axes * np.where(largest < 0, -1.0, 1.0))
    scale = np.abs(places).max(initial=0.0)
    total = float(values.clip(min=0).sum())
    return places / (scale or 1.0), float(values[::-1][:n].clip(min=0).sum() / total) if total else 1.0


def members(served: Served, number: int, limit: int, whose: dict[str, Any]) -> dict[str, Any]:
    """The first rows of a list in order of adding, by id and title; blocks. whose: `tenant`, if one is said.

    Raises UsageError (no lists, or no tenant said), RequestRefusedError (no such list).
    """
    index = served.index
    if index.spec.partition is None:
        raise UsageError(f"{served.name!r} has no lists, since its key is {index.key!r}")
    if not 0 <= number < index.spec.nlist:
        raise RequestRefusedError(f"the lists are 0 to {index.spec.nlist - 1}", 404, "unknown-list")
    names: list[str] = []
    for segment in index.segments_of(**whose):
        rows = _rows_of_list(index.pipeline, segment, number)
        kept = rows[live_mask(segment)[rows]][: limit - len(names)]
        names += [str(one) for one in segment.ids.take(kept).tolist()]
    records = served.records(names, whose)
    documents = [{"id": one, "title": records[one].title} for one in names]
    return {"index": served.name, "generation": served.generation, "number": number, "documents": documents}


def _rows_of_list(pipeline: Pipeline, segment: StoredSegment, number: int) -> np.ndarray:
    """Positions, ascending, of the rows that have a vector in a list."""
    vectors, offsets = segment.vectors(pipeline), segment.vector_offsets()
    found = [np.empty(0, dtype=np.int64)]
    for block in iter_blocks(vectors.n, BLOCK_ROWS):
        lists = vectors.lists(np.arange(block.start, block.stop))
        found.append(np.flatnonzero(lists == number) + block.start)
    numbers = np.concatenate(found)
    return numbers if offsets is None else np.unique(np.searchsorted(offsets, numbers, side="right") - 1)
