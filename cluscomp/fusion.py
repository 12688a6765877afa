"""What lists of hits give the documents in them: normalised scores (convex combination), or reciprocal ranks.

Sources: Bruch, Gai, Ingber, "An analysis of fusion functions for hybrid retrieval", TOIS 2023 (convex
combination, theoretical minimum); Cormack, Clarke, Buettcher, "Reciprocal rank fusion outperforms Condorcet
and individual rank learning methods", SIGIR 2009.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cluscomp import checks
from cluscomp.errors import DimensionError, UsageError
from cluscomp.vocabulary import FUSION_METHODS, NORMALISATIONS, FusionMethod, Normalisation

DEPTH = 100
RANK_CONSTANT = 60.0
WEIGHT = 0.5
"""Of the first of two lists."""


@dataclass(frozen=True)
class Fusion:
    """A rule of fusion. weights: of each list. depth: documents of each list that take part. c: of "rrf".
    minima: the least score of each list, for the normalisation "tmm".
    """

    method: FusionMethod
    weights: tuple[float, ...]
    depth: int
    c: float
    normalise: Normalisation
    minima: tuple[float, ...] | None

    @classmethod
    def of(
        cls,
        n_lists: int,
        *,
        method: FusionMethod = "cc",
        weights: Sequence[float] | None = None,
        depth: int = DEPTH,
        c: float = RANK_CONSTANT,
        normalise: Normalisation = "minmax",
        minima: Sequence[float] | None = None,
    ) -> Fusion:
        """The rule for n_lists lists; weights None: all equal, with sum 1.

        Raises UsageError, DimensionError.
        """
        shares = _weights(weights, n_lists)
        checks.one_of("method", method, FUSION_METHODS)
        checks.one_of("normalise", normalise, NORMALISATIONS)
        if (minima is None) == (normalise == "tmm"):
            raise UsageError(
                f"normalise is {normalise!r} and minima are {'missing' if minima is None else 'given'}; "
                "'tmm' needs the least score that each list can have, and the others have no use for it"
            )
        lowest = None
        if minima is not None:
            lowest = tuple(checks.number("minima", least) for least in _one_each("minima", minima, n_lists))
        constant = checks.number("c", c, low=0)
        return cls(method, shares, checks.integer("depth", depth, 1), constant, normalise, lowest)

    def points(self, number: int, scores: np.ndarray) -> np.ndarray:
        """What list `number` gives its documents, before its weight, (nq, d) float64.

        scores: (nq, d) of its hits, best first, and -inf behind, where 0 is given.
        """
        there = scores > -np.inf
        if self.method == "rrf":
            ranks = np.arange(1, scores.shape[1] + 1, dtype=np.float64)
            return np.where(there, 1 / (self.c + ranks), 0.0)
        if not scores.size:
            return np.zeros(scores.shape)
        values = np.where(there, scores, 0.0).astype(np.float64)
        last = np.min(np.where(there, scores, np.inf), axis=1, keepdims=True).astype(np.float64)
        first, low = values[:, :1], last
        high = first
        if self.normalise == "dbsf":
            low, high = _deviations(values, there)
        elif self.minima is not None:
            low = np.full_like(first, self.minima[number])
        is_flat = (first <= last) | (high <= low)
        given = (values - low) / np.where(is_flat, 1.0, high - low)
        return np.where(there, np.where(is_flat, 1.0, given), 0.0)


def _deviations(values: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean less and plus 3 standard deviations of the scores of each row."""
    n = np.maximum(1, there.sum(axis=1, keepdims=True))
    mean = values.sum(axis=1, keepdims=True) / n
    spread = 3 * np.sqrt((np.where(there, values - mean, 0.0) ** 2).sum(axis=1, keepdims=True) / n)
    return mean - spread, mean + spread


def _weights(weights: Sequence[float] | None, n_lists: int) -> tuple[float, ...]:
    if weights is None:
        return (1 / n_lists,) * n_lists
    found = tuple(
        checks.number("weights", weight, low=0) for weight in _one_each("weights", weights, n_lists)
    )
    if not any(found):
        raise UsageError(f"all {n_lists} weights are 0; at least one list must count")
    return found


def _one_each(name: str, values: Sequence[float], n_lists: int) -> list[float]:
    if len(values) != n_lists:
        raise DimensionError(f"there are {len(values)} {name} for {n_lists} lists; give one for each")
    return list(values)
