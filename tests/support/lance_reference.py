"""Lance's index of given centroids and codebooks, by NumPy in float64: lists, codes and distances."""

from __future__ import annotations

from typing import Any

import numpy as np

# Every form of codec that has a counterpart, and the metric of Lance for ours.
COPIED = {
    "PQ4": {"ip": "dot", "l2": "L2", "cosine": "dot"},
    "PQ4x4": {"ip": "dot", "l2": "L2", "cosine": "dot"},
    "SQ4": {"ip": "dot", "l2": "L2", "cosine": "dot"},
    "OPQ4,PQ4": {"ip": "dot", "l2": "L2", "cosine": "dot"},
    "OPQ4_8,PQ4x4": {"ip": "dot", "l2": "L2", "cosine": "dot"},
    "MRL12,PQ4": {"ip": "dot", "l2": "L2", "cosine": "dot"},
    "IVF8,Flat": {"ip": "dot", "l2": "L2", "cosine": "dot"},
    "IVF8,SQ4": {"l2": "L2", "cosine": "cosine"},
    "IVF8,PQ4": {"l2": "L2", "cosine": "cosine"},
    "OPQ4,IVF8,PQ4": {"l2": "L2", "cosine": "cosine"},
    "OPQ2,IVF8,PQ4x4": {"l2": "L2", "cosine": "cosine"},
    "L2norm,IVF8,PQ4,Refine(SQfp16)": {"ip": "cosine", "l2": "L2"},
    "MRL8,OPQ4,IVF8,PQ4x4,RFlat": {"ip": "cosine", "l2": "L2", "cosine": "cosine"},
}
CASES = [(key, metric, name) for key, metrics in COPIED.items() for metric, name in metrics.items()]


def lance_lists(arguments: dict[str, Any], rows: np.ndarray) -> np.ndarray:
    """The list of each row, as Lance chooses it."""
    centroids = arguments["ivf_centroids"].astype(np.float64)
    if arguments["metric"] == "dot":
        return (rows @ centroids.T).argmax(axis=1)
    return ((rows[:, None] - centroids) ** 2).sum(axis=2).argmin(axis=1)


def lance_distances(arguments: dict[str, Any], rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """(nq, n) float64: what Lance returns where it visits all lists. rows, queries: as it stores and asks."""
    rows, queries = rows.astype(np.float64), queries.astype(np.float64)
    if arguments["metric"] == "cosine":
        rows, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (rows, queries))
    if arguments["index_type"] == "IVF_PQ":
        near = arguments["ivf_centroids"][lance_lists(arguments, rows)] * (arguments["metric"] != "dot")
        rows = near + nearest_codewords(rows - near, arguments["pq_codebook"].astype(np.float64))
    if arguments["metric"] == "dot":
        return 1 - queries @ rows.T
    return ((queries[:, None] - rows) ** 2).sum(axis=2)


def nearest_codewords(rows: np.ndarray, codebooks: np.ndarray) -> np.ndarray:
    parts = np.split(rows, len(codebooks), axis=1)
    chosen = [
        book[((part[:, None] - book) ** 2).sum(axis=2).argmin(axis=1)]
        for part, book in zip(parts, codebooks, strict=True)
    ]
    return np.hstack(chosen)
