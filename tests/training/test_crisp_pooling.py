"""CRISP: gradients by hand, frozen finite differences, and the module inside sentence-transformers."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.errors import UnknownKeyError, UsageError
from cluscomp.training.crisp.model import maxsim_scores
from cluscomp.training.crisp.pooling import PoolingRule, pool_padded

torch = pytest.importorskip("torch")
PLAIN = {"renormalize": False}


def tensor(rows, **options):
    return torch.tensor(rows, dtype=torch.float64, **options)


def padded(rng, lengths, d=6, fill=0.0):
    """Unit vectors (B, T, d) and their mask; `fill` stands in the padding."""
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    rows = torch.from_numpy(rng.normal(size=(len(lengths), max(lengths), d)))
    rows = torch.nn.functional.normalize(rows, dim=2)
    return rows.masked_fill(~mask[..., None], fill), mask


def test_one_cluster_by_hand():
    x = tensor([[[1.0, 0.0], [0.0, 1.0]]], requires_grad=True)
    q = tensor([[[1.0, 0.0]]], requires_grad=True)
    means, mask = pool_padded(x, torch.ones(1, 2, dtype=torch.bool), PoolingRule(vectors=1, **PLAIN))
    score = maxsim_scores(q, torch.ones(1, 1, dtype=torch.bool), means, mask)
    assert means.tolist() == [[[0.5, 0.5]]] and score.item() == 0.5
    score.sum().backward()
    assert x.grad.tolist() == [[[0.5, 0.0], [0.5, 0.0]]]
    assert q.grad.tolist() == [[[0.5, 0.5]]]


@pytest.mark.parametrize(
    "rule", [PoolingRule(), PoolingRule(vectors=9, **PLAIN), PoolingRule(share=1.0, **PLAIN)]
)
def test_enough_vectors_give_plain_maxsim_and_its_gradient(rng, rule):
    gradients, scores = [], []
    documents, mask = padded(rng, [5, 9, 1])
    queries, query_mask = padded(rng, [4, 2])
    for chosen in (rule, None):
        d, q = documents.clone().requires_grad_(), queries.clone().requires_grad_()
        vectors, kept = (d, mask) if chosen is None else pool_padded(d, mask, chosen)
        scores.append(maxsim_scores(q, query_mask, vectors, kept))
        scores[-1].sum().backward()
        gradients.append((d.grad, q.grad))
    torch.testing.assert_close(scores[0], scores[1])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_one_vector_is_the_sum_of_the_query_times_the_mean(rng):
    documents, mask = padded(rng, [7, 3])
    queries, query_mask = padded(rng, [4, 5])
    means, kept = pool_padded(documents, mask, PoolingRule(vectors=1, **PLAIN))
    want = [
        [(q.sum(0) @ d.sum(0) / n).item() for d, n in zip(documents, (7, 3), strict=True)] for q in queries
    ]
    np.testing.assert_allclose(maxsim_scores(queries, query_mask, means, kept), want, rtol=1e-10)


def test_plain_means_never_score_higher(rng):
    documents, mask = padded(rng, [30, 12, 8])
    queries, query_mask = padded(rng, [6, 6])
    means, kept = pool_padded(documents, mask, PoolingRule(vectors=4, **PLAIN))
    assert kept.sum(1).tolist() == [4, 4, 4]
    below = maxsim_scores(queries, query_mask, means, kept)
    assert (below <= maxsim_scores(queries, query_mask, documents, mask) + 1e-12).all()


@pytest.mark.parametrize("renormalize", [False, True])
def test_gradients_are_finite_differences_with_groups_frozen(rng, renormalize, monkeypatch):
    """The score jumps where a group changes, so groups of the first call stay."""
    from cluscomp.training.crisp import pooling as crisp_pooling

    documents, mask = padded(rng, [6, 4])
    queries, query_mask = padded(rng, [3])
    rule = PoolingRule(vectors=2, renormalize=renormalize)
    groups = crisp_pooling._groups(documents[mask], mask.sum(1), rule)
    monkeypatch.setattr(crisp_pooling, "_groups", lambda *_: groups)

    def score(d, q):
        return maxsim_scores(q, query_mask, *pool_padded(d, mask, rule))

    assert torch.autograd.gradcheck(score, (documents.requires_grad_(), queries.requires_grad_()))


def test_padding_takes_no_part(rng):
    """Zeros would win against negative products, and so would anything that stands in the padding."""
    documents, mask = padded(rng, [3, 5], fill=9.0)
    documents[0, :3] = -documents[1, :3].abs()
    queries, query_mask = padded(rng, [2, 4], fill=7.0)
    queries = queries.abs()
    got = maxsim_scores(queries, query_mask, documents, mask)
    for i, s in enumerate((2, 4)):
        for j, t in enumerate((3, 5)):
            assert got[i, j] == pytest.approx((queries[i, :s] @ documents[j, :t].T).amax(1).sum().item())
    assert maxsim_scores(queries, torch.zeros_like(query_mask), documents, mask).tolist() == [[0, 0], [0, 0]]
    assert (maxsim_scores(queries, query_mask, documents, torch.zeros_like(mask)) == -torch.inf).all()


def test_shares_and_methods(rng):
    documents, mask = padded(rng, [20, 3, 1])
    for method in ("ward", "kmeans", "sequential"):
        _, kept = pool_padded(documents, mask, PoolingRule(share=0.25, method=method))
        assert kept.sum(1).tolist() == [5, 1, 1]
    again = [
        pool_padded(documents, mask, PoolingRule(vectors=3, method="kmeans", seed=5))[0] for _ in range(2)
    ]
    assert torch.equal(*again)


def test_rules_as_text():
    for text, rule in (("8", PoolingRule(8)), ("25%", PoolingRule(share=0.25)), ("none", PoolingRule())):
        assert PoolingRule.parse(text) == rule and str(rule) == text
    for text in ("eight", "2.5", "x%"):
        with pytest.raises(UsageError, match="unknown"):
            PoolingRule.parse(text)
    with pytest.raises(UsageError, match="at least 1"):
        PoolingRule.parse("0")
    with pytest.raises(UsageError, match="at most 1"):
        PoolingRule.parse("120%")
    with pytest.raises(UsageError, match="both given"):
        PoolingRule(vectors=2, share=0.5)
    with pytest.raises(UnknownKeyError, match="median"):
        PoolingRule(method="median")
