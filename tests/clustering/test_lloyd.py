"""Lloyd's algorithm: hand-worked steps, the objective, the empty-cluster rule, weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluscomp.clustering.assign import assign_rows
from cluscomp.clustering.lloyd import WeightedRows, lloyd, update_centroids


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, None]


def test_points_on_a_line_by_hand() -> None:
    # 0, 1 | 9, 10 from starts 0 and 1: {0} {1, 9, 10} -> 0, 20/3 -> {0, 1} {9, 10} -> .5, 9.5
    run = lloyd(WeightedRows(column(0, 1, 9, 10), "l2"), column(0, 1), n_iter=20, tol=0.0)
    assert run.centroids.ravel().tolist() == [0.5, 9.5]
    assert run.labels.tolist() == [0, 0, 1, 1]
    assert run.n_iter == 2 and run.settled
    np.testing.assert_allclose(run.history, [64 + 81, 1 + (7 / 3) ** 2 + (10 / 3) ** 2, 1.0], rtol=1e-6)


def test_weights_pull_the_mean_by_hand() -> None:
    rows = WeightedRows(column(0, 3, 100), "l2", np.array([1.0, 2.0, 0.0]))
    run = lloyd(rows, column(1), n_iter=5, tol=0.0)
    assert run.centroids.ravel().tolist() == [2.0]
    assert run.objective == 1 * 4 + 2 * 1


def test_inner_product_by_hand() -> None:
    x = np.array([[1, 0], [3, 0], [0, 2]], dtype=np.float32)
    run = lloyd(WeightedRows(x, "ip"), np.eye(2, dtype=np.float32), n_iter=5, tol=0.0)
    assert run.centroids.tolist() == [[2, 0], [0, 2]]
    assert run.objective == -(2 + 6 + 4)


def test_cosine_by_hand() -> None:
    # Directions (1,0), (0,1) with different lengths: the centroid is the mean direction, lengths do not matter.
    x = np.array([[5, 0], [0, 0.1], [-2, 0]], dtype=np.float32)
    run = lloyd(WeightedRows(x, "cosine"), np.array([[1, 0], [-1, 0]], np.float32), n_iter=5, tol=0.0)
    np.testing.assert_allclose(run.centroids, [[0.5**0.5, 0.5**0.5], [-1, 0]], atol=1e-7)
    assert run.objective == pytest.approx(2 * (1 - 0.5**0.5), rel=1e-6)


def test_opposite_members_keep_the_old_direction() -> None:
    x = np.array([[0, 1], [0, -1]], dtype=np.float32)
    start = np.array([[1, 0]], dtype=np.float32)
    run = lloyd(WeightedRows(x, "cosine"), start, n_iter=3, tol=0.0)
    assert run.centroids.tolist() == [[1, 0]] and run.objective == 2.0


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(2, 80), d=st.integers(1, 8), seed=st.integers(0, 2**32 - 1),
    metric=st.sampled_from(["l2", "cosine"]), weighted=st.booleans(), data=st.data(),
)  # fmt: skip
def test_objective_never_rises_even_with_empty_clusters(
    n: int, d: int, seed: int, metric: str, weighted: bool, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, n))
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(n, d)) * 3).astype("f")
    x[~x.any(axis=1)] = 1.0
    mass = rng.integers(0, 4, size=n).astype(float) if weighted else None
    rows = WeightedRows(x, metric, mass)
    start = np.full((k, d), 50.0, np.float32)  # all but one cluster start empty
    history = np.array(lloyd(rows, start, n_iter=15, tol=-1.0).history)
    assert (np.diff(history) <= 1e-6 * (1 + np.abs(history[:-1]))).all()


def test_a_centroid_is_the_mean_of_its_members(rng: np.random.Generator) -> None:
    x = rng.normal(size=(400, 7)).astype("f")
    mass = rng.uniform(0, 2, size=400)
    labels, scores = assign_rows(x, x[:12], "l2")
    moved = update_centroids(WeightedRows(x, "l2", mass), labels, scores, x[:12])
    for cluster in range(12):
        member = labels == cluster
        np.testing.assert_allclose(
            moved[cluster], np.average(x[member], axis=0, weights=mass[member]), rtol=1e-5, atol=1e-6
        )


class TestEmptyClusters:
    """Each empty cluster takes the row farthest from its centroid."""

    def test_farthest_row_moves_by_hand(self) -> None:
        x, start = column(0, 1, 2, 10), column(1, 100, 200)
        labels, scores = assign_rows(x, start, "l2")
        assert labels.tolist() == [0, 0, 0, 0]
        moved = update_centroids(WeightedRows(x, "l2"), labels, scores, start)
        # 10 is farthest (81); then 0 and 2 tie at 1 and the lower row wins; 1 and 2 stay.
        assert moved.ravel().tolist() == [1.5, 10.0, 0.0]

    def test_a_row_of_weight_zero_is_never_taken(self) -> None:
        x, start = column(0, 1, 100), column(0, -50)
        labels, scores = assign_rows(x, start, "l2")
        moved = update_centroids(WeightedRows(x, "l2", np.array([1.0, 1.0, 0.0])), labels, scores, start)
        assert moved.ravel().tolist() == [0.0, 1.0]

    def test_the_last_member_of_a_cluster_stays(self) -> None:
        x, start = column(0, 1, 20), column(0.5, 30, 90)
        labels, scores = assign_rows(x, start, "l2")
        assert labels.tolist() == [0, 0, 1]  # row 2 is farthest, but cluster 1 has no other
        moved = update_centroids(WeightedRows(x, "l2"), labels, scores, start)
        assert moved.ravel().tolist() == [1.0, 20.0, 0.0]

    def test_repeated_rows_leave_it_where_it_is(self) -> None:
        run = lloyd(WeightedRows(column(3, 3, 3), "l2"), column(3, 8), n_iter=9, tol=0.0)
        assert run.centroids.ravel().tolist() == [3.0, 8.0]
        assert run.n_iter == 1 and run.objective == 0.0

    def test_inner_product_takes_the_row_that_gains_most(self) -> None:
        x = np.array([[1, 0], [1, 0.1], [1, 5]], dtype=np.float32)
        start = np.array([[1, 0], [-9, 0]], dtype=np.float32)
        labels, scores = assign_rows(x, start, "ip")
        moved = update_centroids(WeightedRows(x, "ip"), labels, scores, start)
        np.testing.assert_allclose(moved, [[1, 0.05], [1, 5]], rtol=1e-6)


def test_same_start_gives_the_objective_of_sklearn(rng: np.random.Generator) -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    x = rng.normal(size=(1500, 10)).astype("f")
    wanted = cluster.KMeans(20, init=x[:20], n_init=1, max_iter=30, tol=0, algorithm="lloyd").fit(x)
    run = lloyd(WeightedRows(x, "l2"), x[:20], n_iter=30, tol=0.0)
    assert run.objective == pytest.approx(wanted.inertia_, rel=1e-5)
    assert (run.labels == wanted.labels_).mean() > 0.99


def test_same_start_gives_the_objective_of_faiss(rng: np.random.Generator) -> None:
    faiss = pytest.importorskip("faiss")
    x = rng.normal(size=(3000, 16)).astype("f")
    start = x[:25].copy()
    parameters = faiss.ClusteringParameters()
    parameters.niter, parameters.max_points_per_centroid = 10, 10_000
    clustering = faiss.Clustering(16, 25, parameters)
    faiss.copy_array_to_vector(start.ravel(), clustering.centroids)
    clustering.train(x, faiss.IndexFlatL2(16))
    stats = clustering.iteration_stats
    wanted = [stats.at(i).obj for i in range(stats.size())]
    run = lloyd(WeightedRows(x, "l2"), start, n_iter=10, tol=-1.0, final_assignment=False)
    np.testing.assert_allclose(run.history, wanted, rtol=1e-5)
