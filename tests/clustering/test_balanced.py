"""Bounds hold always; costs equal the exact optimum of another solver."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import cluscomp as cc
from cluscomp import native
from cluscomp.clustering.balanced import moves as balance_moves
from cluscomp.clustering.balanced import prices as balance_prices
from cluscomp.clustering.balanced.assign import Bounds, duality_gap, total_cost
from cluscomp.clustering.balanced.items import find_items
from cluscomp.errors import DimensionError, InputError, TooFewRowsError, UsageError

SHAPES = ((200, 7, 5), (60, 10, 3), (300, 40, 33), (100, 1, 4), (30, 30, 2))


def rows_of_kind(kind, n, k, d, rng):
    """Rows and centroids: plain, or of a kind that breaks balancers."""
    x = rng.standard_normal((n, d)).astype(np.float32)
    if kind == "half duplicates":
        x[: n // 2] = x[0]
    elif kind == "all equal":
        x[:] = 1
    elif kind == "skew":
        x = np.abs(x) ** 3
    elif kind == "many ties":
        x = np.round(x)
    centroids = x[rng.choice(n, k, replace=False)].copy()
    if kind == "far cluster":
        centroids[0] += 1000
    elif kind == "equal centroids":
        centroids[:] = centroids[0]
    elif kind == "common offset":
        x, centroids = x + np.float32(1e3), centroids + np.float32(1e3)
    return x, centroids


KINDS = (
    "plain", "half duplicates", "all equal", "skew", "many ties", "far cluster", "equal centroids",
    "common offset",
)  # fmt: skip


def squared(x, centroids):
    return ((x[:, None].astype(np.float64) - centroids[None]) ** 2).sum(-1)


def least_cost(cost, low, high):
    """The optimum by the Hungarian method with one column a place; places below `low` must be taken."""
    solver = pytest.importorskip("scipy.optimize")
    columns = np.repeat(np.arange(len(high)), high)
    place = np.concatenate([np.arange(h) for h in high])
    reward = np.where(place < low[columns], -1e7 * max(1.0, np.abs(cost).max()) / 1e3, 0.0)
    rows, taken = solver.linear_sum_assignment(cost[:, columns] + reward)
    return cost[rows, columns[taken]].sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cost_is_the_exact_optimum_and_bounds_hold(kind, shape, rng):
    n, k, _ = shape
    x, centroids = rows_of_kind(kind, *shape, rng)
    for low, high in ((n // k, -(-n // k)), (0, -(-13 * n // (10 * k)))):
        labels = cc.balanced_assign(x, centroids, capacity=high, minimum=low)
        sizes = np.bincount(labels, minlength=k)
        assert sizes.min() >= low and sizes.max() <= high
        cost = squared(x, centroids)
        best = least_cost(cost, np.full(k, low), np.full(k, high))
        assert cost[np.arange(n), labels].sum() <= best * (1 + 1e-5) + 1e-6


@pytest.mark.parametrize("metric", ["ip", "cosine"])
def test_other_metrics_are_optimal_too(metric, rng):
    x, centroids = rows_of_kind("plain", 150, 9, 6, rng)
    a = x / np.linalg.norm(x, axis=1, keepdims=True) if metric == "cosine" else x
    b = centroids / np.linalg.norm(centroids, axis=1, keepdims=True) if metric == "cosine" else centroids
    cost = -(a.astype(np.float64) @ b.T)
    labels = cc.balanced_assign(x, centroids, capacity=17, minimum=16, metric=metric)
    best = least_cost(cost, np.full(9, 16), np.full(9, 17))
    assert cost[np.arange(150), labels].sum() == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("kind", ["plain", "skew", "many ties"])
def test_short_lists_stay_within_one_percent(kind, monkeypatch, rng):
    """Lists of 16 of 60 clusters, prices from a sample, and paths: the way of large inputs."""
    monkeypatch.setattr(balance_prices, "_LIST_ENTRIES", 1)
    monkeypatch.setattr(balance_prices, "_FEWEST_ROWS", 200)
    x, centroids = rows_of_kind(kind, 1500, 60, 8, rng)
    x[:200] = x[0]
    centroids[3] += 50  # no list leads there at first
    labels = cc.balanced_assign(x, centroids, capacity=25, minimum=25)
    assert (np.bincount(labels, minlength=60) == 25).all()
    cost = squared(x, centroids)
    best = least_cost(cost, np.full(60, 25), np.full(60, 25))
    assert best <= cost[np.arange(1500), labels].sum() <= 1.01 * best


@pytest.mark.parametrize("scale", [1, 3])
def test_prices_do_not_run_away_on_noise(scale, monkeypatch, rng):
    """Centroids of unequal length, so that few rows are near some of them: prices must fall far."""
    monkeypatch.setattr(balance_prices, "_LIST_ENTRIES", 1)
    x = rng.standard_normal((20_000, 64)).astype(np.float32)
    centroids = x[:256] * rng.uniform(0, scale, (256, 1)).astype(np.float32)
    bounds = Bounds.of(78, 79, 20_000, 256)
    found = bounds.solve(find_items(x, "l2", 78), centroids)
    sizes = np.bincount(found.labels, minlength=256)
    assert sizes.min() >= 78 and sizes.max() <= 79
    gap = duality_gap(x, centroids, found, bounds, "l2")
    assert gap <= 0.01 * total_cost(x, centroids, found.labels, "l2")


def test_direct_moves_by_hand():
    """Cluster 0 holds 0, 1, 2, 3 and gives two: 3 and 2 lose least; cluster 1 at 4 and 2 at -9 have room for one."""
    x = np.array([[0], [1], [2], [3]], np.float32)
    centroids, units = np.array([[0], [4], [-9]], np.float32), np.zeros(4, np.int32)
    items, nothing = find_items(x, "l2", 2), np.zeros(3)
    moved = balance_moves.move_rest(items, centroids, units, nothing, np.zeros(3, int), np.array([2, 1, 1]))
    assert moved.tolist() == [2, 0, 0, 1]
    moved = balance_moves.move_rest(
        items, centroids, units, nothing, np.array([0, 0, 1]), np.array([4, 4, 4])
    )
    assert moved.tolist() == [2, 0, 0, 0]


def test_results_do_not_depend_on_level_and_threads(rng):
    x, centroids = rows_of_kind("plain", 9000, 600, 40, rng)
    before, threads = native.simd_level(), native.get_num_threads()
    found = []
    try:
        for level in native.available_simd_levels():
            for count in (1, 3):
                native.set_simd_level(level)
                native.set_num_threads(count)
                found.append(cc.balanced_assign(x, centroids, capacity=15, minimum=15))
    finally:
        native.set_simd_level(before)
        native.set_num_threads(threads)
    for labels in found[1:]:
        np.testing.assert_array_equal(labels, found[0])


def test_capacities_of_each_cluster(rng):
    x, centroids = rows_of_kind("plain", 20, 3, 2, rng)
    labels = cc.balanced_assign(x, centroids, capacity=[1, 0, 30])
    assert (np.bincount(labels, minlength=3) <= [1, 0, 30]).all()


def test_impossible_bounds_are_refused_with_the_numbers():
    x, centroids = np.zeros((10, 2)), np.zeros((3, 2))
    with pytest.raises(UsageError, match=r"10 rows .* 3 clusters .* 9; a capacity of 4"):
        cc.balanced_assign(x, centroids, capacity=3)
    with pytest.raises(UsageError, match="12 rows in all, but there are 10"):
        cc.balanced_assign(x, centroids, capacity=9, minimum=4)
    with pytest.raises(UsageError, match="minimum 5 above its capacity 4"):
        cc.balanced_assign(x, centroids, capacity=4, minimum=5)
    with pytest.raises(DimensionError, match="3 clusters"):
        cc.balanced_assign(x, centroids, capacity=[5, 5])
    with pytest.raises(UsageError, match="whole numbers"):
        cc.balanced_assign(x, centroids, capacity=4.5)


def test_no_rows():
    assert cc.balanced_assign(np.zeros((0, 2), np.float32), np.zeros((3, 2)), capacity=1).shape == (0,)


@pytest.mark.parametrize("balance", ["none", "soft", "cap", "exact"])
@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_estimator_keeps_its_bounds_in_fit_and_predict(balance, metric, rng):
    x = rng.standard_normal((403, 6)).astype(np.float32)
    model = cc.BalancedKMeans(10, balance=balance, max_ratio=1.2, metric=metric, n_iter=5).fit(x)
    for labels, n in ((model.labels_, 403), (model.predict(x[:37]), 37), (model.predict(x[:3]), 3)):
        sizes = np.bincount(labels, minlength=10)
        if balance == "exact":
            assert sizes.min() >= n // 10 and sizes.max() <= -(-n // 10)
        if balance == "cap":
            assert sizes.max() <= np.ceil(1.2 * n / 10)
    assert model.balance_["n"] == 403
    if balance in ("cap", "exact"):
        assert 0 <= model.gap_ <= 1e-4 * abs(model.inertia_) + 1e-3


def test_one_row_goes_to_its_nearest_cluster(rng):
    x = rng.standard_normal((60, 4)).astype(np.float32)
    model = cc.BalancedKMeans(5, n_iter=3).fit(x)
    assert model.predict(x[:1])[0] == cc.assign(x[:1], model.cluster_centers_)[0]


def test_inertia_never_rises(rng):
    x = rng.standard_normal((500, 8)).astype(np.float32)
    inertias = [cc.BalancedKMeans(20, n_iter=i).fit(x).inertia_ for i in range(1, 6)]
    assert all(after <= before * (1 + 1e-6) for before, after in itertools.pairwise(inertias))


def test_bad_parameters_are_refused(rng):
    x = rng.standard_normal((5, 2))
    with pytest.raises(TooFewRowsError, match=r"n_clusters=6 .* there are 5"):
        cc.BalancedKMeans(6).fit(x)
    with pytest.raises(UsageError, match="balance 'even' is unknown"):
        cc.BalancedKMeans(2, balance="even").fit(x)
    with pytest.raises(UsageError, match="max_ratio must be a finite number at least 1"):
        cc.BalancedKMeans(2, balance="cap", max_ratio=0.5).fit(x)


@pytest.mark.parametrize("balance", ["none", "soft", "cap", "exact"])
def test_scikit_learn_accepts_the_estimator(balance):
    checks = pytest.importorskip("sklearn.utils.estimator_checks")
    checks.check_estimator(cc.BalancedKMeans(n_clusters=3, balance=balance, n_iter=5))


def test_report_by_hand():
    report = cc.balance_report([0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 6)
    assert report["mean"] == pytest.approx(10 / 6) and report["empty"] == 4
    assert report["max_over_mean"] == pytest.approx(5.4) and report["above_4x_mean"] == 1
    assert report["expected_scan"] == pytest.approx((81 + 1) / 10 / (10 / 6))
    assert report["cv"] == pytest.approx(np.std([9, 1, 0, 0, 0, 0]) / (10 / 6))


def test_rows_scanned_by_hand():
    """Sizes 5, 3, 2: queries of one or two clusters read 5 + 3, 2 + 3 and 5 + 2 rows."""
    report = cc.balance_report([0] * 5 + [1] * 3 + [2] * 2, 3, probes=[[0, 1], [2, 1], [0, 2]])
    assert report["scanned_mean"] == pytest.approx(20 / 3) and report["scanned_p50"] == 7
    assert report["scanned_p99"] == pytest.approx(8 - 0.02)
    for bad in ([[3]], [[-1]], [0, 1], [[0.5]], np.zeros((0, 2), int)):
        with pytest.raises(InputError, match="probes"):
            cc.balance_report([0, 1], 3, probes=bad)


@pytest.mark.parametrize("balance", ["none", "soft", "cap", "exact"])
def test_rows_without_a_direction_are_no_start(balance):
    with pytest.raises(TooFewRowsError, match="length zero"):
        cc.BalancedKMeans(2, metric="cosine", balance=balance).fit(np.zeros((10, 4), "f4"))
