"""Pairs of query and relevant document, and their order in training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cluscomp.errors import TooFewRowsError
from cluscomp.training.training_set import TrainingSet


@dataclass(frozen=True)
class Pairs:
    """Every pair of a query and one of its positives.

    queries, documents: (n,) rows of the texts in `texts`.
    """

    texts: TrainingSet
    queries: np.ndarray
    documents: np.ndarray

    @classmethod
    def of(cls, texts: TrainingSet) -> Pairs:
        """All pairs of a training set, in its order."""
        pairs = [(q, d) for q, positives in enumerate(texts.positives) for d in positives]
        rows = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return cls(texts, rows[:, 0], rows[:, 1])

    def __len__(self) -> int:
        return self.queries.shape[0]

    def relevant(self, chosen: np.ndarray) -> np.ndarray:
        """Whether document j of the chosen pairs is a positive of query i, (B, B) bool."""
        known = [self.texts.positives[query] for query in self.queries[chosen]]
        return np.array([np.isin(self.documents[chosen], own) for own in known])


def batches(n: int, batch_size: int, epochs: int, seed: int) -> list[np.ndarray]:
    """Numbers of the pairs of each step; every epoch has its own order and drops what fills no batch.

    Raises TooFewRowsError when there is less than one batch.
    """
    if n < batch_size:
        raise TooFewRowsError(f"there are {n} pairs, but a batch has {batch_size}; lower the batch size")
    steps: list[np.ndarray] = []
    for epoch in range(epochs):
        order = np.random.default_rng((seed, epoch)).permutation(n)
        steps += np.split(order[: n // batch_size * batch_size], n // batch_size)
    return steps
