"""Hierarchical identifiers: the path of each row in a tree of k-means clusterings, such as (3, 17, 2).

A model that generates such a path token by token retrieves the row; rows with a common beginning are alike.
Source: Yuan et al., "Generative Dense Retrieval: Memory Can Be a Burden", arXiv 2401.10487 (2024). Two things
differ from its code: equal rows are cut in row order, so that no split repeats without end, and the place in
the leaf stands in every path, also where a leaf has one row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cluscomp.clustering.hierarchical_tree import KMeansTree
from cluscomp.progress import Progress


def hierarchical_identifiers(
    x: Any,
    *,
    branching: int = 30,
    leaf_size: int = 30,
    balance: str = "exact",
    metric: str = "l2",
    n_iter: int = 10,
    seed: int | None = 0,
    progress: Progress | None = None,
) -> list[tuple[int, ...]]:
    """Name every row by its path: its child on each level of a tree, then its place in the leaf.

    Source: Yuan et al., arXiv 2401.10487 (2024).

    Args:
        x: rows (n, d), as `assign` takes them.
        branching: most children of a node.
        leaf_size: most rows of a leaf.
        balance: how children share the rows of a node, as `KMeansTree` takes it. "exact": the lengths of
            paths differ by one at most, and are equal where n = branching**j * leaf_size.
        metric: "l2" or "cosine".
        n_iter: most updates of each k-means.
        seed: of all random choices. The same rows in the same order have the same paths; in another order
            they may have others.
        progress: called as progress(stage, done, total) in rows that have reached their leaf.

    Returns:
        n paths of whole numbers from 0 on, all different, none of which is the beginning of another.

    Raises:
        UsageError: a parameter cannot work.
        DimensionError, DTypeError, NonFiniteError: as `assign` raises them.
    """
    tree = KMeansTree(
        branching, leaf_size=leaf_size, balance=balance, metric=metric, n_iter=n_iter, seed=seed
    ).fit(x, progress=progress)
    beginnings = _leaf_paths(tree)
    return [
        (*beginnings[leaf], place) for leaf, place in zip(tree.labels_, places(tree.labels_), strict=True)
    ]


def places(labels: np.ndarray) -> list[int]:
    """Number of each row (n,) among those of its label, in row order. labels: (n,) integers from 0 on."""
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    found = np.empty(len(labels), dtype=np.int64)
    found[order] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return found.tolist()


def _leaf_paths(tree: KMeansTree) -> list[tuple[int, ...]]:
    """Children from the root down to each leaf."""
    paths: list[tuple[int, ...]] = [()]
    for node in range(tree.node_leaf_.size):
        first, last = tree.first_child_[node : node + 2]
        paths += [(*paths[node], child) for child in range(last - first)]
    nodes = np.flatnonzero(tree.node_leaf_ >= 0)
    return [paths[node] for node in nodes[np.argsort(tree.node_leaf_[nodes])]]
