"""Sparse search as plain NumPy: the sums of float32 products, term by term, that kernels must give bit for bit."""

from __future__ import annotations

import numpy as np


def scores_of(rows: np.ndarray, query: list[tuple[int, float]]) -> np.ndarray:
    """Scores (n,) float32. rows: (n, terms) float32 dense weights. query: terms and weights, ascending by term."""
    total = np.zeros(len(rows), dtype=np.float32)
    for term, weight in query:
        total += np.float32(weight) * rows[:, term]
    return total


def best(scores: np.ndarray, k: int, deleted: set[int] = frozenset()) -> list[tuple[int, float]]:
    """The k best rows with a score above 0 as (row, score): score descending, then row ascending."""
    found = [(row, float(score)) for row, score in enumerate(scores) if score > 0 and row not in deleted]
    return sorted(found, key=lambda hit: (-hit[1], hit[0]))[:k]


def hits(scores: np.ndarray, positions: np.ndarray) -> list[list[tuple[int, float]]]:
    """What a search returned in the form of `best`."""
    return [
        [(int(p), float(s)) for s, p in zip(*row, strict=True) if p >= 0]
        for row in zip(scores, positions, strict=True)
    ]
