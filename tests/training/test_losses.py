"""Losses: oracles worked by hand."""

from __future__ import annotations

import math

import pytest

from cluscomp.errors import DimensionError, UsageError
from cluscomp.training.losses import (
    contrastive_loss,
    list_distillation_loss,
    matryoshka_loss,
    rank_weighted_pair_loss,
)

torch = pytest.importorskip("torch")


def test_contrastive_loss_is_cross_entropy_with_one_positive():
    scores = torch.randn(5, 9, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([0, 3, 8, 1, 1])
    positives = torch.nn.functional.one_hot(target, 9).bool()
    assert contrastive_loss(scores, positives) == pytest.approx(
        float(torch.nn.functional.cross_entropy(scores, target)), rel=1e-6
    )


def test_false_negatives_are_masked():
    scores = torch.tensor([[2.0, 5.0, 1.0]], requires_grad=True)
    positives = torch.tensor([[True, False, False]])
    excluded = torch.tensor([[False, True, False]])
    loss = contrastive_loss(scores, positives, excluded)
    assert float(loss.detach()) == pytest.approx(math.log(1 + math.exp(1 - 2)))
    loss.backward()
    assert scores.grad[0, 1] == 0


def test_positives_do_not_compete_and_queries_without_one_do_not_count():
    scores = torch.tensor([[3.0, 1.0, 0.0], [9.0, 9.0, 9.0]])
    positives = torch.tensor([[True, True, False], [False, False, False]])
    expected = (math.log(1 + math.exp(-3)) + math.log(1 + math.exp(-1))) / 2
    assert float(contrastive_loss(scores, positives)) == pytest.approx(expected, rel=1e-6)


def test_nothing_to_compete_with_costs_nothing_and_has_a_gradient():
    scores = torch.tensor([[1.0]], requires_grad=True)
    loss = contrastive_loss(scores, torch.tensor([[True]]))
    loss.backward()
    assert float(loss.detach()) == 0 and scores.grad.tolist() == [[0.0]]


def test_rank_weights():
    positives = torch.tensor([[True, False]])
    assert float(rank_weighted_pair_loss(torch.zeros(1, 2), positives)) == pytest.approx(0.5 * math.log(2))
    three = rank_weighted_pair_loss(torch.zeros(1, 3), torch.tensor([[True, False, False]]))
    assert float(three) == pytest.approx((0.5 + 2 / 3) / 2 * math.log(2))
    beyond = rank_weighted_pair_loss(torch.zeros(1, 2), torch.tensor([[False, True]]), cutoff=1)
    assert float(beyond) == pytest.approx(math.log(2))  # |0 - 1/1|
    assert float(rank_weighted_pair_loss(torch.zeros(1, 2), torch.tensor([[True, True]]))) == 0


def test_list_distillation_is_least_where_teacher_and_student_agree():
    teacher = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 1.0]])
    entropy = -(teacher.softmax(1) * teacher.log_softmax(1)).sum(1).mean()
    assert float(list_distillation_loss(teacher + 7.0, teacher)) == pytest.approx(float(entropy))
    assert float(list_distillation_loss(teacher * 2, teacher)) > float(entropy) + 1e-3
    excluded = torch.tensor([[False, False, True], [False, False, True]])
    assert float(list_distillation_loss(teacher, teacher, excluded)) == pytest.approx(
        float(list_distillation_loss(teacher[:, :2], teacher[:, :2]))
    )


def test_matryoshka_loss_of_one_length_is_the_plain_loss():
    rng = torch.Generator().manual_seed(2)
    queries, documents = torch.randn(4, 8, generator=rng), torch.randn(4, 8, generator=rng)
    positives = torch.eye(4).bool()

    def loss(scores):
        return contrastive_loss(scores, positives)

    normalize = torch.nn.functional.normalize
    plain = loss(20 * normalize(queries) @ normalize(documents).T)
    assert torch.equal(matryoshka_loss(queries, documents, loss, dims=[8], scale=20), plain)
    half = loss(20 * normalize(queries[:, :4]) @ normalize(documents[:, :4]).T)
    both = matryoshka_loss(queries, documents, loss, dims=[8, 4], weights=[1, 0.5], scale=20)
    assert torch.allclose(both, plain + 0.5 * half)


def test_wrong_input():
    with pytest.raises(DimensionError, match="queries, documents"):
        contrastive_loss(torch.zeros(2, 3), torch.zeros(3, 2).bool())
    with pytest.raises(UsageError, match="lengths"):
        matryoshka_loss(torch.zeros(1, 4), torch.zeros(1, 4), torch.sum, dims=[5])
    with pytest.raises(UsageError, match="weights"):
        matryoshka_loss(torch.zeros(1, 4), torch.zeros(1, 4), torch.sum, dims=[4], weights=[])
    with pytest.raises(UsageError, match="cutoff"):
        rank_weighted_pair_loss(torch.zeros(1, 2), torch.zeros(1, 2).bool(), cutoff=0)
