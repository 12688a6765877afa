"""HierarchicalKMeans and balanced_sample: worked shares, structure, what resampling is for, hostile input."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluscomp import HierarchicalKMeans, KMeans, assign, balanced_sample, errors
from cluscomp.clustering.hierarchical import nearest_members


def skewed(rng, n=3000):
    """19 of 20 rows crowd a unit square, the rest spread over 19 others beside it."""
    crowd = rng.uniform(0, 1, size=(n * 19 // 20, 2))
    rest = rng.uniform(0, 1, size=(n // 20, 2)) * [19, 1] + [1, 0]
    return np.concatenate([crowd, rest]).astype("f")


def test_one_level_without_resampling_is_kmeans(rng):
    x = rng.normal(size=(300, 4)).astype("f")
    model = HierarchicalKMeans(6).fit(x)
    labels = assign(x, model.cluster_centers_)
    np.testing.assert_array_equal(model.labels_, labels)
    loss = float(((x - model.cluster_centers_[labels]) ** 2).sum())
    assert loss == pytest.approx(KMeans(6, init="k-means++").fit(x).inertia_, rel=0.1)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("n_resampling", [0, 2])
def test_levels_fit_together(metric, n_resampling, rng):
    x = rng.normal(size=(500, 5)).astype("f")
    model = HierarchicalKMeans((60, 12, 3), metric=metric, n_resampling=n_resampling).fit(x)
    assert [c.shape for c in model.centroids_] == [(60, 5), (12, 5), (3, 5)]
    below = x
    for centroids, parents in zip(model.centroids_, model.parents_, strict=True):
        np.testing.assert_array_equal(parents, assign(below, centroids, metric=metric))
        below = centroids
    chain = model.parents_
    np.testing.assert_array_equal(model.labels_, chain[2][chain[1][chain[0]]])
    np.testing.assert_array_equal(model.predict(x), model.labels_)


def test_resampling_spreads_centroids_over_the_support(rng):
    x = skewed(rng)
    crowd = [
        int((HierarchicalKMeans(60, n_resampling=turns).fit(x).cluster_centers_[:, 0] < 1).sum())
        for turns in (0, 4)
    ]
    assert crowd[1] < 0.7 * crowd[0]


def test_a_balanced_sample_flattens_the_density(rng):
    x = skewed(rng)
    model = HierarchicalKMeans((100, 20), n_resampling=5).fit(x)
    rows = model.sample(300)
    assert rows.size == 300 and (np.diff(rows) > 0).all()
    uniform, balanced = (x[:, 0] > 1).mean(), (x[rows, 0] > 1).mean()
    assert balanced > 4 * uniform


def test_nearest_members_by_hand():
    labels = np.array([0, 1, 0, 1, 0, 2])
    loss = np.array([3.0, 1, 2, 1, 2, 9])
    assert nearest_members(labels, loss, 1).tolist() == [1, 2, 5]
    assert nearest_members(labels, loss, 2).tolist() == [1, 2, 3, 4, 5]


def test_shares_by_hand():
    labels = np.repeat([0, 1, 2], [10, 2, 10])
    assert np.bincount(labels[balanced_sample([labels], 12)]).tolist() == [5, 2, 5]
    assert np.bincount(labels[balanced_sample([labels], 3)]).tolist() == [1, 1, 1]
    assert np.bincount(labels[balanced_sample([labels], 21)]).tolist() in ([9, 2, 10], [10, 2, 9])
    # Two parents with one and two clusters: the first gets half although it holds a tenth of the rows.
    parents = np.array([0, 1, 1])
    labels = np.repeat([0, 1, 2], [10, 45, 45])
    assert np.bincount(labels[balanced_sample([labels, parents], 20)]).tolist() == [10, 5, 5]
    assert balanced_sample([labels], 0).size == 0
    assert balanced_sample([labels], 100).tolist() == list(range(100))


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(0, 60), st.integers(0, 5))
def test_a_sample_is_as_equal_as_it_can_be(labels, wanted, seed):
    labels = np.array(labels)
    wanted = min(wanted, labels.size)
    rows = balanced_sample([labels], wanted, seed=seed)
    assert rows.size == wanted == np.unique(rows).size
    sizes, taken = np.bincount(labels, minlength=7), np.bincount(labels[rows], minlength=7)
    unfilled = taken[taken < sizes]
    assert unfilled.size == 0 or taken.max() <= unfilled.min() + 1


def test_the_seed_decides(rng):
    x = rng.normal(size=(200, 3)).astype("f")
    a, b, c = (HierarchicalKMeans((20, 4), n_resampling=1, seed=seed).fit(x) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.centroids_[0], b.centroids_[0])
    assert (a.centroids_[0] != c.centroids_[0]).any()
    assert a.sample(50, seed=3).tolist() == b.sample(50, seed=3).tolist() != a.sample(50, seed=4).tolist()


def test_duplicates_leave_clusters_empty(rng):
    x = np.repeat(rng.normal(size=(3, 2)), 10, axis=0)
    model = HierarchicalKMeans((8, 2), n_resampling=2).fit(x)
    assert model.sample(9).size == 9


def test_bad_input(rng):
    x = rng.normal(size=(30, 3))
    for change, text in [
        ({"n_clusters": (4, 5)}, "grows"),
        ({"n_clusters": ()}, "empty"),
        ({"n_clusters": (4, 0)}, "n_clusters"),
        ({"n_clusters": "many"}, "n_clusters"),
        ({"metric": "ip"}, "ip"),
        ({"n_resampling": -1}, "n_resampling"),
        ({"points_per_cluster": (1, 2, 3)}, "3 numbers.*2 levels"),
        ({"init": "none"}, "none"),
    ]:
        with pytest.raises(errors.UsageError, match=text):
            HierarchicalKMeans(**{"n_clusters": (5, 2), **change}).fit(x)
    with pytest.raises(errors.TooFewRowsError, match="31"):
        HierarchicalKMeans((31, 2)).fit(x)
    with pytest.raises(errors.NotTrainedError):
        HierarchicalKMeans(2).sample(3)
    for wanted in (-1, 31, 2.5):
        with pytest.raises(errors.UsageError, match="30"):
            balanced_sample([np.zeros(30, int)], wanted)
    for levels in ([np.zeros((3, 2), int)], [np.array([0.5, 1, 1])], [np.array([0, 2, 1]), np.array([0])]):
        with pytest.raises(errors.DimensionError):
            balanced_sample(levels, 1)


def test_check_estimator_passes():
    checks = pytest.importorskip("sklearn.utils.estimator_checks")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checks.check_estimator(HierarchicalKMeans((5, 3), n_resampling=1))
