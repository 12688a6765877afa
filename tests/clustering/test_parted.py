"""Rows in several places are clustered to the bits of one place."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp import TooFewRowsError, train_kmeans
from cluscomp.clustering.lloyd import WeightedRows, lloyd
from cluscomp.clustering.parted import LocalCrew, PartedRows, RowsPart, cluster_parts


def crew_of(x, metric, cuts):
    parts = [part for part in np.split(x, cuts) if part.shape[0]]
    first = np.concatenate([[0], np.cumsum([part.shape[0] for part in parts])])
    return LocalCrew([RowsPart(part, metric) for part in parts]), first


def cuts_of(rng, n, workers):
    return np.sort(rng.choice(np.arange(1, n), workers - 1, replace=False))


@pytest.mark.parametrize("tol", [0.0, 0.01])
@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_any_cut_gives_the_bits_of_one_machine(rng, metric, workers, tol):
    x = rng.normal(size=(3000, 24)).astype("f4") + rng.normal(size=24).astype("f4")
    x[[5, 1700]] = 0
    want = train_kmeans(x, 40, metric=metric, n_iter=6, seed=3, tol=tol)
    crew, first = crew_of(x, metric, cuts_of(rng, 3000, workers))
    found = cluster_parts(crew, first, 40, metric=metric, n_iter=6, seed=3, tol=tol)
    np.testing.assert_array_equal(found, want.centroids)


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("seed", range(5))
def test_empty_clusters_take_the_same_rows(metric, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, size=(200, 3)).astype("f4")  # many ties, and zero rows
    start = np.repeat(rng.normal(size=(4, 3)), 6, axis=0).astype("f4")  # 20 of 24 are empty at first
    if metric == "cosine":
        start /= np.linalg.norm(start, axis=1, keepdims=True)
    want = lloyd(WeightedRows(x, metric), start, n_iter=8, tol=0.0, final_assignment=False)
    crew, first = crew_of(x, metric, cuts_of(rng, 200, 5))
    found = lloyd(PartedRows(crew, first, metric), start, n_iter=8, tol=0.0, final_assignment=False)
    np.testing.assert_array_equal(found.centroids, want.centroids)
    assert (found.history, found.n_iter, found.settled) == (want.history, want.n_iter, want.settled)


def test_rows_are_taken_from_where_they_lie(rng):
    x = rng.normal(size=(50, 2)).astype("f4")
    crew, first = crew_of(x, "l2", [10, 11, 30])
    rows = PartedRows(crew, first, "l2")
    picked = np.array([0, 9, 10, 29, 30, 49])
    np.testing.assert_array_equal(rows.take(picked), x[picked])
    assert rows.n == 50 and rows.usable().size == 50


def test_exact_sums_change_the_objective_by_less_than_a_millionth(rng):
    x = rng.normal(size=(5000, 16)).astype("f4")
    found = train_kmeans(x, 30, n_iter=10, with_labels=True)
    means = np.stack([x[found.labels == c].astype(np.float64).mean(axis=0) for c in range(30)])
    plain = np.square(x - found.centroids[found.labels].astype(np.float64)).sum()
    assert found.inertia == pytest.approx(plain, rel=1e-6)
    next_step = train_kmeans(x, 30, n_iter=1, init=found.centroids).centroids
    np.testing.assert_allclose(next_step, means, rtol=0, atol=1e-6)


def test_too_few_rows_are_refused_as_in_one_place():
    x = np.ones((6, 2), dtype="f4")
    x[2:] = 0
    crew, first = crew_of(x, "cosine", [3])
    with pytest.raises(
        TooFewRowsError, match="needs at least 3 rows, but there are 2 .*n_samples=6; 4 of them"
    ):
        cluster_parts(crew, first, 3, metric="cosine", n_iter=2, seed=0, tol=0.0)
