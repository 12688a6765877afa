"""Directions in which centroids vary most, by which assignment bounds pairs before it looks at the others.

The kernels prove each bound (cpp_ext/include/cluscomp/prefix_filter.h): directions change the time of an
assignment, never its result.
"""

from __future__ import annotations

import numpy as np

from cluscomp import native
from cluscomp.clustering.blocks import answering_signals

SHARE = 4
"""One direction for so many dimensions."""
_STEP = 16  # directions of one panel of the kernels
_LEAST_DIM = 128
_LEAST_CLUSTERS = {"avx2": 2048, "avx512": 4096}
"""By instruction set; with fewer, the rotation of a row takes what it saves. Others were not measured."""
_LEAST_PAIRS = 1 << 26  # whose bounds take about as long as the directions of 384 dimensions


def pays_to_bound_by_directions(n: int, n_clusters: int, dim: int) -> bool:
    """Whether directions shorten the steps of k-means with n rows."""
    least = _LEAST_CLUSTERS.get(native.simd_level())
    if least is None or n_clusters < least:
        return False
    return dim >= _LEAST_DIM and n * n_clusters >= _LEAST_PAIRS


def main_directions(points: np.ndarray) -> np.ndarray:
    """The first principal directions (d, m) float32 of points (k, d) float32 around their mean: about d / 4
    of them, in steps of 16.
    """
    dim = points.shape[1]
    centred = points - points.mean(axis=0)
    centred /= max(float(np.abs(centred).max()), float(np.finfo(np.float32).tiny))  # no square overflows
    covariance = (centred.T @ centred).astype(np.float64)
    vectors = answering_signals(lambda: np.linalg.eigh(covariance)[1])
    count = -(-dim // (SHARE * _STEP)) * _STEP
    return np.ascontiguousarray(vectors[:, ::-1][:, :count], dtype=np.float32)
