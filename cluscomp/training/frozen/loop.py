"""The loop of frozen training: batches, epochs, and the choice of the epoch by held-out queries.

What a step learns from is a `Lessons`: documents of one vector in lessons.py, of several in late_lessons.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cluscomp import checks
from cluscomp.progress import Progress
from cluscomp.quantization.learned import LearnedCodec
from cluscomp.training.frozen.model import Adam, Parameters

LAST_RATE = 0.1
"""Learning rates fall linearly to this share."""


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


class Lessons(Protocol):
    """What there is to learn from.

    n: queries that an epoch counts. length: root mean square of the lengths of their vectors. has_queries:
    false where documents stand for all queries; no adapter learns then.
    """

    n: int
    length: float
    has_queries: bool

    def step(
        self, parameters: Parameters, picked: np.ndarray, rng: np.random.Generator
    ) -> tuple[float, Parameters]:
        """Loss and gradients of the queries with these numbers."""

    def held_out_ndcg(self, parameters: Parameters) -> float | None:
        """NDCG at 10 of the held-out queries, None where none is held out."""


def learn(
    lessons: Lessons,
    parameters: Parameters,
    settings: FrozenSettings,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> tuple[Parameters, tuple[Epoch, ...], int]:
    """The parameters of the kept epoch, all epochs with the state before them, and the kept one's number."""
    size = float(np.sqrt(np.mean(np.square(parameters.centroids), dtype=np.float64)))
    adapter = settings.adapter_lr if lessons.has_queries else 0.0
    adam = Adam((settings.centroid_lr * size, adapter, adapter * lessons.length))
    epochs = [Epoch(None, lessons.held_out_ndcg(parameters))]
    best, kept = parameters.copy(), 0
    for number in range(1, settings.epochs + 1):
        scale = 1 - (1 - LAST_RATE) * (number - 1) / settings.epochs
        loss = _epoch(lessons, parameters, settings.batch_size, rng, adam, scale)
        epochs.append(Epoch(loss, lessons.held_out_ndcg(parameters)))
        if epochs[-1].ndcg is None or epochs[-1].ndcg > (epochs[kept].ndcg or 0):
            best, kept = parameters.copy(), number
        if progress is not None:
            progress("epochs", number, settings.epochs)
    return best, tuple(epochs), kept


def _epoch(
    lessons: Lessons, parameters: Parameters, batch_size: int, rng: np.random.Generator, adam: Adam,
    scale: float,
) -> float:  # fmt: skip
    """One pass over the queries."""
    order = rng.permutation(lessons.n)
    losses = []
    for start in range(0, len(order), batch_size):
        loss, gradients = lessons.step(parameters, order[start : start + batch_size], rng)
        adam.step(parameters, gradients, scale)
        losses.append(loss)
    return float(np.mean(losses))
