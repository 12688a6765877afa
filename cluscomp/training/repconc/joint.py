"""RepCONC's first stage: encoder and centroids together, codes under the uniform constraint in each step.

Source: Zhan et al., "Learning discrete representations via constrained clustering for effective and efficient
dense retrieval", WSDM 2022. What is done otherwise than in the authors' code: the transport runs in the log
domain; the error is a mean over all documents of a step, in all processes; known positives are never
negatives. Where a batch has few documents, vectors remembered of others fill the transport problem up (as
the queue of SwAV, Caron et al., NeurIPS 2020) and serve as further negatives: they move centroids, not the
encoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cluscomp.training.distributed import all_reduce, average_gradients, gather_rows, rank_and_size
from cluscomp.training.losses import contrastive_loss
from cluscomp.training.optimizer import Optimizer
from cluscomp.training.relevance import on_device, positive_mask, repeated
from cluscomp.training.repconc.codec import TrainableCodec, straight_through
from cluscomp.training.repconc.tower import TextTower
from cluscomp.training.settings import Settings
from cluscomp.training.stage import Metrics
from cluscomp.training.training_set import TrainingSet

if TYPE_CHECKING:
    from torch import Tensor


class Memory:
    """The last known vector of every document: those of the start, and over them what training computed.

    vectors: (n, d) float32, never written to. Only rows that were set take further memory.
    """

    def __init__(self, vectors: np.ndarray) -> None:
        self._vectors = vectors
        self._newer: dict[int, np.ndarray] = {}

    def set(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        """Remember newer vectors (r, d) of these rows."""
        self._newer.update(zip(rows.tolist(), vectors, strict=True))

    def get(self, rows: np.ndarray) -> np.ndarray:
        """Vectors (r, d) of the rows."""
        found = np.array(self._vectors[rows], dtype=np.float32)
        for position, row in enumerate(rows.tolist()):
            if row in self._newer:
                found[position] = self._newer[row]
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        """The newer vectors, for a checkpoint."""
        rows = np.array(sorted(self._newer), dtype=np.int64)
        newer = [self._newer[row] for row in rows.tolist()]
        return {"rows": rows, "vectors": np.array(newer, np.float32).reshape(-1, self._vectors.shape[1])}


class JointStage:
    """See the module. hard: (queries, h) document rows, the mined negatives of each query, -1 for none."""

    name = "joint"

    def __init__(
        self, settings: Settings, data: TrainingSet, hard: np.ndarray, memory: Memory, codec: TrainableCodec,
        *, queries: TextTower, documents: TextTower, optimizer: Optimizer, scale: float, square: float,
    ) -> None:  # fmt: skip
        self.settings, self.data, self.hard = settings, data, hard
        self.memory, self.codec, self.optimizer = memory, codec, optimizer
        self.queries, self.documents = queries, documents
        self.scale, self.square = scale, square
        self._start: Tensor | None = None  # column exponents of the last transport

    def step(self, number: int, queries: np.ndarray) -> Metrics:
        """See Stage."""
        import torch

        rng = np.random.default_rng((self.settings.seed, 1, number, rank_and_size()[0]))
        rows = self._documents_of(queries, rng)
        unique, where = np.unique(rows, return_inverse=True)
        seed = int(rng.integers(2**31))
        encoded_queries = self.queries.encode([self.data.queries[i] for i in queries], seed)
        encoded = self.documents.encode(self._texts(unique, queries), seed + len(queries))
        self.optimizer.clear()
        rotated_queries = self.codec.rotate(encoded_queries.vectors)
        rotated = self.codec.rotate(encoded.vectors)
        remembered, old = self._remembered(unique, rng, rotated)
        quantized, old_quantized, counts, moved = self._quantize(rotated, old)
        copies = torch.from_numpy(where.reshape(-1))
        documents = gather_rows(straight_through(quantized, rotated)[copies])
        all_rows = np.concatenate([_gather_numbers(rows, documents), remembered])
        scores = self.scale * rotated_queries @ torch.cat([documents, old_quantized]).T
        ranking = self._ranking(scores, queries, all_rows, len(all_rows) - len(remembered))
        error = self._error(quantized - rotated, old_quantized - old)
        (ranking + self.settings.error_weight * error).backward()
        encoded_queries.backward()
        encoded.backward()
        average_gradients(list(self.optimizer.named.values()))
        self.optimizer.step(number)
        self._remember(unique, encoded.vectors, queries)
        balance = counts.amax(dim=1).mean() * self.codec.k / counts[0].sum()
        metrics = {"loss": ranking.detach(), "error": error.detach(), "balance": balance, "moved": moved}
        return {name: float(value) for name, value in metrics.items()}

    def arrays(self) -> dict[str, Tensor]:
        """See Stage."""
        import torch

        found = {f"memory.{k}": torch.from_numpy(v) for k, v in self.memory.arrays().items()}
        return found if self._start is None else {**found, "start": self._start}

    def load(self, arrays: dict[str, Tensor]) -> None:
        """See Stage."""
        self.memory.set(arrays["memory.rows"].numpy(), arrays["memory.vectors"].numpy())
        if "start" in arrays:
            self._start = arrays["start"].to(self.codec.centroids.device)

    def _documents_of(self, queries: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One positive and `negatives` hard negatives a query, as one array: equally many for each query."""
        rows = []
        for query in queries.tolist():
            rows.append(int(rng.choice(self.data.positives[query])))
            pool = self.hard[query][self.hard[query] >= 0]
            pool = pool if pool.size else np.arange(len(self.data.documents))
            rows += rng.choice(
                pool, self.settings.negatives, replace=pool.size < self.settings.negatives
            ).tolist()
        return np.array(rows)

    def _texts(self, unique: np.ndarray, queries: np.ndarray) -> list[str]:
        """Contents; a document whose title stands for a query in this batch goes without its title."""
        cut = {self.data.positives[i][0] for i in queries.tolist() if self.data.is_pseudo[i]}
        return [
            self.data.bodies[row] if row in cut and self.data.bodies[row] else self.data.documents[row]
            for row in unique.tolist()
        ]

    def _remembered(
        self, unique: np.ndarray, rng: np.random.Generator, like: Tensor
    ) -> tuple[np.ndarray, Tensor]:
        """Other documents that fill the transport problem up: rows, and rotated vectors without gradient."""
        import torch

        wanted = max(0, self.settings.balance_rows - unique.size)
        rows = np.sort(draw_others(len(self.data.documents), unique, wanted, rng))
        vectors = torch.from_numpy(self.memory.get(rows)).to(like.device)
        return rows, self.codec.rotate(vectors)

    def _quantize(self, rotated: Tensor, old: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Decoded batch and memory, how often each centroid was taken (m, k), and the share of moved codes.

        Both are over all processes. A moved code is not that of the nearest centroid, which an index takes.
        """
        import torch

        with torch.no_grad():
            rows = torch.cat([rotated.detach(), old])
            nearest = self.codec.nearest_codes(rows)
            codes = self._codes(rows) if self.settings.constrained else nearest
            counts = torch.stack([torch.bincount(column, minlength=self.codec.k) for column in codes.T])
            counts = all_reduce(counts.double(), "sum")
            moved = all_reduce((codes != nearest).sum().double()[None], "sum")[0] / counts.sum()
        n = rotated.shape[0]
        return self.codec.decode(codes[:n]), self.codec.decode(codes[n:]), counts, moved

    def _codes(self, rows: Tensor) -> Tensor:
        """Codes (n, m) of rotated rows under the uniform constraint."""
        codes, self._start = self.codec.balanced_codes(
            rows, epsilon=self.settings.epsilon, cost_scale="range",
            n_iter=self.settings.transport_iterations, tol=1e-2, start=self._start, all_reduce=all_reduce,
        )  # fmt: skip
        return codes

    def _ranking(self, scores: Tensor, queries: np.ndarray, rows: np.ndarray, n_batch: int) -> Tensor:
        positives = positive_mask([self.data.positives[i] for i in queries.tolist()], rows)
        # A document twice in the batch competes once; remembered ones have no gradient to give as positives.
        excluded = np.broadcast_to(repeated(rows), positives.shape) & ~positives
        excluded[:, n_batch:] |= positives[:, n_batch:]
        positives[:, n_batch:] = False
        return contrastive_loss(scores, on_device(positives, scores), on_device(excluded, scores))

    def _error(self, new: Tensor, old: Tensor) -> Tensor:
        """Squared error relative to the squared length, mean over the documents of all processes.

        Gradients are averaged over processes afterwards, hence the factor.
        """
        _, size = rank_and_size()
        count = all_reduce(new.new_tensor([float(new.shape[0] + old.shape[0])]), "sum")[0]
        return (new.square().sum() + old.square().sum()) * size / (count * self.square)

    def _remember(self, unique: np.ndarray, vectors: Tensor, queries: np.ndarray) -> None:
        if self.settings.balance_rows <= unique.size:
            return
        cut = [self.data.positives[i][0] for i in queries.tolist() if self.data.is_pseudo[i]]
        keep = ~np.isin(unique, cut)  # those were read without their titles
        self.memory.set(unique[keep], vectors.detach().cpu().numpy()[keep])


def draw_others(n: int, taken: np.ndarray, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """`wanted` numbers (or all there are) of 0 to n - 1 that are not in `taken`, all different.

    The work is that of the numbers drawn, not of n.
    """
    if wanted == 0:
        return np.empty(0, dtype=np.int64)
    drawn = rng.choice(n, min(n, wanted + taken.size), replace=False, shuffle=False)
    others: np.ndarray = drawn[~np.isin(drawn, taken)][:wanted]
    return others


def _gather_numbers(rows: np.ndarray, like: Tensor) -> np.ndarray:
    """Document rows of all processes, in the order of `gather_rows`."""
    import torch

    numbers = torch.from_numpy(rows).to(like.device)
    gathered: np.ndarray = gather_rows(numbers).cpu().numpy()
    return gathered
