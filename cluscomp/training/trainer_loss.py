"""The joint loss for sentence-transformers' own trainer."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cluscomp.errors import UsageError, require
from cluscomp.training.distributed import all_reduce
from cluscomp.training.losses import contrastive_loss, matryoshka_loss
from cluscomp.training.repconc.codec import TrainableCodec, quantization_error, straight_through

if TYPE_CHECKING:
    from torch import Tensor


@functools.cache
def repconc_loss_class() -> type[Any]:
    """The class `cluscomp.training.RepCONCLoss`, made when torch is there (see its docstring)."""
    torch = require("torch", extra="train", why="RepCONCLoss")

    class RepCONCLoss(torch.nn.Module):  # type: ignore[misc, name-defined]
        """Loss for SentenceTransformerTrainer: ranking on balanced product codes, and quantization error.

        model: the SentenceTransformer that is trained. rotation: (d_out, d) and centroids: (m, k, d_out/m),
        such as of a trained ProductQuantizer or LearnedCodec; the trainer moves the centroids along with the
        encoder. Columns: query, positive and, if any, negatives; the documents of a batch are negatives for
        each other's queries, except equal ones. scale: of inner products. epsilon: of the transport, relative
        to half the range of distances. error_weight: of the mean squared error. matryoshka_dims: also train
        prefixes of the continuous vectors by the same ranking loss, with matryoshka_weight.

        After training `centroids` goes, with the rotation, into a LearnedCodec.
        """

        def __init__(
            self, model: Any, rotation: Any, centroids: Any, *, scale: float = 20.0, epsilon: float = 0.01,
            error_weight: float = 1.0, transport_iterations: int = 100,
            matryoshka_dims: Sequence[int] = (), matryoshka_weight: float = 1.0,
        ) -> None:  # fmt: skip
            super().__init__()
            codec = TrainableCodec(rotation, centroids)
            self.model = model
            self.register_buffer("rotation", codec.rotation)
            self.centroids = torch.nn.Parameter(codec.centroids.detach())
            self.scale, self.epsilon, self.error_weight = scale, epsilon, error_weight
            self.transport_iterations = transport_iterations
            self.matryoshka_dims, self.matryoshka_weight = tuple(matryoshka_dims), matryoshka_weight

        def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Any = None) -> Tensor:
            vectors = [self.model(features)["sentence_embedding"] for features in sentence_features]
            if len(vectors) < 2:
                raise UsageError(
                    f"there are {len(vectors)} text columns, but query and positive are needed, in this order"
                )
            queries, documents = vectors[0], torch.cat(vectors[1:])
            codec = TrainableCodec.over(self.rotation, self.centroids)
            rotated = codec.rotate(documents)
            with torch.no_grad():
                codes, _ = codec.balanced_codes(
                    rotated, epsilon=self.epsilon, cost_scale="range", n_iter=self.transport_iterations,
                    tol=1e-2, all_reduce=all_reduce,
                )  # fmt: skip
            quantized = codec.decode(codes)
            scores = self.scale * codec.rotate(queries) @ straight_through(quantized, rotated).T
            positives, excluded = _pairs(len(queries), documents.detach())
            loss = contrastive_loss(scores, positives, excluded)
            loss = loss + self.error_weight * quantization_error(quantized, rotated)
            if self.matryoshka_dims:
                loss = loss + self.matryoshka_weight * matryoshka_loss(
                    queries, documents, lambda s: contrastive_loss(s, positives, excluded),
                    dims=self.matryoshka_dims, scale=self.scale,
                )  # fmt: skip
            return loss

        def get_config_dict(self) -> dict[str, Any]:
            """Settings, for the model card."""
            return {
                "scale": self.scale,
                "epsilon": self.epsilon,
                "error_weight": self.error_weight,
                "matryoshka_dims": list(self.matryoshka_dims),
            }

    return RepCONCLoss


def _pairs(n_queries: int, documents: Tensor) -> tuple[Tensor, Tensor]:
    """(positives, excluded), each (q, n): query i answers document i; its equals are not its negatives."""
    import torch

    positives = torch.eye(n_queries, len(documents), dtype=torch.bool, device=documents.device)
    same = torch.cdist(documents[:n_queries].float(), documents.float()) < 1e-6
    return positives, same & ~positives
