"""Rows that shards found, and the rule by which they become the hits of one machine.

Without a rerank, the first k by (score, position) of what the shards found are the hits. With one, each shard
gives its best candidates with both scores. Those that one machine would have chosen are the first by (rough
score, position) of all, and the hits are the first k of these by (fine score, position). Fewer candidates of
each shard, or the best of each by fine scores, would not give the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cluscomp.indexes.stages.hits import Hits, best_hits

NOWHERE = np.iinfo(np.int64).max


class Candidates(NamedTuple):
    """Rows of each query by position over all segments, -1 where missing. scores: (nq, c) float32, by which
    they were chosen. finer: (nq, c) float32 scores of the rerank, None without one.
    """

    scores: np.ndarray
    positions: np.ndarray
    finer: np.ndarray | None = None


def joined(found: Sequence[Candidates], n_queries: int) -> Candidates:
    """Those of all shards side by side."""
    if not found:
        return Candidates(np.empty((n_queries, 0), np.float32), np.empty((n_queries, 0), np.int64))
    finer = [part.finer for part in found if part.finer is not None]
    return Candidates(
        np.concatenate([part.scores for part in found], axis=1),
        np.concatenate([part.positions for part in found], axis=1),
        np.concatenate(finer, axis=1) if finer else None,
    )


def best(found: Sequence[Candidates], n_queries: int, k: int) -> Hits:
    """The first k by (score, position); missing ones last."""
    together = joined(found, n_queries)
    return _filled(best_hits(together.scores, together.positions, k), k)


def best_of_chosen(found: Sequence[Candidates], n_queries: int, chosen: int, k: int) -> Hits:
    """The first k by (fine score, position) of the first `chosen` by (score, position)."""
    together = first(joined(found, n_queries), chosen)
    finer = together.scores if together.finer is None else together.finer
    return _filled(best_hits(finer, together.positions, k), k)


def first(candidates: Candidates, count: int) -> Candidates:
    """The first `count` by (score, position); missing ones last."""
    keys = np.where(candidates.positions < 0, NOWHERE, candidates.positions)
    order = np.lexsort((keys, -candidates.scores), axis=1)[:, :count]
    scores, positions = (np.take_along_axis(array, order, axis=1) for array in candidates[:2])
    finer = candidates.finer
    return Candidates(scores, positions, None if finer is None else np.take_along_axis(finer, order, axis=1))


def in_rows(found: Sequence[Hits], k: int) -> Hits:
    """Hits of blocks of queries below each other."""
    scores, positions = [np.empty((0, k), np.float32)], [np.empty((0, k), np.int64)]
    return Hits(
        np.concatenate([*scores, *(hits.scores for hits in found)]),
        np.concatenate([*positions, *(hits.positions for hits in found)]),
    )


def _filled(hits: Hits, k: int) -> Hits:
    """With k columns, also where shards that answered hold fewer rows."""
    missing = k - hits.scores.shape[1]
    if missing <= 0:
        return hits
    scores = np.pad(hits.scores, ((0, 0), (0, missing)), constant_values=-np.inf)
    return Hits(scores, np.pad(hits.positions, ((0, 0), (0, missing)), constant_values=-1))


def with_finer(rough: Hits, fine: Hits) -> Candidates:
    """Candidates in the order of `rough`, with the scores that `fine` gives the same positions."""
    here, there = np.argsort(rough.positions, axis=1), np.argsort(fine.positions, axis=1)
    finer = np.empty_like(fine.scores)
    np.put_along_axis(finer, here, np.take_along_axis(fine.scores, there, axis=1), axis=1)
    return Candidates(rough.scores, rough.positions, finer)
