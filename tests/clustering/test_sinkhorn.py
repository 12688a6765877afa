"""Entropic transport: hand-worked oracles, POT, identities, shards, hostile input."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sinkhorn_reference import plain_sinkhorn

import cluscomp as cc
from cluscomp import errors, native

LINE = (np.array([0, 0.1, 0.2, 1.0])[:, None] - np.array([0.0, 1.0])) ** 2
PROBABILITIES = np.array([[0.9, 0.1], [0.8, 0.2], [0.55, 0.45], [0.4, 0.6]])


def clusters(rng, n, k, d=8):
    x = rng.normal(size=(n, d)).astype("f")
    c = (x[:k] + 0.3 * rng.normal(size=(k, d))).astype("f")
    return x, c, ((x[:, None].astype("d") - c) ** 2).sum(axis=2).astype("f")


@pytest.mark.parametrize(
    ("epsilon", "n_iter", "first", "sums", "labels"),
    [
        (0.1, 30, [0.9573, 0.7519, 0.2909, 0.0], [0.5, 0.5], [0, 0, 1, 1]),
        (0.05, 30, [0.9976, 0.8844, 0.1229, 0.0], [0.5012, 0.4988], [0, 0, 1, 1]),
        (0.1, 1, [0.9999, 0.9991, 0.9937, 0.0], None, [0, 0, 0, 1]),
        (1.0, 1000, None, [0.5, 0.5], [0, 0, 0, 1]),
        (0.01, 1000, None, None, [0, 0, 1, 1]),
    ],
)
def test_four_documents_by_hand(epsilon, n_iter, first, sums, labels):
    result = cc.sinkhorn(LINE, epsilon=epsilon, n_iter=n_iter, tol=0)
    plan = result.plan()
    assert plan.dtype == np.float64 and plan.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(plan.sum(axis=1), 0.25, rtol=1e-12)
    if first is not None:
        np.testing.assert_allclose(4 * plan[:, 0], first, atol=6e-5)
    if sums is not None:
        np.testing.assert_allclose(plan.sum(axis=0), sums, atol=6e-5)
    assert result.labels.tolist() == labels
    assert result.counts.tolist() == np.bincount(labels, minlength=2).tolist()


def test_soft_balance_is_not_hard_balance():
    rng = np.random.default_rng(1)
    clump = rng.normal(size=(64, 2)) * 0.3
    cost = ((clump[:, None] - np.array([[1, 0], [0, 0], [0, 0.2], [0, 1]])) ** 2).sum(axis=2)
    wide, narrow = (cc.sinkhorn(cost, epsilon=e, n_iter=5000) for e in (5, 0.02))
    for result in (wide, narrow):
        np.testing.assert_allclose(result.plan().sum(axis=0), 0.25, atol=1e-6)
    assert np.ptp(wide.counts) > 8 and np.ptp(narrow.counts) <= 2


@pytest.mark.parametrize("epsilon", [1.0, 0.1, 0.03, 0.01, 0.003])
@pytest.mark.parametrize("n_iter", [10, 100])
def test_equals_the_log_domain_solver_of_pot(epsilon, n_iter, rng):
    ot = pytest.importorskip("ot")
    _, _, cost = clusters(rng, 300, 37)
    wide = cost.astype("d")
    mid = (wide.max() + wide.min()) / 2
    scaled = (wide - mid) / (wide.max() - mid + 1e-5)
    wanted, log = ot.bregman.sinkhorn_log(
        np.full(300, 1 / 300), np.full(37, 1 / 37), scaled, epsilon,
        numItermax=n_iter, stopThr=0, warn=False, log=True,
    )  # fmt: skip
    result = cc.sinkhorn(cost, epsilon=epsilon, n_iter=n_iter, tol=0, cost_scale="range")
    np.testing.assert_allclose(result.plan() * 300, wanted * 300, atol=1e-6)
    assert result.residual == pytest.approx(np.abs(wanted.sum(axis=0) - 1 / 37).sum(), abs=1e-6)
    for ours, theirs in ((result.row_potential, log["log_u"]), (result.col_potential, log["log_v"])):
        np.testing.assert_allclose(ours / epsilon, theirs, atol=2e-6)


def test_given_masses_against_plain_code(rng, level):
    _, _, cost = clusters(rng, 90, 20)
    a, b = rng.dirichlet(np.ones(90)), rng.dirichlet(np.ones(20))
    a[4] = b[3] = 0
    a, b = a / a.sum(), b / b.sum()
    result = cc.sinkhorn(cost, epsilon=0.5, row_mass=a, col_mass=b, tol=1e-7, n_iter=5000)
    assert result.converged and result.col_potential[3] == -np.inf
    wanted = plain_sinkhorn(cost, 0.5, a, b, n_iter=result.n_iter)
    np.testing.assert_allclose(result.plan(), wanted, atol=1e-8)


def test_relaxed_masses_against_plain_code_and_pot(rng):
    ot = pytest.importorskip("ot")
    _, _, cost = clusters(rng, 60, 11, d=3)
    a, b = rng.dirichlet(np.ones(60)), rng.dirichlet(np.ones(11))
    both = cc.sinkhorn(cost, epsilon=0.3, row_mass=a, col_mass=b, row_gamma=2.0, col_gamma=0.7, tol=1e-7)
    assert both.converged
    wanted = plain_sinkhorn(cost, 0.3, a, b, n_iter=both.n_iter, row_gamma=2.0, col_gamma=0.7)
    np.testing.assert_allclose(both.plan(), wanted, atol=1e-7)
    theirs = ot.unbalanced.sinkhorn_unbalanced(
        a, b, cost.astype("d"), 0.3, (2.0, 0.7), reg_type="entropy", numItermax=5000, stopThr=1e-12
    )
    np.testing.assert_allclose(both.plan(), theirs, atol=1e-6)


def test_progressive_partial_transport_by_hand():
    result = cc.sinkhorn(-np.log(PROBABILITIES), epsilon=0.1, transported=0.5, col_gamma=1.0, tol=1e-7)
    wanted = [[0.7262, 0.0], [0.4496, 0.0], [0.0168, 0.1120], [0.0002, 0.6952]]
    np.testing.assert_allclose(4 * result.plan(), wanted, atol=6e-5)
    np.testing.assert_allclose(4 * result.unassigned(), [0.2738, 0.5504, 0.8712, 0.3046], atol=6e-5)
    assert result.unassigned().sum() == pytest.approx(0.5, abs=1e-6)
    np.testing.assert_allclose(result.plan().sum(axis=0), [0.2982, 0.2018], atol=6e-5)
    again = cc.sinkhorn(-np.log(PROBABILITIES), epsilon=0.1, transported=0.5, col_gamma=1.0, start=result)
    assert again.n_iter == 1


def test_partial_transport_of_everything_with_firm_columns_is_the_balanced_one(rng):
    _, _, cost = clusters(rng, 80, 7)
    balanced = cc.sinkhorn(cost, epsilon=0.5, n_iter=5000)
    assert not balanced.unassigned().any()
    firm = cc.sinkhorn(cost, epsilon=0.5, col_gamma=1e6, n_iter=5000)
    np.testing.assert_allclose(firm.plan(), balanced.plan(), atol=1e-6)


def test_l2_costs_and_inner_products_have_one_plan(rng):
    x, c, cost = clusters(rng, 100, 9)
    by_cost = cc.sinkhorn(cost, epsilon=0.5, n_iter=5000, tol=1e-7).plan()
    by_product = cc.sinkhorn(-2 * (x @ c.T), epsilon=0.5, n_iter=5000, tol=1e-7).plan()
    np.testing.assert_allclose(by_cost, by_product, atol=1e-7)


def test_limits_of_epsilon(rng):
    _, _, cost = clusters(rng, 100, 9)
    np.testing.assert_allclose(cc.sinkhorn(cost, epsilon=1e8).plan(), 1 / 900, rtol=1e-5)
    nearest = cc.sinkhorn(cost, epsilon=1e-4, col_gamma=1e-8, n_iter=20)
    np.testing.assert_array_equal(nearest.labels, cost.argmin(axis=1))


@pytest.mark.parametrize("scale", ["absolute", "range"])
@pytest.mark.parametrize("dtype", ["f4", "f2"])
def test_streaming_form(scale, dtype, rng):
    x, c, _ = clusters(rng, 500, 33)
    x = x.astype(dtype)
    cost = ((x[:, None].astype("d") - c) ** 2).sum(axis=2).astype("f")
    stored = cc.sinkhorn(cost, epsilon=0.2, n_iter=200, cost_scale=scale)
    streamed = cc.sinkhorn_points(x, c, epsilon=0.2, n_iter=200, cost_scale=scale)
    np.testing.assert_allclose(streamed.plan() * 500, stored.plan() * 500, atol=5e-5)
    assert np.mean(streamed.labels == stored.labels) > 0.99
    product = cc.sinkhorn_points(x, c, epsilon=0.1, n_iter=200, metric="ip")
    np.testing.assert_allclose(product.plan().sum(axis=0), 1 / 33, atol=2e-3)


def shards(parts, call):
    """Results of call(part, all_reduce) for all parts at once, one thread each, as processes would do it."""
    barrier, slots, results = threading.Barrier(len(parts)), [None] * len(parts), [None] * len(parts)

    def run(rank):
        def all_reduce(values, op):
            slots[rank] = values
            barrier.wait()
            stacked = np.stack(slots)
            barrier.wait()
            return stacked.sum(axis=0) if op == "sum" else stacked.max(axis=0)

        results[rank] = call(parts[rank], all_reduce)

    workers = [threading.Thread(target=run, args=(rank,)) for rank in range(len(parts))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return results


@pytest.mark.parametrize("scale", ["absolute", "range"])
def test_shards_reproduce_the_single_plan(scale, rng):
    _, _, cost = clusters(rng, 400, 21)
    options = {"epsilon": 0.05, "n_iter": 60, "tol": 1e-6, "cost_scale": scale}
    single = cc.sinkhorn(cost, **options)
    parts = [cost[:90], cost[90:333], cost[333:]]
    found = shards(parts, lambda part, reduce: cc.sinkhorn(part, all_reduce=reduce, **options))
    np.testing.assert_allclose(np.vstack([r.plan() for r in found]) * 400, single.plan() * 400, atol=1e-5)
    np.testing.assert_array_equal(np.concatenate([r.labels for r in found]), single.labels)
    for result in found:
        np.testing.assert_array_equal(result.counts, single.counts)
        np.testing.assert_array_equal(result.col_potential, found[0].col_potential)
        assert result.n_iter == single.n_iter


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 20), st.floats(1e-3, 10), st.floats(-1e6, 1e6), st.integers(0, 2**31)
)
def test_invariants(n, k, epsilon, offset, seed):
    rng = np.random.default_rng(seed)
    cost = rng.normal(size=(n, k))
    cost[rng.integers(n)] = cost[0]
    result = cc.sinkhorn(cost + offset, epsilon=epsilon, n_iter=50)
    plan = result.plan()
    assert np.isfinite(plan).all() and (plan >= 0).all()
    np.testing.assert_allclose(plan.sum(axis=1), 1 / n, rtol=1e-9)
    assert result.counts.sum() == n and result.labels.max() < k
    excess = np.abs(plan.sum(axis=0) - 1 / k).sum()
    assert excess == pytest.approx(result.residual, abs=2e-6)


def test_warm_start_takes_up_where_it_was(rng):
    _, _, cost = clusters(rng, 200, 12)
    cold = cc.sinkhorn(cost, epsilon=0.3, n_iter=5000)
    assert cold.n_iter > 3
    warm = cc.sinkhorn(cost, epsilon=0.3, n_iter=5000, start=cold)
    assert warm.n_iter == 1
    wild = cc.sinkhorn(cost, epsilon=0.3, n_iter=5000, start=1e4 * rng.normal(size=12))
    np.testing.assert_allclose(wild.plan(), cold.plan(), atol=1e-7)


def test_threads_change_no_bit(rng, threads):
    _, _, cost = clusters(rng, 700, 40)
    native.set_num_threads(1)
    one = cc.sinkhorn(cost, epsilon=0.1, n_iter=30)
    native.set_num_threads(4)
    four = cc.sinkhorn(cost, epsilon=0.1, n_iter=30)
    np.testing.assert_array_equal(one.row_potential, four.row_potential)
    np.testing.assert_array_equal(one.col_potential, four.col_potential)


def test_input_of_any_kind(rng, tmp_path):
    _, _, cost = clusters(rng, 50, 6)
    want = cc.sinkhorn(cost, epsilon=0.5).plan()
    np.save(tmp_path / "cost.npy", cost)
    wide = np.zeros((50, 12), "f")
    wide[:, ::2] = cost
    for other in (
        cost.tolist(),
        np.asfortranarray(cost),
        np.load(tmp_path / "cost.npy", mmap_mode="r"),
        wide[:, ::2],
    ):
        np.testing.assert_allclose(cc.sinkhorn(other, epsilon=0.5).plan(), want, atol=1e-6)
    for one in (np.zeros((1, 1)), np.zeros((5, 1)), np.zeros((1, 5))):
        np.testing.assert_allclose(cc.sinkhorn(one, epsilon=0.1, cost_scale="range").plan(), 1 / one.size)


def test_torch_costs(rng):
    torch = pytest.importorskip("torch")
    _, _, cost = clusters(rng, 50, 6)
    want = cc.sinkhorn(cost, epsilon=0.5).plan()
    for dtype in (torch.float32, torch.float64):
        got = cc.sinkhorn(torch.from_numpy(cost).to(dtype).requires_grad_(), epsilon=0.5).plan()
        np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"epsilon": 0.0}, errors.UsageError, "epsilon must be a finite number above 0, but is 0.0"),
        ({"cost_scale": "mean"}, errors.UsageError, "'mean' is unknown; known are: absolute, range"),
        ({"n_iter": 0}, errors.UsageError, "n_iter must be an integer of at least 1, but is 0"),
        ({"tol": float("nan")}, errors.UsageError, "tol"),
        (
            {"transported": 1.5},
            errors.UsageError,
            "transported must be a finite number above 0 and at most 1, but is 1.5",
        ),
        ({"col_gamma": -1.0}, errors.UsageError, "col_gamma"),
        ({"row_mass": [0.5, 0.6]}, errors.InputError, r"row_mass sums to 1.1, but 1 is needed"),
        ({"col_mass": [1.0, -0.5, 0.5]}, errors.InputError, r"col_mass\[1\] is -0.5"),
        ({"col_mass": [0.5, 0.5]}, errors.DimensionError, r"shape \(2,\), but \(3,\)"),
        ({"start": [0.0]}, errors.DimensionError, r"\(3,\) column potentials are needed"),
        ({"start": [0.0, np.nan, 0.0]}, errors.NonFiniteError, "start"),
    ],
)
def test_wrong_parameters(changes, error, message):
    with pytest.raises(error, match=message):
        cc.sinkhorn(np.zeros((2, 3)), **{"epsilon": 1.0, **changes})


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_wrong_costs(dtype):
    cost = np.zeros((4, 3), dtype)
    cost[2, 1] = np.inf
    with pytest.raises(errors.NonFiniteError, match="row 2"):
        cc.sinkhorn(cost, epsilon=1.0)
    with pytest.raises(errors.EmptyInputError):
        cc.sinkhorn(cost[:0], epsilon=1.0)
    with pytest.raises(errors.DimensionError):
        cc.sinkhorn(cost[0], epsilon=1.0)
    with pytest.raises(errors.UsageError, match="cosine"):
        cc.sinkhorn_points(cost, cost, epsilon=1.0, metric="cosine")
