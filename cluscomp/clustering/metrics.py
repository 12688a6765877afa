"""The three metrics of clustering and what each means for a row, a centroid and the objective.

| metric | a row joins the centroid with  | centroid                      | objective (smaller is better) |
|--------|--------------------------------|-------------------------------|-------------------------------|
| l2     | smallest squared distance      | weighted mean                 | sum w |x - c|^2               |
| ip     | largest inner product          | weighted mean                 | -sum w <x, c>                 |
| cosine | largest cosine                 | mean of unit rows, normalised | sum w (1 - cos(x, c))         |
"""

from __future__ import annotations

from typing import Literal

from cluscomp.vocabulary import Metric


def kernel_metric(metric: Metric) -> Literal["l2", "ip"]:
    """Metric of the native kernel: cosine is an inner product with unit centroids."""
    return "l2" if metric == "l2" else "ip"
