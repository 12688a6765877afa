"""Balanced codes: oracles worked by hand, and agreement with cluscomp.sinkhorn."""

from __future__ import annotations

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import DimensionError, NonFiniteError, UsageError
from cluscomp.training.transport import balanced_plan

torch = pytest.importorskip("torch")

DOCUMENTS = torch.tensor([0.0, 0.1, 0.2, 1.0])
LINE = (DOCUMENTS[:, None] - torch.tensor([0.0, 1.0])[None, :]).square()[None]  # (1, 4, 2)


def clump(seed: int = 0):
    """(64 points in a clump, 4 centroids) of which the nearest take very different numbers of points."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(64, 2)), rng.normal(size=(4, 2)) * 2 + 1


def squared(x, c):
    return torch.tensor(((x[:, None] - c[None]) ** 2).sum(-1))[None]


@pytest.mark.parametrize("epsilon", [0.1, 0.05, 0.01])
def test_balanced_codes_differ_from_nearest_codes(epsilon):
    assert LINE[0].argmin(dim=1).tolist() == [0, 0, 0, 1]
    plan = balanced_plan(LINE, epsilon=epsilon, n_iter=5000)
    assert plan.codes()[:, 0].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("epsilon", "n_iter", "first", "sums"),
    [
        (0.1, 30, [0.9573, 0.7519, 0.2909, 0.0000], [0.5000, 0.5000]),
        (0.05, 30, [0.9976, 0.8844, 0.1229, 0.0000], [0.5012, 0.4988]),
        (0.1, 1, [0.9999, 0.9991, 0.9937, 0.0000], None),
    ],
)
def test_plan_after_a_stated_number_of_iterations(epsilon, n_iter, first, sums):
    """The oracle's figures are those of the plain loop of the paper: centroids first, documents last."""
    result = balanced_plan(LINE, epsilon=epsilon, n_iter=n_iter, tol=0.0)
    assert result.n_iter == n_iter
    plan = result.plan()[0]
    assert torch.allclose(plan[:, 0] * 4, torch.tensor(first, dtype=torch.float64), atol=5.1e-5)
    assert torch.allclose(plan.sum(dim=1), torch.full((4,), 0.25, dtype=torch.float64))
    if sums is not None:
        assert torch.allclose(plan.sum(dim=0), torch.tensor(sums, dtype=torch.float64), atol=5.1e-5)


def test_a_balanced_plan_does_not_imply_balanced_codes():
    plan = balanced_plan(LINE, epsilon=1.0, n_iter=100, tol=1e-12)
    assert torch.allclose(plan.plan()[0].sum(dim=0), torch.tensor([0.5, 0.5], dtype=torch.float64))
    assert plan.codes()[:, 0].tolist() == [0, 0, 0, 1]


def test_hard_counts_approach_the_plan_as_epsilon_falls():
    x, c = clump()
    cost = squared(x, c)
    worst = []
    for epsilon in (5.0, 0.3, 0.03):
        plan = balanced_plan(cost, epsilon=epsilon, n_iter=5000, tol=1e-3)
        assert float(plan.residual.max()) <= 1e-3
        counts = torch.bincount(plan.codes()[:, 0], minlength=4)
        worst.append(int((counts - 16).abs().max()))
    assert worst[0] > 4 and worst[2] <= 2


def test_norms_of_documents_and_centroids_change_no_converged_plan():
    x, c = clump(1)
    products = torch.tensor(-2 * x @ c.T)[None]
    one = balanced_plan(squared(x, c), epsilon=0.5, n_iter=5000, tol=1e-13)
    two = balanced_plan(products, epsilon=0.5, n_iter=5000, tol=1e-13)
    assert torch.allclose(one.plan(), two.plan(), atol=1e-13)
    assert torch.equal(one.codes(), two.codes())


@pytest.mark.parametrize("cost_scale", ["absolute", "range"])
@pytest.mark.parametrize("epsilon", [0.5, 0.02, 0.003])
def test_equals_the_native_sinkhorn(epsilon, cost_scale):
    rng = np.random.default_rng(3)
    cost = rng.random((3, 50, 7)).astype(np.float32)
    ours = balanced_plan(torch.tensor(cost), epsilon=epsilon, n_iter=200, tol=1e-6, cost_scale=cost_scale)
    for group, plan in zip(cost, ours.plan(), strict=True):
        native = cc.sinkhorn(group, epsilon=epsilon, n_iter=ours.n_iter, tol=0.0, cost_scale=cost_scale)
        assert np.allclose(plan.numpy(), native.plan(), atol=2e-6, rtol=1e-3)


def test_tiny_epsilon_keeps_every_digit():
    """A kernel that spans exp(+-1e5) overflows any float; the log domain does not notice."""
    x, c = clump(2)
    plan = balanced_plan(squared(x, c), epsilon=1e-4, n_iter=200)
    assert bool(plan.row_exponent.isfinite().all()) and bool(plan.col_exponent.isfinite().all())
    assert float(plan.plan().sum()) == pytest.approx(1.0, abs=1e-9)
    assert torch.allclose(plan.plan()[0].sum(dim=1), torch.full((64,), 1 / 64, dtype=torch.float64))


def test_a_start_saves_iterations():
    x, c = clump(4)
    cost = squared(x, c)
    cold = balanced_plan(cost, epsilon=0.05, n_iter=5000, tol=1e-6)
    warm = balanced_plan(cost + 1e-3, epsilon=0.05, n_iter=5000, tol=1e-6, start=cold.col_exponent)
    assert warm.n_iter < cold.n_iter / 2


def test_many_documents_a_centroid_can_underflow_in_and_out():
    """Centroids so far off that their column of the kernel is zero at first."""
    cost = torch.zeros(1, 8, 2, dtype=torch.float64)
    cost[0, :, 1] = 2000.0 + torch.arange(8)
    plan = balanced_plan(cost, epsilon=1.0, n_iter=2000, tol=1e-9)
    assert torch.allclose(plan.plan()[0].sum(dim=0), torch.tensor([0.5, 0.5], dtype=torch.float64))


def test_wrong_input():
    with pytest.raises(NonFiniteError, match="diverged"):
        balanced_plan(torch.full((1, 2, 2), torch.nan), epsilon=0.1)
    with pytest.raises(UsageError, match="epsilon"):
        balanced_plan(LINE, epsilon=0.0)
    with pytest.raises(UsageError, match="cost_scale"):
        balanced_plan(LINE, epsilon=0.1, cost_scale="other")
    with pytest.raises(DimensionError, match="groups"):
        balanced_plan(LINE[0], epsilon=0.1)
    with pytest.raises(DimensionError, match="start"):
        balanced_plan(LINE, epsilon=0.1, start=torch.zeros(2, 2))
