"""Lessons of documents that are one vector each: what a step of the loop learns from them."""

from __future__ import annotations

import numpy as np

from cluscomp.training.frozen.data import Pairs, Task
from cluscomp.training.frozen.loop import FrozenSettings
from cluscomp.training.frozen.model import Batch, Parameters, Scorer, softmax

DEPTH = 10


class RowLessons:
    """Scores of the rows of a task; for the rest see `loop.Lessons`."""

    def __init__(self, scorer: Scorer, task: Task, settings: FrozenSettings) -> None:
        self._scorer, self._task, self._settings = scorer, task, settings
        queries = task.teachers.queries
        self.n, self.has_queries = len(queries), task.real is not None
        self.length = float(np.sqrt(np.mean(np.square(queries).sum(axis=1), dtype=np.float64)))

    def step(
        self, parameters: Parameters, picked: np.ndarray, rng: np.random.Generator
    ) -> tuple[float, Parameters]:
        """Each step takes as many documents that stand for queries as queries."""
        task = self._task
        loss, gradients = self._step(parameters, task.teachers.take(picked))
        if task.real is not None:
            stand_in = rng.choice(len(task.pseudo), size=min(len(picked), len(task.pseudo)), replace=False)
            gradients.centroids += self._step(parameters, task.pseudo.take(stand_in))[1].centroids
        return loss, gradients

    def _step(self, parameters: Parameters, pairs: Pairs) -> tuple[float, Parameters]:
        """Loss and gradients.

        The adapter is to reach a mix of the positives and the softmax of the exact scores; the centroids are
        to reach the softmax of the adapted queries' exact scores, so that they learn no more than to stand
        for the documents. Where positives teach them too, both have the mix.
        """
        scorer, settings = self._scorer, self._settings
        rows = pairs.candidates()
        documents = self._task.rows[rows].T
        if pairs.own is not None:
            own = np.searchsorted(rows, pairs.own)
            target = _teacher(pairs.queries @ documents, scorer.temperature, own)
            return scorer.loss(parameters, Batch(pairs.queries, rows, target, own=own), adapt=False)
        target = _teacher(pairs.queries @ documents, scorer.temperature)
        labels = pairs.labels(rows)
        weight = np.where(labels.any(axis=1), settings.label_weight, 0)[:, None].astype(np.float32)
        mixed = weight * labels + (1 - weight) * target
        exact = None
        if not settings.label_centroids:
            exact = _teacher(parameters.adapt(pairs.queries) @ documents, scorer.temperature)
        return scorer.loss(parameters, Batch(pairs.queries, rows, mixed, exact))

    def held_out_ndcg(self, parameters: Parameters) -> float | None:
        """NDCG at 10 of the held-out queries over all documents, as the index will rank them.

        Relevant are the positives; for a query without, the exact 10 nearest. None without held-out queries.
        """
        held = self._task.held_out
        if not len(held):
            return None
        found = self._scorer.search(parameters, held.queries, DEPTH + 1, adapt=held.own is None)
        discounts = 1 / np.log2(np.arange(2, DEPTH + 2))
        total = 0.0
        for i, hits in enumerate(found):
            relevant = held.positives[i] if held.positives[i].size else held.nearest[i]
            if held.own is not None:
                hits, relevant = hits[hits != held.own[i]], relevant[relevant != held.own[i]]
            gains = np.isin(hits[:DEPTH], relevant if held.positives[i].size else relevant[:DEPTH])
            total += discounts[: len(gains)][gains].sum() / discounts[: min(DEPTH, len(relevant))].sum()
        return float(total / len(held))


def _teacher(scores: np.ndarray, temperature: np.float32, own: np.ndarray | None = None) -> np.ndarray:
    """Softmax of exact scores, without the document that a query is."""
    if own is not None:
        scores[np.arange(len(scores)), own] = -np.inf
    return softmax(scores / temperature)
