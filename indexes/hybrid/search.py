"""One ranking of what two searches find: candidates of either are scored by the other side, then fused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cluscomp.fusion import Fusion
from cluscomp.indexes.stages.hits import Hits

Score = Callable[[np.ndarray], np.ndarray]
"""Scores (nq, c) of rows at positions (nq, c); -inf where a position is -1."""


@dataclass(frozen=True)
class Candidates:
    """What either search has found. positions: (nq, c) ascending, -1 where there are fewer. vectors, words:
    (nq, c) float32 scores, -inf where they are not known, or a row has no term of the query.
    """

    positions: np.ndarray
    vectors: np.ndarray
    words: np.ndarray

    @classmethod
    def of(cls, vectors: Hits, words: Hits) -> Candidates:
        """The hits of both searches, each row once."""
        positions = np.concatenate([vectors.positions, words.positions], axis=1)
        unknown = np.full(vectors.scores.shape, -np.inf, dtype=np.float32)
        by_words = np.concatenate([unknown, words.scores], axis=1)
        unknown = np.full(words.scores.shape, -np.inf, dtype=np.float32)
        by_vectors = np.concatenate([vectors.scores, unknown], axis=1)
        order = np.argsort(positions, axis=1, kind="stable")
        in_order = _each_row(order)
        positions, by_vectors, by_words = positions[in_order], by_vectors[in_order], by_words[in_order]
        rows, columns = np.nonzero((positions[:, 1:] == positions[:, :-1]) & (positions[:, 1:] >= 0))
        by_words[rows, columns] = by_words[rows, columns + 1]
        positions[rows, columns + 1] = -1
        by_vectors[positions < 0] = by_words[positions < 0] = -np.inf
        return cls(positions, by_vectors, by_words)

    def scored(self, by_vectors: Score, by_words: Score) -> Candidates:
        """With the scores by each side of what only the other has found."""
        words = _filled(self.words, self.positions, by_words)
        words = np.where(words > 0, words, np.float32(-np.inf))  # a row without a term of the query is no hit
        return Candidates(self.positions, _filled(self.vectors, self.positions, by_vectors), words)

    def fused(self, rule: Fusion, k: int) -> Hits:
        """The k best; equal scores are ordered by position. Scores float32."""
        total = np.full(self.positions.shape, -np.inf)
        for number, scores in enumerate((self.vectors, self.words)):
            first = _each_row(np.argsort(-scores, axis=1, kind="stable")[:, : rule.depth])
            best = scores[first]
            points = np.where(best > -np.inf, rule.weights[number] * rule.points(number, best), -np.inf)
            before = total[first]
            added = np.where(before > -np.inf, before + np.where(points > -np.inf, points, 0.0), points)
            total[first] = added
        first = _each_row(np.argsort(-total, axis=1, kind="stable")[:, :k])
        scores = total[first]
        return Hits(scores.astype(np.float32), np.where(scores > -np.inf, self.positions[first], -1))


def _filled(scores: np.ndarray, positions: np.ndarray, score: Score) -> np.ndarray:
    """Scores with those that are missing."""
    missing = (scores == -np.inf) & (positions >= 0)
    width = int(missing.sum(axis=1).max(initial=0))
    if not width:
        return scores
    first = _each_row(np.argsort(~missing, axis=1, kind="stable")[:, :width])
    is_wanted = missing[first]
    wanted = np.where(is_wanted, positions[first], -1)
    found = scores.copy()
    found[first] = np.where(is_wanted, score(wanted), scores[first])
    return found


def _each_row(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The index of columns (n, c) of each row of a matrix."""
    return np.arange(len(columns))[:, None], columns
