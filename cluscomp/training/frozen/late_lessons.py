"""Lessons of documents that are several vectors each: rankings by MaxSim over all of their token vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cluscomp import native
from cluscomp.arrays import to_float32
from cluscomp.multivector import Ragged, maxsim
from cluscomp.multivector.ragged import offsets_of
from cluscomp.training.frozen.late_model import LateBatch, LateScorer
from cluscomp.training.frozen.loop import FrozenSettings
from cluscomp.training.frozen.model import Parameters, softmax

SHORTEST, LONGEST = 4, 16
"""Tokens of a run that stands for a query."""
_QUERIES_AT_ONCE = 64


@dataclass(frozen=True)
class LatePairs:
    """queries: float32 vectors. documents: (n, K) numbers that each is compared on. target: (n, K) softmax of
    the exact scores. labels: (n, K), the positives share one, all zero where none is known. temperature:
    (n,) of each query.
    """

    queries: Ragged
    documents: np.ndarray
    target: np.ndarray
    labels: np.ndarray
    temperature: np.ndarray

    def batch(self, numbers: np.ndarray, target: np.ndarray) -> LateBatch:
        """Some of the queries, with targets (n, K) of all."""
        return LateBatch(
            self.queries.take(numbers), self.documents[numbers], target[numbers], self.temperature[numbers]
        )


class LateLessons:
    """Scores of documents of several vectors; for the rest see `loop.Lessons`.

    pseudo: runs of document tokens that stand for queries. real: queries, or None.
    """

    def __init__(
        self, scorer: LateScorer, pseudo: LatePairs, real: LatePairs | None, settings: FrozenSettings
    ) -> None:
        self._scorer, self._pseudo, self._real = scorer, pseudo, real
        self._label_centroids = settings.label_centroids
        asked = pseudo if real is None else real
        self.n, self.has_queries = len(asked.queries), real is not None
        squares = np.square(asked.queries.rows).sum(axis=1)
        self.length = float(np.sqrt(np.mean(squares, dtype=np.float64)))
        if real is not None:
            weight = np.where(real.labels.any(axis=1), settings.label_weight, 0)[:, None]
            self._mixed = (weight * real.labels + (1 - weight) * real.target).astype(np.float32)

    def step(
        self, parameters: Parameters, picked: np.ndarray, rng: np.random.Generator
    ) -> tuple[float, Parameters]:
        """The adapter is to reach a mix of the positives and the exact scores. The centroids are to give the
        queries as they came their exact scores, so that they learn no more than to stand for the documents;
        where positives teach them too, they get the mix instead. Runs that stand for queries teach them, too.
        """
        if self._real is None:
            return self._plain(parameters, self._pseudo, picked)
        mixed = self._real.batch(picked, self._mixed)
        loss, slopes = self._scorer.loss(parameters, mixed, adapt=True, centroids=self._label_centroids)
        if not self._label_centroids:
            slopes.centroids += self._plain(parameters, self._real, picked)[1].centroids
        size = min(len(picked), len(self._pseudo.queries))
        stand_in = rng.choice(len(self._pseudo.queries), size=size, replace=False)
        slopes.centroids += self._plain(parameters, self._pseudo, stand_in)[1].centroids
        return loss, slopes

    def _plain(
        self, parameters: Parameters, pairs: LatePairs, picked: np.ndarray
    ) -> tuple[float, Parameters]:
        return self._scorer.loss(parameters, pairs.batch(picked, pairs.target), adapt=False)

    def held_out_ndcg(self, parameters: Parameters) -> float | None:
        """None: no query is held out."""
        return None


def make_late_pairs(
    tokens: Ragged,
    kept: Ragged,
    queries: Ragged,
    positives: Sequence[np.ndarray] | None,
    settings: FrozenSettings,
    own: np.ndarray | None = None,
) -> LatePairs:
    """Compare each query on the documents whose pooled vectors score best, and on its positives.

    tokens, kept: all vectors of the documents, and the pooled ones. own: (n,) document that a query is from,
    and is not compared on; or None. Exact scores are those of all tokens.
    """
    n, count = len(queries), min(settings.n_nearest, len(kept) - (own is not None))
    documents = np.empty((n, count), dtype=np.int64)
    labels = np.zeros((n, count), dtype=np.float32)
    spread = np.empty(n, dtype=np.float32)
    for start in range(0, n, _QUERIES_AT_ONCE):
        part = queries.part(slice(start, min(start + _QUERIES_AT_ONCE, n)))
        scores = maxsim(part.rows, part.lengths, kept.rows, kept.lengths)
        for i, row in enumerate(scores, start):
            spread[i] = row.std(dtype=np.float64)
            if own is not None:
                row[own[i]] = -np.inf
            wanted = np.zeros(0, np.int64) if positives is None else positives[i][:count]
            row[wanted] = np.inf
            documents[i] = np.argpartition(-row, count - 1)[:count]
            if wanted.size:
                labels[i] = np.isin(documents[i], wanted) / np.float32(wanted.size)
    temperature = np.where(spread > 0, spread, 1) * np.float32(settings.temperature)
    exact = _scores_of(tokens, queries, documents)
    return LatePairs(queries, documents, softmax(exact / temperature[:, None]), labels, temperature)


def _scores_of(tokens: Ragged, queries: Ragged, documents: np.ndarray) -> np.ndarray:
    """MaxSim (n, K) of each query with its documents (n, K); a document is read once, for all its queries."""
    scores = np.empty(documents.shape, dtype=np.float32)
    order = np.argsort(documents, axis=None, kind="stable")
    used, starts = np.unique(documents.ravel()[order], return_index=True)
    for document, places in zip(used.tolist(), np.split(order, starts[1:]), strict=True):
        asked = queries.take(places // documents.shape[1])
        part = tokens.part(slice(document, document + 1))
        scores.ravel()[places] = native.maxsim(asked.rows, asked.offsets, part.rows, part.offsets)[:, 0]
    return scores


def token_runs(tokens: Ragged, n: int, rng: np.random.Generator) -> tuple[Ragged, np.ndarray]:
    """Runs of neighbouring tokens, of 4 to 16, that stand for n queries, and the document (n,) of each."""
    own = np.sort(rng.choice(np.flatnonzero(tokens.lengths > 0), size=n))
    lengths = np.minimum(rng.integers(SHORTEST, LONGEST + 1, size=n), tokens.lengths[own])
    first = tokens.offsets[own] + rng.integers(tokens.lengths[own] - lengths + 1)
    offsets = offsets_of(lengths, int(lengths.sum()))
    rows = np.repeat(first - offsets[:-1], lengths) + np.arange(offsets[-1])
    return Ragged(to_float32(tokens.rows[rows]), offsets), own
