"""Numbering of clusters."""

from __future__ import annotations

import numpy as np


def by_first_appearance(labels: np.ndarray) -> np.ndarray:
    """The same partition (n,) int32 with labels 0, 1, ... in the order in which they appear."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(first.shape[0], dtype=np.int32)
    rank[np.argsort(first)] = np.arange(first.shape[0], dtype=np.int32)
    return rank[inverse]
