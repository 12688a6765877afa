"""Which shards a query needs: those that hold rows of a list which it visits.

Of shards cut by rows that is all of them; of an index whose segments are cut by lists (`compact --by-list`),
a few. Each gets the queries that need it, and no others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cluscomp.distributed.search.candidates import Candidates
from cluscomp.distributed.search.groups import ShardPart, ask_each
from cluscomp.indexes.segments.segment import Segment, list_sizes


def lists_held(segments: Sequence[Segment], parts: Sequence[ShardPart], nlist: int) -> np.ndarray:
    """(shards, nlist) bool: lists of which each shard has rows."""
    return np.array([list_sizes(segments[part.first : part.last], nlist) > 0 for part in parts])


def queries_of(held: np.ndarray, lists: np.ndarray) -> np.ndarray:
    """Queries (m,) that visit a list which a shard holds. held: (nlist,) bool. lists: (nq, nprobe), negative
    is none.
    """
    return np.flatnonzero((held[np.maximum(lists, 0)] & (lists >= 0)).any(axis=1))


def ask_owners(
    method: str, held: np.ndarray, lists: np.ndarray, arguments_of: Callable[[Any], Sequence[Any]]
) -> list[Candidates]:
    """What shards answer to the queries that need them, as answers to all queries.

    held: as `lists_held`. lists: (nq, nprobe) that each query visits. arguments_of: arguments of the method
    for queries chosen by a slice or by numbers.
    """
    wanted = [queries_of(own, lists) for own in held]
    every = slice(None)
    arguments = [
        None if not rows.size else arguments_of(every if rows.size == len(lists) else rows) for rows in wanted
    ]
    found = ask_each(method, arguments)
    return [
        _for_all(answer, rows, len(lists))
        for answer, rows in zip(found, wanted, strict=True)
        if answer is not None
    ]


def _for_all(answer: Candidates, rows: np.ndarray, n_queries: int) -> Candidates:
    """An answer to some queries with nothing for the others."""
    if rows.size == n_queries:
        return answer
    return Candidates(
        _spread(answer.scores, rows, n_queries, -np.inf),
        _spread(answer.positions, rows, n_queries, -1),
        None if answer.finer is None else _spread(answer.finer, rows, n_queries, -np.inf),
    )


def _spread(values: np.ndarray, rows: np.ndarray, n: int, missing: float) -> np.ndarray:
    found = np.full((n, values.shape[1]), missing, dtype=values.dtype)
    found[rows] = values
    return found
