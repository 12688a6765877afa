"""SphericalKMeans: sparse equals dense and plain NumPy, bounds change nothing, hostile input."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from cluscomp import KMeans, SphericalKMeans, errors, native
from cluscomp.clustering import spherical_rows

sparse = pytest.importorskip("scipy.sparse")


def documents(rng, n=400, d=300, density=0.05, topics=8):
    """Count-like rows of a few topics, as TF-IDF gives them."""
    topic = rng.dirichlet(np.full(d, 0.05), size=topics)
    counts = np.array([rng.multinomial(int(d * density * 2), topic[i % topics]) for i in range(n)])
    return sparse.csr_array(counts * rng.uniform(0.5, 2.0, size=d)).astype(np.float32)


def plain_lloyd(x, centroids, n_iter):
    """Spherical k-means as NumPy spells it, in float64, for data without empty clusters."""
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)
    labels = None
    for _ in range(n_iter):
        now = (unit @ centroids.T).argmax(axis=1)
        if labels is not None and (now == labels).all():
            break
        labels = now
        sums = np.stack([unit[labels == c].sum(axis=0) for c in range(len(centroids))])
        centroids = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return (unit @ centroids.T).argmax(axis=1), centroids


@pytest.mark.parametrize("k", [1, 2, 7, 63, 64, 65])
def test_equals_a_plain_loop_and_the_dense_engine(k, rng):
    x = documents(rng)
    dense = x.toarray()
    start = dense[rng.choice(400, k, replace=False)]
    got = SphericalKMeans(k, init=start, n_iter=50, tol=0.0).fit(x)
    unit_start = start / np.linalg.norm(start.astype(float), axis=1, keepdims=True)
    labels, centroids = plain_lloyd(dense.astype(float), unit_start, 50)
    same = KMeans(k, metric="cosine", init=start, n_iter=50, tol=0.0).fit(dense)
    np.testing.assert_array_equal(got.labels_, same.labels_)
    np.testing.assert_allclose(got.cluster_centers_, same.cluster_centers_, atol=1e-6)
    assert got.inertia_ == pytest.approx(same.inertia_, rel=1e-5) and got.n_iter_ == same.n_iter_
    if k < 60:  # with more clusters some run empty, which the plain loop does not handle
        np.testing.assert_array_equal(got.labels_, labels)
        np.testing.assert_allclose(got.cluster_centers_, centroids, atol=1e-5)


@pytest.mark.parametrize("d", [1, 15, 17, 200])
def test_assignment_equals_float64_at_every_level(level, d, rng):
    x = sparse.random_array((300, d), density=0.1, rng=rng, dtype=np.float32)
    centroids = rng.normal(size=(70, d)).astype("f")
    centroids[50] = centroids[3]
    rows = spherical_rows.SparseRows(x)
    labels, scores = rows.assign(centroids, None, None)
    want = x.toarray().astype(float) @ centroids.astype(float).T
    np.testing.assert_array_equal(labels, want.argmax(axis=1))
    norms = np.sqrt((x.toarray().astype(float) ** 2).sum(axis=1))
    cosine = np.divide(want.max(axis=1), norms, out=np.zeros(300), where=norms > 0)
    np.testing.assert_allclose(scores, cosine, rtol=1e-6, atol=1e-7)


def test_levels_threads_and_blocks_change_no_bit(level, rng, threads, monkeypatch):
    x = documents(rng)
    native.set_num_threads(1)
    want = SphericalKMeans(20).fit(x)
    native.set_num_threads(4)
    monkeypatch.setattr(spherical_rows, "_PRODUCTS_PER_BLOCK", 20 * 77)
    got = SphericalKMeans(20).fit(x)
    np.testing.assert_array_equal(got.cluster_centers_, want.cluster_centers_)
    np.testing.assert_array_equal(got.labels_, want.labels_)
    assert got.inertia_ == want.inertia_
    native.set_simd_level("scalar")
    np.testing.assert_array_equal(SphericalKMeans(20).fit(x).cluster_centers_, want.cluster_centers_)


@pytest.mark.parametrize("drift", [0.0, 1e-4, 1e-2, 0.3])
def test_bounds_skip_rows_and_change_no_label(drift, rng):
    x = documents(rng)
    rows = spherical_rows.SparseRows(x)
    centroids = SphericalKMeans(30).fit(x).cluster_centers_
    labels, _ = rows.assign(centroids, None, None)
    assert rows.rows_scored == 400
    for _ in range(6):
        centroids = centroids + drift * rng.normal(size=centroids.shape).astype("f") / 17
        labels, scores = rows.assign(centroids, labels, None)
        fresh = spherical_rows.SparseRows(x)
        want, want_scores = fresh.assign(centroids, None, None)
        np.testing.assert_array_equal(labels, want)
        np.testing.assert_array_equal(scores, want_scores)
        if drift < 1e-3:
            assert rows.rows_scored < 200


def test_every_format_and_its_dense_form_agree(rng):
    x = documents(rng)
    start = x.toarray()[:5]
    want = SphericalKMeans(5, init=start).fit(x)
    twice = sparse.coo_array(
        (np.repeat(x.data / 2, 2), (np.repeat(x.tocoo().coords[0], 2), np.repeat(x.tocoo().coords[1], 2))),
        x.shape,
    )
    for other in (
        x.tocsc(),
        x.tocoo(),
        x.tolil(),
        sparse.csr_matrix(x),
        x.astype(np.float64),
        twice,
        x.toarray(),
    ):
        got = SphericalKMeans(5, init=start).fit(other)
        np.testing.assert_array_equal(got.labels_, want.labels_)
        np.testing.assert_array_equal(want.predict(other), want.labels_)
    unsorted = x.copy()
    for i in range(unsorted.shape[0]):
        part = slice(unsorted.indptr[i], unsorted.indptr[i + 1])
        unsorted.indices[part] = unsorted.indices[part][::-1].copy()
        unsorted.data[part] = unsorted.data[part][::-1].copy()
    unsorted.has_sorted_indices = unsorted.has_canonical_format = False
    before = unsorted.indices.copy()
    np.testing.assert_array_equal(SphericalKMeans(5, init=start).fit(unsorted).labels_, want.labels_)
    np.testing.assert_array_equal(unsorted.indices, before)


def test_weights_equal_repeated_rows(rng):
    x = documents(rng, n=80)
    weight = rng.integers(0, 3, size=80)
    start = x.toarray()[:6]
    a = SphericalKMeans(6, init=start).fit(x, sample_weight=weight)
    b = SphericalKMeans(6, init=start).fit(x[np.repeat(np.arange(80), weight)])
    np.testing.assert_allclose(a.cluster_centers_, b.cluster_centers_, atol=1e-6)
    assert a.inertia_ == pytest.approx(b.inertia_, rel=1e-6)


def test_empty_rows_duplicates_and_empty_clusters(rng):
    x = sparse.vstack([documents(rng, n=30), sparse.csr_array((5, 300), dtype=np.float32)]).tocsr()
    model = SphericalKMeans(30, n_redo=2).fit(x)
    assert (model.labels_[30:] == 0).all() and np.isfinite(model.cluster_centers_).all()
    np.testing.assert_allclose(np.linalg.norm(model.cluster_centers_, axis=1), 1, rtol=1e-5)
    assert model.inertia_ == pytest.approx(5, abs=1e-4)  # five rows without a direction
    same = sparse.csr_array(np.repeat(np.eye(3, 10), 4, axis=0))
    assert SphericalKMeans(3).fit(same).inertia_ == pytest.approx(0, abs=1e-6)
    assert SphericalKMeans(5).fit(same).inertia_ == pytest.approx(0, abs=1e-6)
    start = np.vstack([np.eye(10)[:2], np.eye(10)[9:]])
    assert SphericalKMeans(3, init=start).fit(same).inertia_ == pytest.approx(0, abs=1e-6)
    with pytest.raises(errors.TooFewRowsError, match="31.*there are 30 .*length zero"):
        SphericalKMeans(31).fit(x)


def test_bad_input(rng):
    x = documents(rng, n=20)
    for change, error, text in [
        ({"n_clusters": 0}, errors.UsageError, "n_clusters"),
        ({"init": "k-means++"}, errors.UsageError, "dense rows"),
        ({"init": "other"}, errors.UsageError, "other"),
        ({"init": np.ones((3, 4))}, errors.DimensionError, "4.*300"),
        ({"n_redo": 0}, errors.UsageError, "n_redo"),
    ]:
        with pytest.raises(error, match=text):
            SphericalKMeans(**{"n_clusters": 3, **change}).fit(x)
    model = SphericalKMeans(3).fit(x)
    with pytest.raises(errors.DimensionError, match="X has 299 features"):
        model.predict(x[:, 1:])
    with pytest.raises(errors.NotTrainedError):
        SphericalKMeans(3).predict(x)
    x.data[7] = np.nan
    with pytest.raises(errors.NonFiniteError, match="row 0"):
        SphericalKMeans(3).fit(x)
    with pytest.raises(errors.EmptyInputError):
        SphericalKMeans(3).fit(sparse.csr_array((0, 4)))


def test_progress_ends_at_its_total(rng):
    seen = []
    SphericalKMeans(3).fit(documents(rng, n=50), progress=lambda _, done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1]


def test_native_refuses_a_column_out_of_range():
    assigner = native.SparseAssigner(np.ones((2, 3), "f"))
    start, one = np.array([0, 1]), np.ones(1)
    with pytest.raises(ValueError, match="column"):
        assigner.assign(
            start, np.array([3], "i4"), one.astype("f"), one, None, np.zeros(1, "i4"), np.zeros(1, "f"), None
        )


def test_check_estimator_passes():
    checks = pytest.importorskip("sklearn.utils.estimator_checks")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checks.check_estimator(SphericalKMeans(3))
