"""A text encoder under training: texts to vectors with gradient, in chunks of similar length.

With a chunk size the gradient cache of Gao et al. ("Scaling deep contrastive learning batch size under memory
limited setup", RepL4NLP 2021) holds the activations of one chunk at a time: vectors first, without gradient;
after the loss each chunk runs again with the same random numbers and passes its gradient on.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cluscomp.vocabulary import Side

if TYPE_CHECKING:
    from torch import Tensor

TEXTS_PER_FORWARD = 16
"""Texts of one forward pass; sorted by length, so that little of it is padding."""


@dataclass
class Encoded:
    """Vectors (n, d) for a loss. After loss.backward(), call `backward` to reach the encoder."""

    vectors: Tensor
    _replay: list[tuple[Any, list[int], int]] = field(default_factory=list)

    def backward(self) -> None:
        """Run the chunks of the gradient cache again and pass their gradients on; nothing without cache."""
        import torch

        for forward, rows, seed in self._replay:
            if self.vectors.grad is not None:
                with torch.random.fork_rng(devices=_devices(self.vectors)):
                    torch.manual_seed(seed)
                    forward().backward(self.vectors.grad[rows])


class TextTower:
    """One side of a sentence-transformers model.

    model: SentenceTransformer, also with a Router. side: "query" or "document". max_length: tokens read of a
    text while training. chunk: texts whose activations are kept at once; None: all (no gradient cache).
    bf16: forward passes in bfloat16 where the operators have it; vectors and weights stay float32.
    """

    def __init__(
        self, model: Any, side: Side, *, prompt: str, max_length: int, chunk: int | None, bf16: bool
    ) -> None:
        self.model, self.side, self.prompt = model, side, prompt
        self.max_length, self.chunk, self.bf16 = max_length, chunk, bf16

    def encode(self, texts: Sequence[str], seed: int) -> Encoded:
        """Vectors of the texts, in their order. seed: of dropout."""
        import torch

        parts = self._parts(texts, self.chunk or TEXTS_PER_FORWARD)
        order = torch.tensor([row for part in parts for row in part]).argsort()
        if self.chunk is None:
            torch.manual_seed(seed)
            return Encoded(torch.cat([self._forward([texts[i] for i in part]) for part in parts])[order])
        replay, vectors = [], []
        for number, part in enumerate(parts):
            forward = _Forward(self, [texts[i] for i in part])
            with torch.no_grad():
                torch.manual_seed(seed + number)
                vectors.append(forward())
            replay.append((forward, part, seed + number))
        return Encoded(torch.cat(vectors)[order].requires_grad_(), replay)

    def _parts(self, texts: Sequence[str], size: int) -> list[list[int]]:
        order = sorted(range(len(texts)), key=lambda i: (-len(texts[i]), i))
        return [order[start : start + size] for start in range(0, len(order), size)]

    def _forward(self, texts: list[str]) -> Tensor:
        from sentence_transformers.util import batch_to_device

        before = self.model.max_seq_length
        self.model.max_seq_length = min(self.max_length, before or self.max_length)
        try:
            features = self.model.preprocess(texts, prompt=self.prompt, task=self.side)
        finally:
            self.model.max_seq_length = before
        device = self.model.device
        with self._autocast(device.type):
            rows = self.model(batch_to_device(features, device), task=self.side)["sentence_embedding"]
        return rows.float()

    def _autocast(self, device_type: str) -> AbstractContextManager[Any]:
        import torch

        return torch.autocast(device_type, dtype=torch.bfloat16) if self.bf16 else nullcontext()


@dataclass(frozen=True)
class _Forward:
    """One chunk, to be run twice."""

    tower: TextTower
    texts: list[str]

    def __call__(self) -> Tensor:
        return self.tower._forward(self.texts)


def _devices(vectors: Tensor) -> list[Any]:
    return [vectors.device] if vectors.device.type == "cuda" else []
