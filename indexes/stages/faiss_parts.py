"""Parts of faiss indexes that several stages are made of. faiss: the imported module."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np


def faiss_metric(faiss: ModuleType, metric: str) -> Any:
    """Faiss's name of a metric; cosine is the inner product of rows that were normalised before."""
    return faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT


def linear_link(faiss: ModuleType, matrix: np.ndarray, shift: np.ndarray | None = None) -> Any:
    """X -> matrix x + shift as a link of a chain. matrix: (d_out, d_in) float32 with orthonormal rows."""
    linear = faiss.LinearTransform(matrix.shape[1], matrix.shape[0], shift is not None)
    faiss.copy_array_to_vector(np.ascontiguousarray(matrix).reshape(-1), linear.A)
    if shift is not None:
        faiss.copy_array_to_vector(shift, linear.b)
    linear.is_trained = True
    linear.set_is_orthonormal()
    return linear


def chain(faiss: ModuleType, links: list[Any], core: Any) -> Any:
    """`core` behind the links: an IndexPreTransform around another for each."""
    index = core
    for link in reversed(links):
        index = faiss.IndexPreTransform(link, index)
    index.is_trained = True
    return index
