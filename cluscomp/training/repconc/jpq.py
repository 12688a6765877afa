"""RepCONC's second stage, JPQ: query tower and query centroids, with document codes frozen.

Source: Zhan et al., "Jointly optimizing query encoder and product quantization to improve retrieval
performance", CIKM 2021. In each step the queries of the batch search the index as it is now; known positives
among the hits are never negatives (the authors' later code forgets that).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cluscomp.training.distributed import average_gradients, rank_and_size
from cluscomp.training.losses import contrastive_loss, list_distillation_loss, rank_weighted_pair_loss
from cluscomp.training.optimizer import Optimizer
from cluscomp.training.relevance import on_device, positive_mask, repeated
from cluscomp.training.repconc.codec import TrainableCodec
from cluscomp.training.repconc.live_index import LiveIndex
from cluscomp.training.repconc.tower import TextTower
from cluscomp.training.settings import Settings
from cluscomp.training.stage import Metrics
from cluscomp.training.training_set import TrainingSet

if TYPE_CHECKING:
    from torch import Tensor


class Teacher:
    """Scores of uncompressed vectors. queries: (q, d), documents: (n, d) float32."""

    def __init__(self, queries: np.ndarray, documents: np.ndarray) -> None:
        self._queries, self._documents = queries, documents

    def scores(self, queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Inner products (b, r) of these queries (b,) with the documents rows (b, r)."""
        vectors = np.stack([np.asarray(self._documents[r]) for r in rows])
        products: np.ndarray = np.einsum("bd,brd->br", self._queries[queries], vectors)
        return products


class JpqStage:
    """See the module. index: of the documents, with their frozen codes. teacher: for distill_weight > 0."""

    name = "jpq"

    def __init__(
        self, settings: Settings, data: TrainingSet, index: LiveIndex, codec: TrainableCodec,
        queries: TextTower, optimizer: Optimizer, teacher: Teacher | None, *, scale: float,
    ) -> None:  # fmt: skip
        import torch

        self.settings, self.data, self.index, self.codec = settings, data, index, codec
        self.queries, self.optimizer, self.teacher, self.scale = queries, optimizer, teacher, scale
        self._codes = torch.from_numpy(index.codes)

    def step(self, number: int, queries: np.ndarray) -> Metrics:
        """See Stage."""
        rng = np.random.default_rng((self.settings.seed, 2, number, rank_and_size()[0]))
        encoded = self.queries.encode([self.data.queries[i] for i in queries], int(rng.integers(2**31)))
        self.optimizer.clear()
        rotated = self.codec.rotate(encoded.vectors)
        rows, positives = self._lists(queries, rotated)
        scores = self.scale * self._scores(rotated, rows)
        ranking = self._ranking(scores, positives, rows)
        total = ranking
        metrics = {"loss": float(ranking.detach())}
        if self.teacher is not None:
            target = on_device(self.scale * self.teacher.scores(queries, rows), scores)
            distilled = list_distillation_loss(scores, target, on_device(_repeats(rows), scores))
            total = total + self.settings.distill_weight * distilled
            metrics["distilled"] = float(distilled.detach())
        total.backward()
        encoded.backward()
        average_gradients(list(self.optimizer.named.values()))
        self.optimizer.step(number)
        found = (
            positives[:, : self.settings.live_negatives] & ~_repeats(rows)[:, : self.settings.live_negatives]
        )
        metrics["found"] = float(found.any(axis=1).mean())
        return metrics

    def arrays(self) -> dict[str, Tensor]:
        """See Stage: nothing, the codes follow from the first stage."""
        return {}

    def load(self, arrays: dict[str, Tensor]) -> None:
        """See Stage."""

    def _lists(self, queries: np.ndarray, rotated: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Retrieved rows of each query with its positives at the end (b, k + p), and which are positives.

        The positives of a query with fewer than the most are repeated, and a retrieved positive stands twice:
        repetitions count once (`_repeats`).
        """
        centroids = self.codec.centroids.detach().cpu().numpy()
        _, hits = self.index.search(rotated.detach().cpu().numpy(), centroids, self.settings.live_negatives)
        known = [self.data.positives[i] for i in queries.tolist()]
        most = max(map(len, known))
        appended = np.array([np.resize(positives, most) for positives in known])
        rows = np.concatenate([hits, appended], axis=1)
        return rows, np.stack([positive_mask([p], r)[0] for p, r in zip(known, rows, strict=True)])

    def _scores(self, rotated: Tensor, rows: np.ndarray) -> Tensor:
        """Scores (b, r): documents that several queries share are decoded once."""
        import torch

        unique, where = np.unique(rows, return_inverse=True)
        codes = self._codes[torch.from_numpy(unique)].long().to(rotated.device)
        everything = rotated @ self.codec.decode(codes).T
        return everything.gather(1, torch.from_numpy(where.reshape(rows.shape)).to(rotated.device))

    def _ranking(self, scores: Tensor, positives: np.ndarray, rows: np.ndarray) -> Tensor:
        again = _repeats(rows)
        if self.settings.jpq_loss == "list":
            return contrastive_loss(scores, on_device(positives & ~again, scores), on_device(again, scores))
        losses = [
            rank_weighted_pair_loss(
                scores[i][on_device(~again[i], scores)][None],
                on_device(positives[i][~again[i]][None], scores),
                cutoff=self.settings.live_negatives,
            )
            for i in range(len(rows))
        ]
        return sum(losses[1:], losses[0]) / len(losses)


def _repeats(rows: np.ndarray) -> np.ndarray:
    """(b, r) bool: whether the document stands earlier in its own list."""
    return np.stack([repeated(row) for row in rows])
