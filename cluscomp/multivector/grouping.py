"""Which token vectors of a document go together: the grouping methods of pooling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from cluscomp.clustering.assign import assign_rows
from cluscomp.clustering.kmeans import cluster_rows
from cluscomp.errors import UnknownKeyError

Method = Literal["ward", "kmeans", "sequential"]
METHODS: tuple[Method, ...] = get_args(Method)

_KMEANS_STEPS = 20


def check_method(name: str) -> Method:
    """The name of a grouping method, or UnknownKeyError."""
    for known in METHODS:
        if name == known:
            return known
    raise UnknownKeyError(f"method {name!r} is unknown; known are: {', '.join(METHODS)}")


def sequential_groups(starts: np.ndarray, stops: np.ndarray, counts: np.ndarray, n: int) -> np.ndarray:
    """Cut each run of rows into counts[i] groups of neighbours, as equal in size as possible.

    starts, stops: (n_docs,) rows of each document. Returns labels (n,) int32 within the document, -1 outside.
    """
    sizes = stops - starts
    document = np.repeat(np.arange(sizes.shape[0]), sizes)
    position = np.arange(document.shape[0]) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    labels = np.full(n, -1, dtype=np.int32)
    labels[position + starts[document]] = position * counts[document] // sizes[document]
    return labels


def kmeans_groups(
    rows: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
    counts: np.ndarray,
    *,
    seed: int,
    advance: Callable[[int], None],
) -> tuple[np.ndarray, np.ndarray]:
    """k-means (20 steps from k-means++) on the rows of each document by itself.

    Returns labels (n,) int32, numbered by first appearance, -1 outside all documents, and the number of
    groups (n_docs,) int64; it is below counts[i] where fewer rows are distinct.
    """
    labels = np.full(rows.shape[0], -1, dtype=np.int32)
    found = np.zeros(starts.shape[0], dtype=np.int64)
    for i, (start, stop, k) in enumerate(zip(starts, stops, counts, strict=True)):
        if stop > start:
            labels[start:stop] = _kmeans_labels(rows[start:stop], int(k), (seed, i))
            found[i] = labels[start:stop].max() + 1
        advance(1)
    return labels, found


def _kmeans_labels(rows: np.ndarray, k: int, seed: tuple[int, int]) -> np.ndarray:
    if k >= rows.shape[0]:
        return np.arange(rows.shape[0], dtype=np.int32)
    found = cluster_rows(rows, k, n_iter=_KMEANS_STEPS, init="k-means++", seed=seed)
    labels, _ = assign_rows(rows, found.centroids, "l2")
    return by_first_appearance(labels)


def by_first_appearance(labels: np.ndarray) -> np.ndarray:
    """The same partition with labels 0, 1, ... in the order in which they appear."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(first.shape[0], dtype=np.int32)
    rank[np.argsort(first)] = np.arange(first.shape[0], dtype=np.int32)
    return rank[inverse]
