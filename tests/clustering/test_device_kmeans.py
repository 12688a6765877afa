"""KMeans on torch CUDA tensors: the CPU's fit, bit for bit; under cosine up to the last bit of norms."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from cluscomp.clustering import KMeans, train_kmeans
from cluscomp.clustering.balanced.kmeans import BalancedKMeans
from cluscomp.errors import DimensionError, DTypeError, NonFiniteError, SubsampleWarning, TooFewRowsError

torch = pytest.importorskip("torch")

METRICS = ("l2", "ip", "cosine")


def host(values):
    return values.cpu().numpy() if hasattr(values, "cpu") else values


def same_fit(there: KMeans, here: KMeans, *, exact: bool = True) -> None:
    """there: fitted on the device. Norms differ in the last bit, so that cosine is compared to rounding."""
    assert isinstance(there.cluster_centers_, torch.Tensor) and there.cluster_centers_.dtype == torch.float32
    assert isinstance(there.labels_, torch.Tensor) and there.labels_.dtype == torch.int32
    np.testing.assert_array_equal(host(there.labels_), here.labels_)
    assert there.n_iter_ == here.n_iter_
    if exact:
        np.testing.assert_array_equal(host(there.cluster_centers_), here.cluster_centers_)
        assert there.inertia_ == here.inertia_
    else:
        np.testing.assert_allclose(host(there.cluster_centers_), here.cluster_centers_, rtol=1e-5, atol=1e-6)
        assert there.inertia_ == pytest.approx(here.inertia_, rel=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_fit_is_the_cpus(put, rng, metric, dtype):
    x = torch.from_numpy(rng.normal(size=(400, 33)).astype("f4")).to(getattr(torch, dtype))
    values = x.float().numpy()
    there = KMeans(13, metric=metric, n_iter=8).fit(put(x))
    same_fit(there, KMeans(13, metric=metric, n_iter=8).fit(values), exact=metric != "cosine")
    np.testing.assert_array_equal(host(there.predict(put(x))), host(there.labels_))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    "settings",
    [
        {"init": "k-means++"},
        {"n_redo": 3, "n_iter": 3},
        {"tol": 0.02, "n_iter": 50},
        {"tol": 0.0, "n_iter": 50},
    ],
)
def test_settings(put, rng, metric, settings):
    x = rng.normal(size=(300, 8)).astype("f4")
    here = KMeans(9, metric=metric, **settings).fit(x)
    same_fit(KMeans(9, metric=metric, **settings).fit(put(x)), here, exact=metric != "cosine")


@pytest.mark.parametrize("metric", METRICS)
def test_weights_and_empty_clusters(put, rng, metric):
    x = rng.normal(size=(200, 6)).astype("f4")
    x[::7] = 0
    weight = rng.integers(0, 3, size=200) * rng.random(200)
    far = np.full((3, 6), 1e3 if metric == "l2" else 0.0)
    start = np.concatenate([x[1:6], far]).astype("f4")  # nobody joins the last three
    model = KMeans(8, metric=metric, init=start, n_iter=6)
    here = model.fit(x, sample_weight=weight)
    there = KMeans(8, metric=metric, init=put(start), n_iter=6).fit(put(x), sample_weight=put(weight))
    assert np.unique(here.labels_).size == 8
    same_fit(there, here, exact=metric != "cosine")


def test_history_and_progress(put, rng):
    x = rng.normal(size=(500, 12)).astype("f4")
    seen: list[tuple[int, int]] = []
    there = train_kmeans(put(x), 20, n_iter=5, progress=lambda _, done, total: seen.append((done, total)))
    here = train_kmeans(x, 20, n_iter=5)
    assert there.history == here.history and there.labels is None and there.n_iter == here.n_iter
    assert seen[-1][0] == seen[-1][1] and [d for d, _ in seen] == sorted(d for d, _ in seen)

    def interrupt(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_kmeans(put(x), 20, progress=interrupt)


def test_subsampling_says_so_and_labels_all_rows(put, rng):
    x = rng.normal(size=(1000, 4)).astype("f4")
    models = []
    for rows in (put(x), x):
        with pytest.warns(SubsampleWarning, match="80 of 1000 rows"):
            models.append(KMeans(8, max_points_per_cluster=10).fit(rows))
    same_fit(*models)


def test_fit_and_predict_on_different_devices(put, rng):
    x = rng.normal(size=(150, 5)).astype("f4")
    there, here = KMeans(6).fit(put(x)), KMeans(6).fit(x)
    assert isinstance(there.predict(x), np.ndarray)
    np.testing.assert_array_equal(there.predict(x), here.labels_)
    np.testing.assert_array_equal(host(here.predict(put(x))), here.labels_)
    np.testing.assert_array_equal(host(there.fit_predict(put(x))), here.labels_)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(there)).predict(x), here.labels_)  # noqa: S301


def test_rows_with_a_graph_or_odd_strides(put, rng):
    x = rng.normal(size=(7, 120)).astype("f4")
    here = KMeans(4).fit(np.ascontiguousarray(x.T))
    same_fit(KMeans(4).fit(put(x).T), here)
    same_fit(KMeans(4).fit(put(x).T.clone().requires_grad_()), here)


def test_blocks_of_rows_change_nothing(put, rng, monkeypatch):
    from cluscomp.clustering import device

    x = rng.normal(size=(400, 20)).astype("f4")
    monkeypatch.setattr(device, "_SCRATCH_BYTES", 1 << 13)
    same_fit(KMeans(9, n_iter=4).fit(put(x)), KMeans(9, n_iter=4).fit(x))


def test_bad_input(put, rng):
    x = rng.normal(size=(10, 3)).astype("f4")
    with pytest.raises(TooFewRowsError, match="11.*there are 10"):
        KMeans(11).fit(put(x))
    with pytest.raises(DTypeError, match=r"float64.*x\.float\(\)"):
        KMeans(2).fit(put(x.astype("f8")))
    with pytest.raises(DimensionError, match=r"\(10,\)"):
        KMeans(2).fit(put(x[:, 0]))
    with pytest.raises(DimensionError, match="X has 2 features, but KMeans is expecting 3"):
        KMeans(2).fit(put(x)).predict(put(x[:, :2]))
    x[4, 1] = np.nan
    with pytest.raises(NonFiniteError, match="row 4"):
        KMeans(2).fit(put(x))


def test_clusterers_without_kernels_name_the_remedy(rng):
    x = torch.zeros((10, 3), device="meta")  # a tensor that is not on the CPU
    with pytest.raises(DTypeError, match=r"on meta.*x\.cpu\(\)"):
        BalancedKMeans(2).fit(x)
