"""KMeansTree: the size bound, the shape of the tree, beams against a plain descent."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from cluscomp import KMeansTree, assign, errors, native


def plain_descent(model, row, beam):
    """Follow the `beam` nearest nodes of each level, as NumPy spells it."""
    frontier = [0]
    while any(model.node_leaf_[node] < 0 for node in frontier):
        reached = []
        for node in frontier:
            leaf = model.node_leaf_[node] >= 0
            reached += [node] if leaf else list(range(*model.first_child_[node : node + 2]))
        distance = ((model.node_centers_[reached].astype(float) - row) ** 2).sum(axis=1)
        frontier = [reached[i] for i in np.argsort(distance, kind="stable")[:beam]]
    return model.node_leaf_[frontier[0]]


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize(("branching", "leaf_size"), [(2, 10), (4, 25), (16, 1), (50, 300)])
@pytest.mark.parametrize("balance", ["exact", "cap", "soft", "none"])
def test_structure(balance, metric, branching, leaf_size, rng):
    x = rng.normal(size=(300, 5)).astype("f")
    model = KMeansTree(branching, leaf_size=leaf_size, metric=metric, balance=balance).fit(x)
    children = np.diff(model.first_child_)
    assert model.leaf_sizes_.max() <= leaf_size and model.leaf_sizes_.min() >= 1
    assert ((children == 0) == (model.node_leaf_ >= 0)).all() and children.max(initial=0) <= branching
    assert sorted(model.node_leaf_[model.node_leaf_ >= 0]) == list(range(len(model.leaf_sizes_)))
    np.testing.assert_array_equal(np.bincount(model.labels_), model.leaf_sizes_)
    for leaf, centre in enumerate(model.cluster_centers_):
        mean = x[model.labels_ == leaf].astype(float)
        if metric == "cosine":
            mean /= np.linalg.norm(mean, axis=1, keepdims=True)
        mean = mean.mean(axis=0)
        if metric == "cosine":
            mean /= np.linalg.norm(mean)
        np.testing.assert_allclose(centre, mean, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_balanced_leaves_are_alike(metric, rng):
    x = np.exp(2 * rng.normal(size=(1000, 4))).astype("f")
    sizes = KMeansTree(8, leaf_size=20, metric=metric).fit(x).leaf_sizes_
    assert sizes.max() <= 20 and sizes.max() - sizes.min() <= 2  # 8 x 8 nodes of 15 or 16 rows
    plain = KMeansTree(8, leaf_size=20, metric=metric, balance="none").fit(x).leaf_sizes_
    assert plain.max() <= 20 and plain.std() > sizes.std()


def test_beams_equal_a_plain_descent(rng):
    x = rng.normal(size=(400, 6)).astype("f")
    model = KMeansTree(5, leaf_size=12).fit(x)
    assert model.depth_ >= 2
    queries = rng.normal(size=(60, 6)).astype("f")
    for beam in (1, 3, 10):
        want = [plain_descent(model, row, beam) for row in queries]
        assert model.set_params(beam=beam).predict(queries).tolist() == want
    exact = assign(queries, model.cluster_centers_)
    np.testing.assert_array_equal(model.set_params(beam=len(x)).predict(queries), exact)
    np.testing.assert_array_equal(model.set_params(beam=None).predict(queries), exact)


def test_a_wider_beam_comes_closer(rng):
    x = rng.normal(size=(2000, 12)).astype("f")
    model = KMeansTree(8, leaf_size=20).fit(x)
    loss = [
        float(((x - model.cluster_centers_[model.set_params(beam=beam).predict(x)]) ** 2).sum())
        for beam in (1, 4, None)
    ]
    assert loss[0] > loss[1] > loss[2]


def test_threads_change_nothing(rng, threads):
    x = rng.normal(size=(800, 7)).astype(np.float16)
    native.set_num_threads(1)
    one = KMeansTree(6, leaf_size=30, beam=2).fit(x)
    labels = one.predict(x)
    native.set_num_threads(4)
    other = KMeansTree(6, leaf_size=30, beam=2).fit(x)
    np.testing.assert_array_equal(one.node_centers_, other.node_centers_)
    np.testing.assert_array_equal(labels, other.predict(x))


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_equal_rows_are_cut_too(metric, value):
    x = np.full((100, 3), value)
    model = KMeansTree(4, leaf_size=7, metric=metric).fit(x)
    assert model.leaf_sizes_.max() <= 7 and model.leaf_sizes_.sum() == 100
    assert model.predict(x).shape == (100,)


def test_few_rows_are_one_leaf():
    model = KMeansTree().fit([[1.0, 2.0]])
    assert model.depth_ == 0 and model.labels_.tolist() == [0] and model.predict([[5.0, 5.0]]).tolist() == [0]


def test_progress_ends_at_its_total(rng):
    seen = []
    KMeansTree(4, leaf_size=9).fit(rng.normal(size=(90, 2)), progress=lambda *state: seen.append(state))
    assert seen[-1] == ("tree", 90, 90)


def test_bad_input(rng):
    x = rng.normal(size=(30, 3))
    for change in (
        {"branching": 1},
        {"leaf_size": 0},
        {"beam": 0},
        {"metric": "ip"},
        {"n_iter": 0},
        {"balance": "most"},
    ):
        with pytest.raises(errors.UsageError, match=next(iter(change))):
            KMeansTree(**change).fit(x)
    with pytest.raises(errors.NotTrainedError):
        KMeansTree().predict(x)
    with pytest.raises(errors.DimensionError, match="X has 2 features"):
        KMeansTree().fit(x).predict(x[:, :2])


def test_check_estimator_passes():
    checks = pytest.importorskip("sklearn.utils.estimator_checks")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for metric in ("l2", "cosine"):
            checks.check_estimator(KMeansTree(4, leaf_size=5, metric=metric))
