"""Which token vectors of a document go together: the grouping methods of pooling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cluscomp.arrays import to_float32
from cluscomp.clustering.kmeans import cluster_rows
from cluscomp.clustering.labels import by_first_appearance
from cluscomp.clustering.medoids import KMedoids
from cluscomp.vocabulary import PoolMethod

_KMEANS_STEPS = 20


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


def clustered_groups(
    method: PoolMethod,
    rows: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
    counts: np.ndarray,
    *,
    seed: int,
    advance: Callable[[int], None],
) -> tuple[np.ndarray, np.ndarray]:
    """Cluster the rows of each document by itself into counts[i] groups.

    method: "kmeans" (20 steps from k-means++) or "kmedoids" (FasterPAM on Euclidean distances).
    Returns labels (n,) int32, numbered by first appearance, -1 outside all documents, and the number of
    groups (n_docs,) int64; it is below counts[i] where fewer rows are distinct.
    """
    labels = np.full(rows.shape[0], -1, dtype=np.int32)
    found = np.zeros(starts.shape[0], dtype=np.int64)
    cluster = _kmeans if method == "kmeans" else _kmedoids
    for i, (start, stop, k) in enumerate(zip(starts, stops, counts, strict=True)):
        n = int(stop - start)
        if n > 0:
            alone = int(k) >= n
            own = np.arange(n) if alone else by_first_appearance(cluster(rows[start:stop], int(k), seed))
            labels[start:stop] = own
            found[i] = own.max() + 1
        advance(1)
    return labels, found


def _kmeans(rows: np.ndarray, k: int, seed: int) -> np.ndarray:
    labels = cluster_rows(rows, k, n_iter=_KMEANS_STEPS, init="k-means++", seed=seed, with_labels=True).labels
    assert labels is not None  # with_labels was set
    return labels


def _kmedoids(rows: np.ndarray, k: int, seed: int) -> np.ndarray:
    return KMedoids(k, seed=seed, max_train_rows=None).fit_predict(to_float32(rows))
