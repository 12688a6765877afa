"""KMedoids: worked oracle, brute force, plain FasterPAM, other libraries, hostile input."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

from cluscomp import KMedoids, dissimilarities, errors, native

ORACLE = np.array([[0, 1, 2, 3], [1, 0, 4, 5], [2, 4, 0, 6], [3, 5, 6, 0]], dtype=np.float32)


def loss_of(matrix: np.ndarray, medoids) -> float:
    return float(matrix[list(medoids)].min(axis=0).sum(dtype=np.float64))


def eager_swaps(matrix: np.ndarray, medoids) -> list[int]:
    """FasterPAM in its plainest form: try all k swaps of a candidate, keep the best if it lowers the loss."""
    medoids, n, quiet, candidate = list(medoids), len(matrix), 0, 0
    while quiet < n:
        found = False
        if candidate not in medoids:
            trials = [
                loss_of(matrix, [*medoids[:s], candidate, *medoids[s + 1 :]]) for s in range(len(medoids))
            ]
            slot = int(np.argmin(trials))
            found = trials[slot] < loss_of(matrix, medoids) * (1 - 1e-9)
            if found:
                medoids[slot] = candidate
        quiet = 1 if found else quiet + 1
        candidate = (candidate + 1) % n
    return medoids


def test_oracle():
    for start in itertools.combinations(range(4), 2):
        model = KMedoids(2, metric="precomputed", init=np.array(start)).fit(ORACLE)
        assert model.medoid_indices_.tolist() == [0, 3] and model.inertia_ == 3
        assert model.labels_.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("metric", ["euclidean", "l2", "cosine"])
@pytest.mark.parametrize(("n", "d"), [(1, 3), (2, 1), (33, 1), (70, 17), (97, 64)])
def test_matrix_equals_float64(metric, n, d, rng):
    x = (rng.normal(size=(n, d)) + (0 if metric == "cosine" else 100)).astype("f")
    wide = x.astype(float)
    if metric == "cosine":
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
        want = 1 - wide @ wide.T
    else:
        want = ((wide[:, None] - wide[None]) ** 2).sum(-1)
        want = np.sqrt(want) if metric == "euclidean" else want
    got = dissimilarities(x, metric=metric)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    assert (got == got.T).all() and not np.diagonal(got).any()


@pytest.mark.parametrize("k", [1, 2, 3, 7, 20])
def test_equals_plain_eager_swaps(k, rng):
    # Integers: every sum is exact, so the same swaps are taken.
    x = rng.integers(0, 1000, size=(60, 2))
    matrix = np.abs(x[:, None] - x[None]).sum(-1).astype("f")
    start = rng.choice(60, k, replace=False)
    model = KMedoids(k, metric="precomputed", init=start).fit(matrix)
    assert model.medoid_indices_.tolist() == sorted(eager_swaps(matrix, start))
    assert model.inertia_ == loss_of(matrix, model.medoid_indices_)


def test_several_starts_reach_the_optimum_of_small_cases(rng):
    for seed in range(8):
        x = np.random.default_rng(seed).normal(size=(14, 2)).astype("f")
        matrix = dissimilarities(x)
        best = min(loss_of(matrix, chosen) for chosen in itertools.combinations(range(14), 3))
        assert KMedoids(3, n_redo=20).fit(x).inertia_ == pytest.approx(best, rel=1e-6)


def test_no_single_swap_is_left(rng):
    matrix = dissimilarities(rng.normal(size=(150, 5)).astype("f"))
    model = KMedoids(6, metric="precomputed").fit(matrix)
    for slot, candidate in itertools.product(range(6), range(150)):
        medoids = model.medoid_indices_.copy()
        medoids[slot] = candidate
        assert loss_of(matrix, medoids) >= model.inertia_ * (1 - 1e-9)


def test_threads_and_levels_change_nothing(level, rng, threads):
    x = rng.normal(size=(700, 19)).astype("f")
    got = []
    for n, name in [(1, level), (4, level), (1, "scalar")]:
        native.set_num_threads(n)
        native.set_simd_level(name)
        got.append(KMedoids(15).fit(x))
    for other in got[1:]:
        np.testing.assert_array_equal(got[0].medoid_indices_, other.medoid_indices_)
        np.testing.assert_array_equal(got[0].labels_, other.labels_)
        assert got[0].inertia_ == other.inertia_ and got[0].n_swaps_ == other.n_swaps_


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 40])
def test_pieces_of_a_search_do_not_change_it(length, rng):
    matrix = dissimilarities(rng.normal(size=(80, 3)).astype("f"))
    start = np.arange(5)
    whole, pieces = native.MedoidSearch(matrix, start), native.MedoidSearch(matrix, start)
    assert whole.run(10**9, 10**9)
    while not pieces.run(length + 1, 1):
        pass
    assert whole.medoids == pieces.medoids and whole.swaps == pieces.swaps > 0
    assert whole.loss == pytest.approx(loss_of(matrix, whole.medoids), rel=1e-12)


def test_equals_the_kmedoids_package(rng):
    package = pytest.importorskip("kmedoids")
    matrix = dissimilarities(rng.normal(size=(300, 8)).astype("f"))
    for k in (1, 2, 10, 40):
        start = rng.choice(300, k, replace=False)
        ours = KMedoids(k, metric="precomputed", init=start).fit(matrix)
        theirs = package.fasterpam(matrix, start.astype(np.uint64), n_cpu=1)
        assert ours.inertia_ == pytest.approx(float(theirs.loss), rel=1e-6)
        assert k == 1 or ours.n_swaps_ == theirs.n_swap  # theirs takes the best row at once for k = 1


@pytest.mark.parametrize("metric", ["euclidean", "l2", "cosine"])
def test_rows_and_their_matrix_agree(metric, rng):
    x = rng.normal(size=(200, 6)).astype("f")
    rows = KMedoids(7, metric=metric).fit(x)
    given = KMedoids(7, metric="precomputed").fit(dissimilarities(x, metric=metric))
    np.testing.assert_array_equal(rows.medoid_indices_, given.medoid_indices_)
    np.testing.assert_array_equal(rows.labels_, given.labels_)
    assert rows.inertia_ == pytest.approx(given.inertia_, rel=1e-5)
    np.testing.assert_array_equal(rows.predict(x), rows.labels_)
    np.testing.assert_array_equal(rows.cluster_centers_, x[rows.medoid_indices_])
    np.testing.assert_array_equal(given.predict(dissimilarities(x, metric=metric)), given.labels_)


def test_duplicates_and_as_many_medoids_as_rows(rng):
    x = np.repeat(rng.normal(size=(5, 3)), 4, axis=0)
    assert KMedoids(5, n_redo=5).fit(x).inertia_ == 0
    assert KMedoids(20).fit(x).inertia_ == 0
    assert KMedoids(3).fit(np.ones((9, 2))).inertia_ == 0
    assert KMedoids(1).fit(x[:1]).labels_.tolist() == [0]


def test_a_sample_is_announced(rng):
    x = rng.normal(size=(500, 4)).astype("f")
    with pytest.warns(errors.SubsampleWarning, match="100 of 500 rows"):
        model = KMedoids(4, max_train_rows=100).fit(x)
    assert model.labels_.shape == (500,)
    np.testing.assert_array_equal(model.predict(x), model.labels_)
    with pytest.warns(errors.SubsampleWarning):
        given = KMedoids(2, max_train_rows=50, init=np.array([3, 499]), n_iter=1).fit(x)
    assert given.inertia_ > 0


def test_half_precision_tensors(rng):
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(rng.normal(size=(80, 5))).bfloat16()
    np.testing.assert_array_equal(KMedoids(4).fit(x).labels_, KMedoids(4).fit(x.float()).labels_)


def test_progress_reaches_its_total(rng):
    seen = []
    KMedoids(3, n_redo=2).fit(
        rng.normal(size=(50, 2)), progress=lambda _, done, total: seen.append((done, total))
    )
    assert seen[-1][0] == seen[-1][1] and seen == sorted(seen)


def test_bad_input(rng):
    x = rng.normal(size=(10, 3))
    with pytest.raises(errors.TooFewRowsError, match="11.*there are 10"):
        KMedoids(11).fit(x)
    for change, text in [
        ({"n_clusters": 0}, "n_clusters"),
        ({"metric": "hamming"}, "hamming"),
        ({"init": "build"}, "build"),
        ({"init": np.array([1, 1, 2])}, "different rows"),
        ({"init": np.array([1, 2])}, r"\(2,\)"),
        ({"n_redo": 0}, "n_redo"),
        ({"max_train_rows": 2}, "max_train_rows=2"),
    ]:
        with pytest.raises(errors.UsageError, match=text):
            KMedoids(**{"n_clusters": 3, **change}).fit(x)
    with pytest.raises(errors.UsageError, match="precomputed"):
        dissimilarities(x, metric="precomputed")
    with pytest.raises(errors.NonFiniteError):
        KMedoids(2).fit(np.where(x > 1, np.nan, x))
    with pytest.raises(errors.DimensionError, match=r"\(10, 3\)"):
        KMedoids(2, metric="precomputed").fit(x)
    bent = ORACLE.copy()
    bent[1, 3] = 7
    for matrix, text in [
        (bent, r"\(1, 3\).*mirror.*7.0.*5.0"),
        (1 - ORACLE, r"\(0, 0\).*is 1"),
        (-ORACLE, "negative"),
    ]:
        with pytest.raises(errors.InputError, match=text):
            KMedoids(2, metric="precomputed").fit(matrix)


def test_native_checks():
    for medoids in ([], [4], [-1], [1, 1]):
        with pytest.raises(ValueError, match="medoid"):
            native.MedoidSearch(ORACLE, np.array(medoids, dtype=np.int64))


def test_check_estimator_passes():
    checks = pytest.importorskip("sklearn.utils.estimator_checks")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for metric in ("euclidean", "cosine"):
            checks.check_estimator(KMedoids(3, metric=metric))
