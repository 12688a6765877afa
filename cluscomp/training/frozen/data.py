"""What a frozen codec learns from: queries, their positives, and the exact scores as teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.errors import DimensionError, EmptyInputError, InputError


@dataclass(frozen=True)
class Pairs:
    """queries: (n, d) float32. positives: rows of the documents that answer each query; empty: none is known.

    nearest: (n, K) int64 rows with the largest exact inner products. own: (n,) the row that each query is,
    where documents stand for queries, else None.
    """

    queries: np.ndarray
    positives: tuple[np.ndarray, ...]
    nearest: np.ndarray
    own: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.queries)

    def take(self, numbers: np.ndarray) -> Pairs:
        """Some of the queries."""
        own = None if self.own is None else self.own[numbers]
        positives = tuple(self.positives[i] for i in numbers)
        return Pairs(self.queries[numbers], positives, self.nearest[numbers], own)

    def candidates(self) -> np.ndarray:
        """Rows (c,) that any of the queries is compared with, ascending."""
        own = [] if self.own is None else [self.own]
        return np.unique(np.concatenate([self.nearest.ravel(), *self.positives, *own]))

    def labels(self, rows: np.ndarray) -> np.ndarray:
        """(n, c) float32: positives share one, rows without positives are zero."""
        found = np.zeros((len(self), len(rows)), dtype=np.float32)
        for i, positive in enumerate(self.positives):
            if positive.size:
                found[i, np.searchsorted(rows, positive)] = 1 / positive.size
        return found


@dataclass(frozen=True)
class Task:
    """rows: (N, d) float32 documents. pseudo: documents that stand for queries. real: queries, or None.

    held_out: queries that choose the epoch; possibly none.
    """

    rows: np.ndarray
    pseudo: Pairs
    real: Pairs | None
    held_out: Pairs

    @property
    def teachers(self) -> Pairs:
        """The queries that epochs count."""
        return self.pseudo if self.real is None else self.real

    def spread(self) -> float:
        """Standard deviation of the exact scores of queries and documents: the unit of temperatures."""
        queries = self.teachers.queries[:1000]
        scores = queries @ self.rows[:: max(1, len(self.rows) // 1000)].T
        deviation = float(scores.std(dtype=np.float64))
        return deviation if deviation > 0 else 1.0


def split_pairs(pairs: Pairs, n_held: int, rng: np.random.Generator) -> tuple[Pairs, Pairs]:
    """Training pairs, and n_held others.

    A query that shares a positive with a held-out one is in neither: documents that were learned as answers
    would make the held-out queries look better than new ones will be.
    """
    order = rng.permutation(len(pairs))
    held = pairs.take(order[:n_held])
    answers = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *held.positives]))
    apart = [i for i in order[n_held:] if not np.isin(pairs.positives[i], answers).any()]
    return pairs.take(np.array(apart, dtype=np.int64)), held


def make_pairs(
    x: np.ndarray,
    queries: np.ndarray,
    positives: Sequence[Any] | None,
    n_nearest: int,
    *,
    own: np.ndarray | None = None,
) -> Pairs:
    """Check the positives and find the nearest rows; x, queries: float32, ready to be multiplied.

    Raises DimensionError (count, or a row number outside), EmptyInputError (no query has a positive).
    """
    if positives is None:
        checked: tuple[np.ndarray, ...] = (np.zeros(0, dtype=np.int64),) * len(queries)
    else:
        checked = checked_positives(positives, len(queries), len(x))
    return Pairs(queries, checked, nearest_rows(x, queries, n_nearest), own)


def nearest_rows(x: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """(n, k) rows of x with the largest inner products, best first; k is at most their number."""
    from cluscomp.indexes import index_factory

    index = index_factory("Flat", x.shape[1], "ip").add(x)
    _, rows = index.search(queries, min(k, len(x)))
    return np.asarray(rows)


def positives_of(
    qrels: Mapping[str, Mapping[str, int]], query_ids: Sequence[str], ids: Sequence[str]
) -> list[np.ndarray]:
    """Rows of the relevant documents (level above 0) of each query; queries without judgement get none.

    Raises InputError where no judged pair has both its query and its document in the files.
    """
    row_of = {name: row for row, name in enumerate(ids)}
    found = []
    for query in query_ids:
        levels = qrels.get(query, {})
        found.append(
            np.array(sorted(row_of[d] for d, r in levels.items() if r > 0 and d in row_of), np.int64)
        )
    if not any(rows.size for rows in found):
        raise InputError(
            f"none of the {len(qrels)} judged queries is among the {len(query_ids)} query ids with a "
            f"relevant document among the {len(ids)} document ids; check ids=, query_ids= and qrels="
        )
    return found


def checked_positives(positives: Sequence[Any], n_queries: int, n_rows: int) -> tuple[np.ndarray, ...]:
    """Rows (k,) int64 of each query, ascending. Raises as `make_pairs` does."""
    if len(positives) != n_queries:
        raise DimensionError(f"there are {n_queries} queries, but positives for {len(positives)}")
    checked = tuple(np.unique(np.asarray(rows, dtype=np.int64)) for rows in positives)
    for number, rows in enumerate(checked):
        if rows.size and not 0 <= rows[0] <= rows[-1] < n_rows:
            raise DimensionError(
                f"query {number} has the positive {rows[0] if rows[0] < 0 else rows[-1]}, but rows are 0 to "
                f"{n_rows - 1}"
            )
    if not any(rows.size for rows in checked):
        raise EmptyInputError("no query has a positive; pass positives=None to learn from exact scores alone")
    return checked
