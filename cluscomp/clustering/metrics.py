"""The three metrics of clustering and what each means for a row, a centroid and the objective.

| metric | a row joins the centroid with  | centroid                      | objective (smaller is better) |
|--------|--------------------------------|-------------------------------|-------------------------------|
| l2     | smallest squared distance      | weighted mean                 | sum w |x - c|^2               |
| ip     | largest inner product          | weighted mean                 | -sum w <x, c>                 |
| cosine | largest cosine                 | mean of unit rows, normalised | sum w (1 - cos(x, c))         |
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.vocabulary import Metric

_UNIT_VALUES = 1 << 22  # float64 values held at a time by unit_rows


def kernel_metric(metric: Metric) -> Literal["l2", "ip"]:
    """Metric of the native kernel: cosine is an inner product with unit centroids."""
    return "l2" if metric == "l2" else "ip"


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Rows of x scaled to length one in float64; a zero row stays zero."""
    unit = np.zeros(x.shape)
    for block in iter_blocks(x.shape[0], max(1, _UNIT_VALUES // x.shape[1])):
        rows = x[block].astype(np.float64)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        np.divide(rows, norms, out=unit[block], where=norms > 0)
    return unit
