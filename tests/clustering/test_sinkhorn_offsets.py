"""Costs that differ by a constant a row or a column have one plan, however large the constants are."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from sinkhorn_reference import plain_sinkhorn

import cluscomp as cc
from cluscomp.errors import ConvergenceWarning, InputError

N, K = 60, 7


def plain(cost, epsilon, n_iter=5000, **more):
    cost = np.asarray(cost, dtype=np.float64)
    n, k = cost.shape
    return plain_sinkhorn(cost, epsilon, np.full(n, 1 / n), np.full(k, 1 / k), n_iter=n_iter, **more)


def small():
    return np.random.default_rng(3).normal(size=(N, K))


def put(cost, where, value):
    cost = cost.copy()
    cost[where] = value
    return cost


WHOLE = np.random.default_rng(4).integers(0, 1000, size=(N, K))
NORMAL = np.random.default_rng(5)
BY_ROW, BY_COLUMN = NORMAL.normal(size=(N, 1)), NORMAL.normal(size=K)
ROW, COLUMN, ENTRY = (3, slice(None)), (slice(None), 2), (5, 4)

# name -> (costs as given, costs with the same plan, epsilon)
CASES = {
    "large integers": (WHOLE + 2**30, WHOLE, 50.0),
    "integers beyond float64": (WHOLE.astype("i8") + 2**62, WHOLE, 50.0),
    "integers below all": (WHOLE.astype("i8") + np.iinfo("i8").min, WHOLE, 50.0),
    "unsigned integers": (WHOLE.astype("u8") + np.uint64(2**64 - 1001), WHOLE, 50.0),
    "short integers": ((WHOLE - 500).astype("i2"), WHOLE, 50.0),
    "a list of integers": ((WHOLE + 2**40).tolist(), WHOLE, 50.0),
    "an offset of columns": (small() + 1e6 * BY_COLUMN, small(), 0.1),
    "an offset of rows": (small() + 1e6 * BY_ROW, small(), 0.1),
    "offsets of both": (small() + 1e6 * BY_ROW + 1e7 * BY_COLUMN, small(), 0.1),
    "an offset of all": (small() + 1e9, small(), 0.1),
    "one row": (put(small(), ROW, 1e30), put(small(), ROW, 0), 0.1),
    "one row below": (put(small(), ROW, -1e30), put(small(), ROW, 0), 0.1),
    "one row of 1e300": (put(small(), ROW, 1e300), put(small(), ROW, 0), 0.1),
    "one column": (put(small(), COLUMN, 1e30), put(small(), COLUMN, 0), 0.1),
    "one column below": (put(small(), COLUMN, -1e30), put(small(), COLUMN, 0), 0.1),
    "one column of 1e300": (put(small(), COLUMN, 1e300), put(small(), COLUMN, 0), 0.1),
    "one row in float32": (put(small(), ROW, 1e30).astype("f4"), put(small(), ROW, 0), 0.1),
    "one column in float32": (put(small(), COLUMN, -1e30).astype("f4"), put(small(), COLUMN, 0), 0.1),
    "a forbidden pair": (put(small(), ENTRY, 1e30), put(small(), ENTRY, 1e4), 0.1),
    "a forbidden pair in float32": (put(small(), ENTRY, 1e30).astype("f4"), put(small(), ENTRY, 1e4), 0.1),
    "a forbidden pair of 1e300": (put(small(), ENTRY, 1e300), put(small(), ENTRY, 1e4), 0.1),
    "a row and a column": (put(put(small(), COLUMN, -1e30), ROW, 1e30), None, 0.1),
}  # fmt: skip


@pytest.mark.parametrize("scale", ["absolute", "range"])
@pytest.mark.parametrize("case", [name for name, (_, same, _) in CASES.items() if same is not None])
def test_offsets_change_no_plan(case, scale):
    given, same, epsilon = CASES[case]
    options = {"epsilon": epsilon, "n_iter": 5000, "tol": 1e-7}
    if scale == "range":  # of the given costs, whose offsets count
        wide = np.array(given, dtype=object)
        half = float(wide.max() - wide.min()) / 2
        if half > 1e6:
            return
        options["epsilon"] = epsilon / (half + 1e-5)
    result = cc.sinkhorn(given, cost_scale=scale, **options)
    assert result.converged
    np.testing.assert_allclose(N * result.plan(), N * plain(same, epsilon), atol=5e-6)
    np.testing.assert_array_equal(result.labels, result.plan().argmax(axis=1))


@pytest.mark.parametrize("factor", [1.0, 1e5])
@pytest.mark.parametrize(
    "relaxed", [{}, {"row_gamma": 0.8}, {"col_gamma": 0.7}, {"row_gamma": 2.0, "col_gamma": 1.0}]
)
def test_partial_transport_sees_the_offsets_of_rows(factor, relaxed):
    """There they matter: a virtual column of cost zero stands beside them. Checked with that column written out."""
    cost = small() + factor * (BY_ROW + BY_COLUMN)
    if len(relaxed) == 2 and factor > 1:
        return  # no mass is left anywhere
    a, b = np.full(N, 1 / N), np.append(np.full(K, 0.6 / K), 0.4)
    gammas = {"row_gamma": relaxed.get("row_gamma", np.inf)}
    gammas["col_gamma"] = np.append(np.full(K, relaxed.get("col_gamma", np.inf)), np.inf)
    wide = np.hstack([cost, np.zeros((N, 1))])
    result = cc.sinkhorn(cost, epsilon=0.5, transported=0.6, n_iter=400, tol=0, **relaxed)
    wanted = plain_sinkhorn(wide, 0.5, a, b, n_iter=400, **gammas)
    np.testing.assert_allclose(N * result.plan(), N * wanted[:, :K], atol=2e-5)
    np.testing.assert_allclose(N * result.unassigned(), N * wanted[:, K], atol=2e-5)


def test_potentials_are_those_of_the_costs_as_given():
    cost = small() + 1e6 * BY_ROW + 1e6 * BY_COLUMN
    result = cc.sinkhorn(cost, epsilon=0.5, n_iter=2000)
    total = result.row_potential[:, None] + result.col_potential - cost
    np.testing.assert_allclose(N * np.exp(total / 0.5), N * result.plan(), rtol=1e-6)
    again = cc.sinkhorn(cost, epsilon=0.5, n_iter=2000, start=result)
    assert again.n_iter == 1


def test_processes_agree_on_the_offsets():
    cost = (WHOLE + 1000 * np.arange(K)).astype("i8") + 2**61
    parts, slots, barrier, found = np.split(cost, [11, 40]), [None] * 3, threading.Barrier(3), [None] * 3

    def run(rank):
        def all_reduce(values, op):
            slots[rank] = values
            barrier.wait()
            stacked = np.stack(slots)
            barrier.wait()
            return stacked.sum(axis=0) if op == "sum" else stacked.max(axis=0)

        found[rank] = cc.sinkhorn(parts[rank], epsilon=50.0, n_iter=3000, all_reduce=all_reduce)

    workers = [threading.Thread(target=run, args=(rank,)) for rank in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    np.testing.assert_allclose(N * np.vstack([r.plan() for r in found]), N * plain(WHOLE, 50.0), atol=5e-6)
    assert len({r.col_potential.tobytes() for r in found}) == 1


@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize("of_rows", [0.0, 1e4, -3e5])
@pytest.mark.parametrize("of_points", [0.0, 1e4])
def test_points_far_from_the_origin(metric, of_rows, of_points, rng):
    x = (rng.integers(-8, 8, size=(N, 5)) / 4 + of_rows).astype("f4")
    c = (rng.integers(-8, 8, size=(K, 5)) / 4 + of_points).astype("f4")
    a, b = x.astype("d"), c.astype("d")
    cost = ((a[:, None] - b) ** 2).sum(axis=2) if metric == "l2" else -(a @ b.T)
    for scale in ("absolute", "range"):
        epsilon = 0.5 if scale == "absolute" else 0.5 / ((cost.max() - cost.min()) / 2 + 1e-5)
        result = cc.sinkhorn_points(x, c, epsilon=epsilon, metric=metric, n_iter=5000, cost_scale=scale)
        assert result.converged
        same = cost - cost.min(axis=1, keepdims=True)
        np.testing.assert_allclose(N * result.plan(), N * plain(same - same.min(axis=0), 0.5), atol=2e-5)


def test_a_forced_pair_beyond_float32_is_refused():
    with pytest.raises(InputError, match=r"column 4 of cost reaches -1e\+30"):
        cc.sinkhorn(put(small(), ENTRY, -1e30), epsilon=0.1)
    forced = cc.sinkhorn(put(small(), ENTRY, -100), epsilon=0.1, n_iter=3000).plan()
    assert N * forced[ENTRY] == pytest.approx(1)


def test_costs_that_float32_cannot_tell_apart_at_this_epsilon_are_refused():
    """Row 0 has mass .2 too much for column 0: by which of the two far columns it leaves, .5 of 1e8 decide."""
    cost = np.array([[0, 1e8, 1e8 + 0.5], [3e8, 0, 3e8], [3e8, 3e8, 0]])
    options = {
        "epsilon": 1.0,
        "row_mass": [0.6, 0.2, 0.2],
        "col_mass": [0.4, 0.3, 0.3],
        "start": [0, 1e8, 1e8],
    }
    with pytest.raises(InputError, match=r"costs up to 3e\+08 remain.*too much for epsilon 1\."):
        cc.sinkhorn(cost, **options)
    plan = cc.sinkhorn(cost / 1e4, **options | {"start": [0, 1e4, 1e4], "tol": 1e-9}).plan()
    np.testing.assert_allclose(plan, [[0.4, 0.1, 0.1], [0, 0.2, 0], [0, 0, 0.2]], atol=1e-5)


def test_points_too_far_apart_for_epsilon_are_refused(rng):
    x = (1e6 * rng.normal(size=(N, 5))).astype("f4")
    with pytest.raises(InputError, match=r"float32 rounds them by .*too much for epsilon 0.5"):
        cc.sinkhorn_points(x, x[:K], epsilon=0.5)
    cc.sinkhorn_points(x, x[:K], epsilon=0.5, cost_scale="range", n_iter=3000)


@pytest.mark.parametrize("relaxed", ["row_gamma", "col_gamma"])
def test_relaxed_masses_beside_offsets_without_end_are_refused(relaxed):
    where = ROW if relaxed == "row_gamma" else COLUMN
    with pytest.raises(InputError, match=rf"cost has a {relaxed[:3]} that lies at 1e\+30.*{relaxed}"):
        cc.sinkhorn(put(small(), where, 1e30), epsilon=0.1, **{relaxed: 1.0})


def test_too_few_iterations_are_told():
    with pytest.warns(ConvergenceWarning, match="after 2 iterations column sums miss their masses by"):
        result = cc.sinkhorn(small(), epsilon=0.01, n_iter=2)
    assert not result.converged
