"""Transport kernels and engine: powers of two, sums, levels, threads, ranges of rows."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp import native

INF = np.inf


def swept(costs, scale, shift, mass, power=1.0, stable=None, step=None, lift=None):
    """(stable, weight, sums) after a sweep over all rows, `step` rows a call."""
    n = costs.n
    stable = np.zeros(n) if stable is None else stable.copy()
    lift = np.zeros(n) if lift is None else lift
    weight, sums = np.ones(n), np.zeros(shift.size)
    step = step or n
    for begin in range(0, n, step):
        costs.sweep(begin, min(n, begin + step), scale, shift, mass, power, stable, weight, lift, sums)
    return stable, weight, sums


def plain_sums(cost, scale, shift, mass):
    exponents = shift - scale * cost.astype(np.float64)
    powers = np.exp2(exponents - exponents.max(axis=1, keepdims=True))
    return (powers * (mass / powers.sum(axis=1))[:, None]).sum(axis=0)


def test_power_is_within_its_bound(level):
    exponents = np.concatenate([np.linspace(-126, 126, 50_001), np.linspace(-1, 1, 20_000)]).astype("f")
    costs = native.Transport(-exponents[None])  # one row: the sums of the columns are the powers
    powers = np.zeros(exponents.size)
    costs.column_sums(0, 1, 1.0, np.zeros(exponents.size), np.zeros(1), np.ones(1), np.zeros(1), powers)
    np.testing.assert_allclose(powers, np.exp2(exponents.astype("d")), rtol=1.2e-7)


@pytest.mark.parametrize("k", [1, 15, 16, 17, 130, 300])
@pytest.mark.parametrize("n", [1, 7, 65])
def test_sweep_is_a_softmax_and_its_column_sums(n, k, level, rng):
    cost = rng.normal(size=(n, k)).astype("f")
    shift, mass = rng.normal(size=k), rng.random(n)
    stable, weight, sums = swept(native.Transport(cost), 3.0, shift, mass)
    np.testing.assert_allclose(sums, plain_sums(cost, 3.0, shift, mass), rtol=5e-7)
    wanted = np.log2(mass) - np.log2(np.exp2(shift - 3.0 * cost.astype("d")).sum(axis=1))
    np.testing.assert_allclose(stable + np.log2(weight), wanted, atol=5e-7)


def test_rows_far_outside_the_range_are_stabilised(level, rng):
    cost = (rng.normal(size=(20, 33)) + 1e4).astype("f")
    shift, mass = rng.normal(size=33), np.full(20, 0.05)
    for start in (0.0, 5000.0, -4e5):
        _, _, sums = swept(native.Transport(cost), 7.0, shift, mass, stable=np.full(20, start))
        np.testing.assert_allclose(sums, plain_sums(cost, 7.0, shift, mass), rtol=5e-7)


def test_columns_of_no_mass_and_rows_of_no_mass(level, rng):
    cost = rng.normal(size=(9, 20)).astype("f")
    shift, mass = rng.normal(size=20), np.full(9, 1 / 9)
    shift[[0, 7]] = -INF
    mass[3] = 0
    _, weight, sums = swept(native.Transport(cost), 2.0, shift, mass)
    assert sums[0] == sums[7] == weight[3] == 0
    np.testing.assert_allclose(sums, plain_sums(cost, 2.0, shift, mass), rtol=5e-7)


@pytest.mark.parametrize("k", [15, 16, 40])
def test_virtual_column_is_one_more_of_cost_zero(k, level, rng):
    cost = rng.normal(size=(30, k)).astype("f")
    wide = np.hstack([cost, np.zeros((30, 1), "f")])
    shift, mass = rng.normal(size=k + 1), rng.random(30)
    _, _, sums = swept(native.Transport(cost), 2.0, shift, mass)
    np.testing.assert_allclose(sums, plain_sums(wide, 2.0, shift, mass), rtol=5e-7)
    narrow, full = native.Transport(cost), native.Transport(wide)
    stable, weight, most = rng.normal(size=30), rng.random(30), [np.full(k + 1, -INF) for _ in range(2)]
    for costs, out in zip((narrow, full), most, strict=True):
        costs.column_max(0, 30, 2.0, shift, stable, weight, np.zeros(30), out)
    np.testing.assert_array_equal(*most)
    sums = [np.zeros(k + 1) for _ in range(2)]
    for costs, out in zip((narrow, full), sums, strict=True):
        costs.column_sums(0, 30, 2.0, -most[0], stable, weight, np.zeros(30), out)
    np.testing.assert_allclose(*sums, rtol=5e-7)


def everything(cost, x, centroids, rng_seed=5):
    rng = np.random.default_rng(rng_seed)
    out = []
    for costs in (
        native.Transport(cost),
        native.Transport(x, centroids, x[0], "l2"),
        native.Transport(x, centroids, x[0], "ip"),
    ):
        k, n = costs.k, costs.n
        shift, mass = rng.normal(size=k + 1), rng.random(n)
        lift = rng.normal(size=n)
        out += list(swept(costs, 1.5, shift, mass, step=2 * costs.chunk_rows, lift=lift))
        stable, weight = out[-3:-1]
        most, sums = np.full(k + 1, -INF), np.zeros(k + 1)
        costs.column_max(0, n, 1.5, shift, stable, weight, lift, most)
        costs.column_sums(0, n, 1.5, -most, stable, weight, lift, sums)
        out += [most, sums, costs.labels(0, n, 1.5, shift), costs.costs(0, n)]
    return out


@pytest.mark.parametrize("shape", [(1, 1, 1), (70, 17, 15), (700, 130, 17)])
def test_levels_and_threads_agree_bit_for_bit(shape, rng, threads):
    n, k, d = shape
    data = (
        rng.normal(size=(n, k)).astype("f"),
        rng.normal(size=(n, d)).astype("f"),
        rng.normal(size=(k, d)).astype("f"),
    )
    before = native.simd_level()
    results = []
    for level in native.available_simd_levels():
        native.set_simd_level(level)
        for count in (1, 4):
            native.set_num_threads(count)
            results.append(everything(*data))
    native.set_simd_level(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize("dtype", ["f4", "f2"])
def test_made_costs(metric, dtype, level, rng):
    x, c = (rng.normal(size=(50, 19)) + 3).astype(dtype), rng.normal(size=(21, 19)).astype("f")
    centre = np.full(19, 3, "f4")
    got = native.Transport(x, c, centre, metric).costs(0, 50)
    wanted = (-2 if metric == "l2" else -1) * ((x.astype("d") - centre) @ c.T)
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=5e-6)


@pytest.mark.parametrize("power", [1.0, 0.7])
def test_lift_raises_the_virtual_column_as_if_costs_were_lower(power, level, rng):
    cost, taken = rng.normal(size=(30, 9)).astype("f"), rng.integers(-3, 4, size=30).astype("d")
    shift, mass = rng.normal(size=10), rng.random(30)
    raised = (cost + taken[:, None]).astype("f")
    want = swept(native.Transport(raised), 2.0, shift, mass, power)
    got = swept(native.Transport(cost), 2.0, shift, mass, power, lift=2.0 * taken)
    np.testing.assert_allclose(got[2], want[2], rtol=2e-6)
    rows = [stable + np.log2(weight) for stable, weight, _ in (got, want)]
    np.testing.assert_allclose(rows[0] + 2.0 * taken, rows[1], atol=2e-6)
    most = [np.full(10, -INF), np.full(10, -INF)]
    native.Transport(cost).column_max(0, 30, 2.0, shift, got[0], got[1], 2.0 * taken, most[0])
    native.Transport(raised).column_max(0, 30, 2.0, shift, want[0], want[1], np.zeros(30), most[1])
    np.testing.assert_allclose(*most, atol=3e-6)


def test_labels_take_the_lowest_of_ties(level):
    cost = np.zeros((4, 40), "f")
    cost[1, :5] = 1
    shift = np.zeros(40)
    assert native.Transport(cost).labels(0, 4, 1.0, shift).tolist() == [0, 5, 0, 0]


def test_wrong_calls_are_refused(rng):
    costs = native.Transport(rng.normal(size=(3, 4)).astype("f"))
    with pytest.raises(ValueError, match="outside"):
        costs.labels(0, 4, 1.0, np.zeros(4))
    with pytest.raises(ValueError, match="column shifts"):
        costs.labels(0, 3, 1.0, np.zeros(6))
    with pytest.raises(ValueError, match="columns of points"):
        native.Transport(np.zeros((3, 4), "f"), np.zeros((2, 5), "f"), np.zeros(4, "f"), "l2")
    with pytest.raises(ValueError, match="length of centre"):
        native.Transport(np.zeros((3, 4), "f"), np.zeros((2, 4), "f"), np.zeros(5, "f"), "l2")
