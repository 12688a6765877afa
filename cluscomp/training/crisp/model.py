"""One forward pass of a MultiVectorEncoder under training, and scores that pass gradients on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cluscomp.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor


def embed(model: Any, texts: Sequence[str], task: str) -> tuple[Tensor, Tensor]:
    """Vectors (B, T, d) and mask (B, T) bool of texts, with a gradient; task is "query" or "document"."""
    prompt = model.prompts.get(task) or None
    features = model.preprocess(list(texts), prompt=prompt, task=task)
    features = {k: v.to(model.device) if hasattr(v, "to") else v for k, v in features.items()}
    outputs = model(features, task=task)
    return outputs["token_embeddings"], outputs["attention_mask"].bool()


def set_max_length(model: Any, tokens: int) -> int:
    """Read at most `tokens` of a text; returns the limit before. Raises UsageError."""
    before = int(model.max_seq_length)
    if not 3 <= tokens <= before:
        raise UsageError(f"max_length is {tokens}, but the model reads 3 to {before} tokens of a text")
    model.max_seq_length = tokens
    return before


def maxsim_scores(queries: Tensor, query_mask: Tensor, documents: Tensor, mask: Tensor) -> Tensor:
    """One-directional MaxSim: sum over the vectors of a query of the largest inner product.

    queries: (A, S, d), query_mask: (A, S) bool, documents: (B, T, d), mask: (B, T) bool. Padding takes no
    part, whatever it holds. Returns (A, B); a document without vectors scores -inf, a query without vectors
    0.
    """
    import torch

    products = torch.einsum("asd,btd->abst", queries, documents)
    best = products.masked_fill(~mask[None, :, None, :], float("-inf")).amax(3)
    return best.masked_fill(~query_mask[:, None, :], 0).sum(2)
