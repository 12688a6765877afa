"""The loop of frozen training: batches, epochs, and the choice of the epoch by held-out queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cluscomp import checks
from cluscomp.progress import Progress
from cluscomp.quantization.learned import LearnedCodec
from cluscomp.training.frozen.data import Pairs, Task
from cluscomp.training.frozen.model import Adam, Batch, Parameters, Scorer, softmax

LAST_RATE = 0.1
"""Learning rates fall linearly to this share."""
DEPTH = 10


@dataclass(frozen=True)
class FrozenSettings:
    """How `train_frozen` learns; the defaults were set with SciFact in view.

    query_share: of the queries' second moment in the metric; 0 is plain OPQ. epochs: passes over the queries.
    batch_size: queries a step. n_nearest: documents a query that the exact scores are compared on.
    label_weight: of the positives, against the exact scores (0 to 1). label_centroids: positives teach the
    centroids too, not the query adapter alone; they then learn which documents are answers, which helps where
    the same documents will be answers again, and harms the others. temperature: of the softmax, times the
    standard deviation of the exact scores. centroid_lr: times the root mean square of the centroids.
    adapter_lr: of W; of b times the root mean square of the queries' lengths. held_out: share of the queries
    that choose the epoch; 0 takes the last. n_pseudo: documents that stand for queries, in all.
    """

    query_share: float = 0.5
    epochs: int = 10
    batch_size: int = 128
    n_nearest: int = 200
    label_weight: float = 0.5
    label_centroids: bool = False
    temperature: float = 0.5
    centroid_lr: float = 0.02
    adapter_lr: float = 1e-4
    held_out: float = 0.0
    n_pseudo: int = 2048

    def check(self) -> None:
        """Raise UsageError for a value that cannot work."""
        for name, most in (("query_share", 1), ("label_weight", 1), ("held_out", 0.5)):
            checks.number(name, getattr(self, name), low=0, high=most)
        for name in ("epochs", "batch_size", "n_nearest", "n_pseudo"):
            checks.integer(name, getattr(self, name), 1)
        checks.number("temperature", self.temperature, above=0)


@dataclass(frozen=True)
class Epoch:
    """loss: mean over the steps. ndcg: of the held-out queries at 10, None without them."""

    loss: float | None
    ndcg: float | None


def initial(codec: LearnedCodec) -> Parameters:
    """The state before training: centroids as they are, no adapter."""
    dim = codec.dim
    return Parameters(
        codec.document_centroids.copy(), np.zeros((dim, dim), np.float32), np.zeros(dim, np.float32)
    )


def learn(
    scorer: Scorer,
    parameters: Parameters,
    task: Task,
    settings: FrozenSettings,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> tuple[Parameters, tuple[Epoch, ...], int]:
    """The parameters of the kept epoch, all epochs with the state before them, and the kept one's number."""
    size = float(np.sqrt(np.mean(np.square(parameters.centroids), dtype=np.float64)))
    length = float(np.sqrt(np.mean(np.square(task.teachers.queries).sum(axis=1), dtype=np.float64)))
    adapter = settings.adapter_lr if task.real is not None else 0.0
    adam = Adam((settings.centroid_lr * size, adapter, adapter * length))
    epochs = [Epoch(None, held_out_ndcg(scorer, parameters, task))]
    best, kept = parameters.copy(), 0
    for number in range(1, settings.epochs + 1):
        scale = 1 - (1 - LAST_RATE) * (number - 1) / settings.epochs
        loss = _epoch(scorer, parameters, task, settings, rng, adam, scale)
        epochs.append(Epoch(loss, held_out_ndcg(scorer, parameters, task)))
        if not len(task.held_out) or (epochs[-1].ndcg or 0) > (epochs[kept].ndcg or 0):
            best, kept = parameters.copy(), number
        if progress is not None:
            progress("epochs", number, settings.epochs)
    return best, tuple(epochs), kept


def _epoch(
    scorer: Scorer, parameters: Parameters, task: Task, settings: FrozenSettings, rng: np.random.Generator,
    adam: Adam, scale: float,
) -> float:  # fmt: skip
    """One pass over the queries; each step takes as many documents that stand for queries."""
    order = rng.permutation(len(task.teachers))
    losses = []
    for start in range(0, len(order), settings.batch_size):
        picked = order[start : start + settings.batch_size]
        if task.real is None:
            loss, gradients = _step(scorer, parameters, task, task.pseudo.take(picked), settings)
        else:
            loss, gradients = _step(scorer, parameters, task, task.real.take(picked), settings)
            stand_in = rng.choice(len(task.pseudo), size=min(len(picked), len(task.pseudo)), replace=False)
            _, more = _step(scorer, parameters, task, task.pseudo.take(stand_in), settings)
            gradients.centroids += more.centroids
        adam.step(parameters, gradients, scale)
        losses.append(loss)
    return float(np.mean(losses))


def _step(
    scorer: Scorer, parameters: Parameters, task: Task, pairs: Pairs, settings: FrozenSettings
) -> tuple[float, Parameters]:
    """Loss and gradients.

    The adapter is to reach a mix of the positives and the softmax of the exact scores; the centroids are to
    reach the softmax of the adapted queries' exact scores, so that they learn no more than to stand for the
    documents. Where positives teach them too, both have the mix.
    """
    rows = pairs.candidates()
    documents = task.rows[rows].T
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


def _teacher(scores: np.ndarray, temperature: np.float32, own: np.ndarray | None = None) -> np.ndarray:
    """Softmax of exact scores, without the document that a query is."""
    if own is not None:
        scores[np.arange(len(scores)), own] = -np.inf
    return softmax(scores / temperature)


def held_out_ndcg(scorer: Scorer, parameters: Parameters, task: Task) -> float | None:
    """NDCG at 10 of the held-out queries over all documents, as the index will rank them.

    Relevant are the positives; for a query without, the exact 10 nearest. None without held-out queries.
    """
    held = task.held_out
    if not len(held):
        return None
    found = scorer.search(parameters, held.queries, DEPTH + 1, adapt=held.own is None)
    discounts = 1 / np.log2(np.arange(2, DEPTH + 2))
    total = 0.0
    for i, hits in enumerate(found):
        relevant = held.positives[i] if held.positives[i].size else held.nearest[i]
        if held.own is not None:
            hits, relevant = hits[hits != held.own[i]], relevant[relevant != held.own[i]]
        gains = np.isin(hits[:DEPTH], relevant if held.positives[i].size else relevant[:DEPTH])
        total += discounts[: len(gains)][gains].sum() / discounts[: min(DEPTH, len(relevant))].sum()
    return float(total / len(held))
