"""Clustering the rank units of one module in coordinates of their span.

k-means sees distances only, and n units span at most n dimensions: coordinates (n, n) with the same inner
products have the same clusters as the units (n, d_in + d_out), and come from the Gram matrix that the report
needs anyway.

Labels must not depend on how that matrix was rounded. So starts are drawn in the order of the rows (the other
k-means of this package order them by a hash of their bits), and equal units get equal coordinates.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.clustering.balanced.kmeans import BalancedKMeans
from cluscomp.clustering.kmeans import KMeans
from cluscomp.clustering.labels import by_first_appearance
from cluscomp.clustering.seeding import far_rows
from cluscomp.clustering.ward_estimator import Ward

_DRAWN_STARTS, _STEPS = 4, 50


def cluster_units(units: np.ndarray, gram: np.ndarray, k: int, clustering: str, seed: int) -> np.ndarray:
    """Labels (n,) of units (n, d), from 0 without a gap, in the order of first members; k < n.

    Equal units stand together. gram: (n, n) float64 inner products of the units. clustering: one of
    kmeans or balanced, which gives each cluster floor(n/k) or ceil(n/k) units. seed: of all starts but one.
    """
    points = _coordinates(units, gram)
    runs = [_run(points, start, clustering) for start in _starts(points, k, seed)]
    return by_first_appearance(min(runs, key=lambda run: run.inertia_).labels_)


def _starts(points: np.ndarray, k: int, seed: int) -> Iterator[np.ndarray]:
    """Centroids (k, d) to start from: of Ward's clusters, often the best for adapters, and drawn ones."""
    yield Ward(k).fit(points).cluster_centers_
    rng, ones = checks.rng(seed), np.ones(points.shape[0])
    for _ in range(_DRAWN_STARTS):
        yield points[far_rows(points, ones, k, rng)]


def _run(points: np.ndarray, start: np.ndarray, clustering: str) -> Any:
    kind = KMeans if clustering == "kmeans" else BalancedKMeans
    return kind(start.shape[0], init=start, n_iter=_STEPS).fit(points)


def _coordinates(units: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """Points (n, n) float32 around 0 with the distances of the units, in units of the largest coordinate."""
    values, vectors = np.linalg.eigh(gram)
    points = vectors * np.sqrt(np.maximum(values, 0.0))
    points -= points.mean(axis=0)
    points /= np.abs(points).max() or 1.0
    new = np.append(True, (units[1:] != units[:-1]).any(axis=1))
    first = np.flatnonzero(new)[np.cumsum(new) - 1]
    return points[first].astype(np.float32)
