"""Ranking losses of RepCONC, JPQ and their kin. All take scores; larger means more similar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cluscomp import checks
from cluscomp.errors import DimensionError, UsageError

if TYPE_CHECKING:
    from torch import Tensor


def contrastive_loss(scores: Tensor, positives: Tensor, excluded: Tensor | None = None) -> Tensor:
    """Softmax cross-entropy of each positive against all documents that are not relevant; mean over queries.

    scores: (q, n). positives: (q, n) bool, at least one in each row that is to count; rows without are left
    out. excluded: (q, n) bool, documents that are neither (false negatives, repeated documents, documents
    that are not in this query's list). A positive does not compete with the other positives of its query;
    several positives of a query share its weight. With one positive a query and nothing excluded this is
    torch's cross_entropy.
    """
    import torch

    _same_shape(scores, positives)
    negatives = ~positives if excluded is None else ~(positives | excluded)
    among = scores.masked_fill(~negatives, _least(scores)).logsumexp(dim=1, keepdim=True)
    losses = torch.nn.functional.softplus(among - scores)
    counts = positives.sum(dim=1)
    each = losses.masked_fill(~positives, 0.0).sum(dim=1) / counts.clamp(min=1)
    return each.sum() / (counts > 0).sum().clamp(min=1)


def list_distillation_loss(scores: Tensor, teacher: Tensor, excluded: Tensor | None = None) -> Tensor:
    """ListNet: cross-entropy between the softmaxes of teacher and student; mean over queries.

    scores, teacher: (q, n). It is least, the teacher's entropy, where both agree up to a constant a query.
    Source: Cao et al., ICML 2007; for product quantization Distill-VQ (Xiao et al., SIGIR 2022).
    """
    _same_shape(scores, teacher)
    if excluded is not None:
        scores = scores.masked_fill(excluded, _least(scores))
        teacher = teacher.masked_fill(excluded, _least(teacher))
    return -(teacher.softmax(dim=1) * scores.log_softmax(dim=1)).sum(dim=1).mean()


def rank_weighted_pair_loss(scores: Tensor, positives: Tensor, *, cutoff: int = 200) -> Tensor:
    """JPQ's loss: log(1 + exp(s_n - s_p)) * |1/rank_p - 1/rank_n|, mean over the pairs of each query.

    scores: (q, n), each row a retrieved list in the order of its columns, rank 1 first; positives that were
    not retrieved stand at its end. positives: (q, n) bool. cutoff: 1/rank counts as 0 beyond this rank.
    Source: JPQ (Zhan et al., CIKM 2021). Mean over the queries that have a pair.
    """
    import torch

    _same_shape(scores, positives)
    checks.integer("cutoff", cutoff, 1)
    ranks = torch.arange(1, scores.shape[1] + 1, device=scores.device)
    gains = torch.where(ranks <= cutoff, 1 / ranks, 0.0).to(scores.dtype)
    pairs = positives[:, :, None] & ~positives[:, None, :]
    losses = torch.nn.functional.softplus(scores[:, None, :] - scores[:, :, None])
    weighted = losses * (gains[:, None] - gains[None, :]).abs()
    counts = pairs.sum(dim=(1, 2))
    each = (weighted * pairs).sum(dim=(1, 2)) / counts.clamp(min=1)
    return each.sum() / (counts > 0).sum().clamp(min=1)


def matryoshka_loss(
    queries: Tensor,
    documents: Tensor,
    loss: Callable[[Tensor], Tensor],
    *,
    dims: Sequence[int],
    weights: Sequence[float] | None = None,
    scale: float = 1.0,
) -> Tensor:
    """Weighted sum of `loss(scores)` over vectors cut to their first `dims` numbers and normalised again.

    queries: (q, d). documents: (n, d). weights: one a length, 1 each when None. scale: of the scores.
    Source: Matryoshka representation learning (Kusupati et al., NeurIPS 2022).
    """
    import torch

    weights = [1.0] * len(dims) if weights is None else weights
    if len(weights) != len(dims) or not dims:
        raise UsageError(f"there are {len(weights)} weights for {len(dims)} lengths; one each is needed")
    if min(dims) < 1 or max(dims) > queries.shape[1]:
        raise UsageError(f"lengths {list(dims)} must lie in 1 to {queries.shape[1]}")
    normalize = torch.nn.functional.normalize
    total = queries.new_zeros(())
    for length, weight in zip(dims, weights, strict=True):
        cut_queries, cut_documents = normalize(queries[:, :length]), normalize(documents[:, :length])
        total = total + weight * loss(scale * cut_queries @ cut_documents.T)
    return total


def _least(scores: Tensor) -> float:
    """A score that counts as nothing beside any other; finite, as empty sums of -inf have no gradient."""
    import torch

    return torch.finfo(scores.dtype).min / 4


def _same_shape(scores: Tensor, other: Tensor) -> None:
    if scores.shape != other.shape or scores.ndim != 2:
        raise DimensionError(
            f"scores have shape {tuple(scores.shape)} and labels {tuple(other.shape)}; "
            "both must be (queries, documents)"
        )
