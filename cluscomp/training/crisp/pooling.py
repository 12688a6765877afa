"""Pooling inside training: the groups are constants, the means carry the gradient.

Source: "CRISP: Clustering Multi-Vector Representations for Denoising and Pruning", arXiv 2505.11471. The
paper does not say how gradients pass; a mean is c = sum x_i / |C|, so that dL/dx_i = dL/dc / |C| with the
groups fixed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluscomp import checks
from cluscomp.errors import UsageError
from cluscomp.multivector.pooling import pool_tokens
from cluscomp.training.distributed import all_reduce, gather_rows
from cluscomp.vocabulary import POOL_METHODS

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PoolingRule:
    """How the vectors of one text become fewer.

    vectors: kept at most, protected ones included; a shorter text keeps all. share: kept of all, floor(share
    * n) but one at least. Exactly one of them, or neither: nothing is pooled. method, protected and seed as
    in `pool_tokens`. renormalize: scale all results to length 1, as the index does; the paper's means are
    plain.
    """

    vectors: int | None = None
    share: float | None = None
    method: str = "ward"
    renormalize: bool = True
    protected: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        checks.one_of("method", self.method, POOL_METHODS)
        if self.vectors is not None and self.share is not None:
            raise UsageError("vectors and share are both given; pass one of them, or neither to pool nothing")
        if self.vectors is not None:
            checks.integer("vectors", self.vectors, 1)
        if self.share is not None:
            checks.number("share", self.share, above=0, high=1)
        checks.integer("protected", self.protected, 0)

    @property
    def pools(self) -> bool:
        """Whether anything is pooled."""
        return self.vectors is not None or self.share is not None

    @classmethod
    def parse(cls, text: str, **options: Any) -> PoolingRule:
        """The rule of "8" (vectors), "25%" (share) or "none"; options as the fields. Raises UsageError."""
        if text == "none":
            return cls(**options)
        try:
            if text.endswith("%"):
                return cls(share=float(text[:-1]) / 100, **options)
            return cls(vectors=int(text), **options)
        except ValueError as exc:
            if isinstance(exc, UsageError):
                raise
            raise UsageError(
                f"budget {text!r} is unknown; give a number of vectors as 8, a share as 25%, or none"
            ) from None

    def __str__(self) -> str:
        """As `parse` takes it."""
        if self.vectors is not None:
            return str(self.vectors)
        return "none" if self.share is None else f"{100 * self.share:g}%"


def pool_padded(tokens: Tensor, mask: Tensor, rule: PoolingRule) -> tuple[Tensor, Tensor]:
    """Means of groups of the vectors of each text, differentiable in the vectors.

    tokens: (B, T, d), mask: (B, T) bool, True where there is a vector; groups are found on detached values.
    Returns means (B, K, d) of the dtype of `tokens`, zeros behind the last one of a text, and mask (B, K)
    bool.
    """
    import torch

    if not rule.pools:
        return tokens, mask
    rows = tokens[mask]
    labels, kept = _groups(rows, mask.sum(1), rule)
    total = int(kept.sum())
    sums = rows.new_zeros(total, rows.shape[1]).index_add(0, labels, rows)
    means = sums / torch.bincount(labels, minlength=total).clamp(min=1).unsqueeze(1).to(rows.dtype)
    if rule.renormalize:
        means = torch.nn.functional.normalize(means, dim=1)
    return _padded(means, kept)


def gather_padded(tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors (B, T, d) and mask (B, T) of the texts of all processes, in the order of ranks, padded to the
    longest of all. Every process brings as many texts; gradients pass as in `gather_rows`.
    """
    import torch

    longest = int(all_reduce(torch.tensor([tokens.shape[1]], device=tokens.device), "max"))
    added = longest - tokens.shape[1]
    padded = torch.nn.functional.pad(tokens, (0, 0, 0, added))
    told = torch.nn.functional.pad(mask, (0, added)).to(torch.uint8)  # gloo gathers no bool
    return gather_rows(padded), gather_rows(told).bool()


def _groups(rows: Tensor, lengths: Tensor, rule: PoolingRule) -> tuple[Tensor, Tensor]:
    """Row of the result (N,) for every vector, and vectors kept (B,), without a gradient."""
    import torch

    _, kept, labels = pool_tokens(
        rows.detach().float().cpu(),
        lengths.cpu(),
        max_vectors=rule.vectors,
        factor=None if rule.share is None else 1 / rule.share,
        method=rule.method,
        protected=rule.protected,
        seed=rule.seed,
        renormalize=False,
        return_labels=True,
    )
    return torch.from_numpy(labels).to(rows.device), torch.from_numpy(kept).to(rows.device)


def _padded(rows: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    import torch

    most = int(lengths.max()) if len(lengths) else 0
    mask = torch.arange(most, device=rows.device).unsqueeze(0) < lengths.unsqueeze(1)
    out = rows.new_zeros(len(lengths), most, rows.shape[1]).masked_scatter(mask.unsqueeze(2), rows)
    return out, mask
