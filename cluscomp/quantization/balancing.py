"""Codebooks whose centroids are used equally often in training, as RepCONC needs them for its start.

Each step assigns the rows by entropic transport with uniform masses on rows and centroids (costs scaled to
[-1, 1], epsilon 0.003) and moves every centroid to the mean of its rows. Encoding later takes the nearest
centroid, which spreads the codes more evenly, not exactly evenly.
Source: Zhan et al., "Learning discrete representations via constrained clustering for effective and efficient
dense retrieval" (RepCONC), WSDM 2022.
"""

from __future__ import annotations

import numpy as np

from cluscomp.clustering.lloyd import WeightedRows, update_centroids
from cluscomp.clustering.transport.result import SinkhornResult
from cluscomp.clustering.transport.sinkhorn import sinkhorn_points
from cluscomp.progress import Ticker
from cluscomp.quantization.codebooks import group

EPSILON = 0.003
ITERATIONS = 5
"""Iterations of Sinkhorn a step: potentials go from step to step, so few are enough."""


def balance_codebooks(
    x: np.ndarray, codebooks: np.ndarray, *, n_iter: int, ticker: Ticker | None = None
) -> np.ndarray:
    """Codebooks (m, k, width) after n_iter balanced steps on the rows x (n, m * width) float32."""
    m = codebooks.shape[0]
    moved = np.empty_like(codebooks)
    for j in range(m):
        moved[j] = _balance(WeightedRows(group(x, j, m), "l2"), codebooks[j], n_iter, ticker)
    return moved


def _balance(rows: WeightedRows, centroids: np.ndarray, n_iter: int, ticker: Ticker | None) -> np.ndarray:
    state: SinkhornResult | None = None
    no_gain = np.zeros(rows.x.shape[0], dtype=np.float32)  # an empty centroid stays where it is
    for _ in range(n_iter):
        state = sinkhorn_points(
            rows.x, centroids, epsilon=EPSILON, cost_scale="range", n_iter=ITERATIONS, tol=0, start=state
        )
        centroids = update_centroids(rows, state.labels, no_gain, centroids)
        if ticker is not None:
            ticker.advance(rows.x.shape[0])
    return centroids
