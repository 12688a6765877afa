"""Hits of a search: the best rows of each query, by score descending, then by position ascending."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Hits(NamedTuple):
    """scores: (nq, k) float32, best first, -inf where missing. positions: (nq, k) int64 over all segments, -1
    missing.
    """

    scores: np.ndarray
    positions: np.ndarray


def padded(hits: Hits, k: int) -> Hits:
    """Hits with k columns, of which those behind the ones that are there are missing."""
    if hits.scores.shape[1] >= k:
        return hits
    more = ((0, 0), (0, k - hits.scores.shape[1]))
    return Hits(
        np.pad(hits.scores, more, constant_values=-np.inf), np.pad(hits.positions, more, constant_values=-1)
    )


def cut(hits: Hits, k: int) -> Hits:
    """The first k columns."""
    return Hits(hits.scores[:, :k], hits.positions[:, :k])


def best_hits(scores: np.ndarray, positions: np.ndarray, k: int) -> Hits:
    """The k best columns of each row, by score descending, then position ascending, missing ones last."""
    keys = np.where(positions < 0, np.iinfo(np.int64).max, positions)
    order = np.lexsort((keys, -scores), axis=1)[:, :k]
    return Hits(np.take_along_axis(scores, order, axis=1), np.take_along_axis(positions, order, axis=1))


def merged_hits(found: Sequence[Hits], firsts: Sequence[int], k: int) -> Hits:
    """The best k of the hits of some segments, whose positions then count over all of them. firsts: position
    of the first row of each.
    """
    positions = [
        np.where(hits.positions >= 0, hits.positions + first, -1)
        for hits, first in zip(found, firsts, strict=True)
    ]
    scores = np.concatenate([hits.scores for hits in found], axis=1)
    return best_hits(scores, np.concatenate(positions, axis=1), k)


def no_hits(n_queries: int) -> Hits:
    """What a search of an index without rows finds."""
    return Hits(np.empty((n_queries, 0), dtype=np.float32), np.empty((n_queries, 0), dtype=np.int64))
