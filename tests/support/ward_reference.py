"""Plain, slow Ward in float64: all pairs, the cheapest merge first, sums of squares from the members."""

from __future__ import annotations

import numpy as np


def ward_partition(x: np.ndarray, k: int) -> list[list[int]]:
    """Groups of row numbers after merging the cheapest pair until k are left (no ties expected)."""
    groups = [[i] for i in range(len(x))]
    x = np.asarray(x, np.float64)
    while len(groups) > k:
        means = [x[g].mean(0) for g in groups]
        best = None
        for i in range(len(groups)):
            for j in range(i):
                a, b = len(groups[i]), len(groups[j])
                cost = a * b / (a + b) * ((means[i] - means[j]) ** 2).sum()
                if best is None or cost < best[0]:
                    best = (cost, i, j)
        _, i, j = best
        groups[j] = groups[j] + groups.pop(i)
    return sorted(sorted(g) for g in groups)


def partition(labels) -> list[list[int]]:
    """The groups of row numbers that labels describe."""
    labels = np.asarray(labels)
    return sorted(np.flatnonzero(labels == label).tolist() for label in np.unique(labels))


def scipy_tree(x: np.ndarray, linkage_input: str) -> np.ndarray:
    """scipy's linkage matrix with the three inputs that implementations hand to it."""
    import warnings

    from scipy.cluster.hierarchy import ClusterWarning, linkage
    from scipy.spatial.distance import squareform

    x = np.asarray(x, np.float64)
    if linkage_input == "euclidean":
        return linkage(x, "ward")
    norms = np.linalg.norm(x, axis=1)
    unit = x / np.where(norms > 0, norms, 1)[:, None]
    square = np.clip(1 - unit @ unit.T, 0, 2)
    np.fill_diagonal(square, 0 if linkage_input == "cosine_condensed" else np.diag(square))
    if linkage_input == "cosine_condensed":
        return linkage(squareform(square, checks=False), "ward")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ClusterWarning)
        return linkage(square, "ward")


def check_cheapest(x: np.ndarray, tree: np.ndarray) -> None:
    """Every merge of a linkage matrix joins a pair that was the cheapest at its turn, up to rounding."""
    x = np.asarray(x, np.float64)
    groups = {i: [i] for i in range(len(x))}
    for step, (a, b, height, size) in enumerate(tree):
        names = list(groups)
        means = np.stack([x[groups[name]].mean(0) for name in names])
        sizes = np.array([len(groups[name]) for name in names], float)
        share = 2 * sizes[:, None] * sizes / (sizes[:, None] + sizes)
        heights = np.sqrt(share * ((means[:, None] - means) ** 2).sum(2))
        np.fill_diagonal(heights, np.inf)
        assert heights[names.index(int(a)), names.index(int(b))] <= heights.min() + 1e-6
        assert abs(height - heights.min()) < 1e-6
        groups[len(x) + step] = groups.pop(int(a)) + groups.pop(int(b))
        assert len(groups[len(x) + step]) == size
