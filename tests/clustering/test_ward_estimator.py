"""Ward: by hand, against scikit-learn and scipy, hostile input."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from cluscomp import Ward, errors


def test_by_hand():
    model = Ward(2).fit([[0.0], [1.0], [10.0], [12.0]])
    assert model.labels_.tolist() == [0, 0, 1, 1] and model.cluster_centers_.ravel().tolist() == [0.5, 11]
    assert model.children_.tolist() == [[0, 1], [2, 3], [4, 5]]
    np.testing.assert_allclose(model.distances_, [1, 2, np.sqrt(2) * 10.5])
    assert model.inertia_ == pytest.approx(2.5)
    assert Ward(None, distance_threshold=2.0).fit([[0.0], [1.0], [10.0], [12.0]]).n_clusters_ == 3


@pytest.mark.parametrize("k", [1, 2, 9, 100, 200])
def test_equals_scikit_learn(k, rng):
    cluster = pytest.importorskip("sklearn.cluster")
    x = rng.normal(size=(200, 5)).astype("f")
    ours, theirs = (
        Ward(k).fit(x),
        cluster.AgglomerativeClustering(k, compute_distances=True).fit(x.astype(float)),
    )
    pairs = set(zip(ours.labels_.tolist(), theirs.labels_.tolist(), strict=True))
    assert len(pairs) == k == ours.n_clusters_ == len(set(ours.labels_.tolist()))
    np.testing.assert_allclose(ours.distances_, theirs.distances_, rtol=1e-5)
    loss = float(((x - ours.cluster_centers_[ours.labels_]) ** 2).sum())
    assert ours.inertia_ == pytest.approx(loss, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("threshold", [0.0, 1.5, 4.0, 1e9])
def test_threshold_equals_scikit_learn(threshold, rng):
    cluster = pytest.importorskip("sklearn.cluster")
    x = rng.normal(size=(90, 3)).astype("f")
    ours = Ward(None, distance_threshold=threshold).fit(x)
    theirs = cluster.AgglomerativeClustering(None, distance_threshold=threshold).fit(x.astype(float))
    assert ours.n_clusters_ == theirs.n_clusters_
    assert len(set(zip(ours.labels_.tolist(), theirs.labels_.tolist(), strict=True))) == ours.n_clusters_


def test_ties_still_give_as_many_clusters_as_asked(rng):
    for k in range(1, 13):
        assert len(set(Ward(k).fit(np.ones((12, 2))).labels_.tolist())) == k


def test_bad_input(rng):
    x = rng.normal(size=(6, 2))
    for bad in ({"n_clusters": None}, {"distance_threshold": 1.0}, {"n_clusters": 0}, {"n_clusters": 1.5}):
        with pytest.raises(errors.UsageError, match="n_clusters"):
            Ward(**bad).fit(x)
    with pytest.raises(errors.UsageError, match="distance_threshold.*-1"):
        Ward(None, distance_threshold=-1).fit(x)
    with pytest.raises(errors.TooFewRowsError, match="7.*there are 6"):
        Ward(7).fit(x)
    assert Ward(1).fit(x[:1]).labels_.tolist() == [0]


def test_check_estimator_passes():
    checks = pytest.importorskip("sklearn.utils.estimator_checks")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checks.check_estimator(Ward(3))
