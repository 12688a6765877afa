"""KMeans and train_kmeans: properties, determinism, sampling, errors, and the scikit-learn protocol."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluscomp import errors, native
from cluscomp.clustering import KMeans, assign, train_kmeans
from cluscomp.clustering import blocks as blocks_module

METRICS = ("l2", "ip", "cosine")
INITS = ("random", "k-means++")


def blobs(rng: np.random.Generator, n: int = 300, k: int = 5, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    centres = 10 * rng.normal(size=(k, d))
    member = np.arange(n) % k
    return (centres[member] + 0.1 * rng.normal(size=(n, d))).astype("f"), member


def same(a: KMeans, b: KMeans) -> None:
    """The two fits agree in every bit."""
    np.testing.assert_array_equal(a.cluster_centers_, b.cluster_centers_)
    np.testing.assert_array_equal(a.labels_, b.labels_)
    assert a.inertia_ == b.inertia_ and a.n_iter_ == b.n_iter_


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("init", INITS)
def test_fit_is_consistent(metric: str, init: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(500, 8)).astype("f")
    model = KMeans(12, metric=metric, init=init)
    assert model.fit(x) is model
    assert model.cluster_centers_.shape == (12, 8) and model.cluster_centers_.dtype == np.float32
    assert model.labels_.dtype == np.int32 and 1 <= model.n_iter_ <= 20
    np.testing.assert_array_equal(model.labels_, model.predict(x))
    _, scores = assign(x, model.cluster_centers_, metric=metric, return_scores=True)
    loss = {"l2": scores, "ip": -scores, "cosine": 1 - scores}[metric]
    assert model.inertia_ == pytest.approx(float(loss.astype(float).sum()), rel=1e-5)
    if metric == "cosine":
        np.testing.assert_allclose(np.linalg.norm(model.cluster_centers_, axis=1), 1, rtol=1e-6)


def test_kmeans_plus_plus_finds_separated_groups(rng: np.random.Generator) -> None:
    x, member = blobs(rng)
    labels = KMeans(5, init="k-means++").fit_predict(x)
    assert len({(a, b) for a, b in zip(labels.tolist(), member.tolist(), strict=True)}) == 5


def test_as_many_clusters_as_rows_leave_no_error(rng: np.random.Generator) -> None:
    x = rng.normal(size=(40, 3)).astype("f")
    for init in INITS:
        model = KMeans(40, init=init).fit(x)
        assert model.inertia_ == 0.0 and sorted(model.labels_.tolist()) == list(range(40))


def test_one_cluster_is_the_mean(rng: np.random.Generator) -> None:
    x = (rng.normal(size=(200, 5)) + 1e4).astype("f")
    np.testing.assert_allclose(KMeans(1).fit(x).cluster_centers_[0], x.mean(axis=0, dtype=float), rtol=1e-7)
    assert KMeans(1).fit(x[:1]).labels_.tolist() == [0]


def test_a_common_offset_moves_only_the_centroids(rng: np.random.Generator) -> None:
    x, member = blobs(rng)
    shifted = KMeans(5, init="k-means++").fit(x + np.float32(1e4))
    assert len(set(zip(shifted.labels_.tolist(), member.tolist(), strict=True))) == 5
    assert shifted.inertia_ == pytest.approx(KMeans(5, init="k-means++").fit(x).inertia_, rel=0.02)


@pytest.mark.parametrize("init", INITS)
def test_a_permutation_of_rows_permutes_labels(init: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(400, 5)).astype("f")
    order = rng.permutation(400)
    a, b = KMeans(9, init=init).fit(x), KMeans(9, init=init).fit(x[order])
    np.testing.assert_allclose(a.cluster_centers_, b.cluster_centers_, atol=1e-5)
    assert (a.labels_[order] == b.labels_).mean() > 0.99


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("init", INITS)
def test_weights_equal_repeated_and_removed_rows(metric: str, init: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(120, 4)).astype("f")
    weight = rng.integers(0, 4, size=120)
    a = KMeans(6, metric=metric, init=init).fit(x, sample_weight=weight)
    b = KMeans(6, metric=metric, init=init).fit(np.repeat(x, weight, axis=0))
    np.testing.assert_allclose(a.cluster_centers_, b.cluster_centers_, rtol=1e-5, atol=1e-6)
    assert a.inertia_ == pytest.approx(b.inertia_, rel=1e-6)
    np.testing.assert_array_equal(np.repeat(a.labels_, weight), b.labels_)


def test_a_random_start_has_no_repeated_row() -> None:
    x = np.repeat(np.arange(8, dtype=np.float32), 50)[:, None]
    assert KMeans(8).fit(x).inertia_ == 0.0


@pytest.mark.parametrize("metric", METRICS)
def test_threads_and_blocks_change_no_bit(
    metric: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, threads: None
) -> None:
    x = rng.normal(size=(2500, 17)).astype("f")
    weight = rng.uniform(0, 2, size=2500)
    native.set_num_threads(1)
    one = KMeans(30, metric=metric).fit(x, sample_weight=weight)
    native.set_num_threads(4)
    same(one, KMeans(30, metric=metric).fit(x, sample_weight=weight))
    monkeypatch.setattr(blocks_module, "_MIN_ROWS", 1)
    monkeypatch.setattr(blocks_module, "_MAX_ROWS", 191)
    same(one, KMeans(30, metric=metric).fit(x, sample_weight=weight))


def test_training_from_a_memory_map_equals_memory(tmp_path: Path, rng: np.random.Generator) -> None:
    x = rng.normal(size=(3000, 9)).astype(np.float16)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    same(KMeans(20).fit(x), KMeans(20).fit(mapped))


def test_tensors_and_lists_equal_arrays(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    x = rng.normal(size=(200, 4)).astype("f")
    same(KMeans(5).fit(x), KMeans(5).fit(torch.from_numpy(x)))
    same(KMeans(5).fit(x), KMeans(5).fit(x.tolist()))
    for metric in METRICS:
        for half in (torch.from_numpy(x).half(), torch.from_numpy(x).bfloat16()):
            model = KMeans(5, metric=metric).fit(half)
            same(model, KMeans(5, metric=metric).fit(half.float()))
            np.testing.assert_array_equal(model.predict(half), model.labels_)


def test_more_runs_keep_the_best(rng: np.random.Generator) -> None:
    x = rng.normal(size=(300, 2)).astype("f")
    single = KMeans(15, n_iter=3).fit(x)
    several = KMeans(15, n_iter=3, n_redo=8).fit(x)
    assert several.inertia_ < single.inertia_


def test_given_centroids_are_the_start(rng: np.random.Generator) -> None:
    x = np.array([[0.0], [1], [9], [10]])
    model = KMeans(2, init=np.array([[0.0], [1]])).fit(x)
    assert model.cluster_centers_.ravel().tolist() == [0.5, 9.5] and model.labels_.tolist() == [0, 0, 1, 1]
    assert model.inertia_ == 1.0 and model.n_iter_ == 2
    flipped = KMeans(2, init=np.array([[1.0], [0]])).fit(x)
    assert flipped.labels_.tolist() == [1, 1, 0, 0]


def test_stops_when_labels_stay_or_the_gain_is_small(rng: np.random.Generator) -> None:
    x, _ = blobs(rng)
    assert KMeans(5, init="k-means++", n_iter=500, tol=0.0).fit(x).n_iter_ < 10
    noise = rng.normal(size=(2000, 8)).astype("f")
    loose = KMeans(40, n_iter=500, tol=0.01).fit(noise)
    tight = KMeans(40, n_iter=500, tol=0.0).fit(noise)
    assert loose.n_iter_ < tight.n_iter_ < 500
    assert tight.inertia_ < loose.inertia_


def test_subsampling_says_so_and_labels_all_rows(rng: np.random.Generator) -> None:
    x = rng.normal(size=(1000, 4)).astype("f")
    with pytest.warns(
        errors.SubsampleWarning, match="80 of 1000 rows.*max_points_per_cluster=10 x n_clusters=8"
    ):
        model = KMeans(8, max_points_per_cluster=10).fit(x)
    assert model.labels_.shape == (1000,)
    np.testing.assert_array_equal(model.labels_, model.predict(x))
    distance = ((x - model.cluster_centers_[model.labels_]) ** 2).sum()
    assert model.inertia_ == pytest.approx(float(distance), rel=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        KMeans(8, max_points_per_cluster=125).fit(x)


def test_progress_ends_at_its_total_and_ctrl_c_leaves(rng: np.random.Generator) -> None:
    x = rng.normal(size=(300, 4)).astype("f")
    seen: list[tuple[int, int]] = []
    train_kmeans(x, 5, n_iter=50, tol=0.5, progress=lambda _, done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] and [d for d, _ in seen] == sorted(d for d, _ in seen)

    def interrupt(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_kmeans(x, 5, progress=interrupt)


@pytest.mark.parametrize("metric", METRICS)
def test_zero_rows_are_harmless(metric: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(100, 6)).astype("f")
    x[::3] = 0
    model = KMeans(7, metric=metric).fit(x)
    assert np.isfinite(model.cluster_centers_).all() and np.isfinite(model.inertia_)


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"n_clusters": 0}, errors.UsageError, "n_clusters.*0"),
    ({"n_clusters": 2.5}, errors.UsageError, "n_clusters.*2.5"),
    ({"n_iter": 0}, errors.UsageError, "n_iter.*0"),
    ({"n_redo": 0}, errors.UsageError, "n_redo"),
    ({"max_points_per_cluster": 0}, errors.UsageError, "max_points_per_cluster"),
    ({"metric": "hamming"}, errors.UsageError, "hamming"),
    ({"init": "farthest"}, errors.UsageError, "farthest.*k-means"),
    ({"init": np.ones((2, 3))}, errors.DimensionError, "2 centroids.*3"),
    ({"init": np.ones((3, 2))}, errors.DimensionError, "2.*3"),
    ({"n_clusters": 11}, errors.TooFewRowsError, "11.*there are 10"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD)
def test_bad_parameters(
    change: dict[str, Any], error: type[Exception], message: str, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(10, 3)).astype("f")
    with pytest.raises(error, match=message):
        KMeans(**{"n_clusters": 3, **change}).fit(x)


def test_bad_weights(rng: np.random.Generator) -> None:
    x = rng.normal(size=(10, 3)).astype("f")
    with pytest.raises(errors.DimensionError, match=r"\(9,\).*10 rows"):
        KMeans(2).fit(x, sample_weight=np.ones(9))
    with pytest.raises(errors.InputError, match="row 4 is -1.0"):
        KMeans(2).fit(x, sample_weight=np.where(np.arange(10) == 4, -1.0, 1.0))
    with pytest.raises(errors.TooFewRowsError, match="there are 1 .*9 of them have weight zero"):
        KMeans(2).fit(x, sample_weight=np.arange(10) == 4)
    with pytest.raises(errors.TooFewRowsError, match="length zero"):
        KMeans(2, metric="cosine").fit(np.zeros((5, 3)))


class TestEstimatorProtocol:
    """What scikit-learn's tools ask of an estimator."""

    def test_check_estimator_passes(self) -> None:
        checks = pytest.importorskip("sklearn.utils.estimator_checks")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for metric in METRICS:
                checks.check_estimator(KMeans(3, metric=metric))

    def test_clone_copies_parameters_only(self, rng: np.random.Generator) -> None:
        base = pytest.importorskip("sklearn.base")
        fitted = KMeans(3, seed=7, metric="cosine").fit(rng.normal(size=(20, 2)))
        copy = base.clone(fitted)
        assert copy.get_params() == fitted.get_params() and not hasattr(copy, "cluster_centers_")

    def test_set_params_changes_and_refuses(self) -> None:
        model = KMeans(3)
        assert model.set_params(n_clusters=5, seed=1) is model and model.n_clusters == 5
        with pytest.raises(errors.UsageError, match="'k'.*n_clusters"):
            model.set_params(k=4)

    def test_repr_names_the_parameters(self) -> None:
        assert repr(KMeans(3, seed=5)).startswith("KMeans(n_clusters=3, metric='l2', n_iter=20,")

    def test_predict_before_fit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(errors.NotTrainedError, match="call fit"):
            KMeans(2).predict([[0.0]])
        monkeypatch.delitem(sys.modules, "sklearn.exceptions", raising=False)
        with pytest.raises(errors.NotTrainedError, match="call fit"):
            KMeans(2).predict([[0.0]])

    def test_predict_on_another_width(self, rng: np.random.Generator) -> None:
        model = KMeans(2).fit(rng.normal(size=(9, 4)))
        with pytest.raises(errors.DimensionError, match="X has 3 features, but KMeans is expecting 4"):
            model.predict(rng.normal(size=(9, 3)))

    def test_data_frame_names_are_kept(self, rng: np.random.Generator) -> None:
        class Frame:  # what the estimator uses of a data frame
            columns = ("a", "b")

            def __init__(self) -> None:
                self.values = rng.normal(size=(9, 2))

            def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
                return self.values

        model = KMeans(2).fit(Frame())
        assert model.feature_names_in_.tolist() == ["a", "b"]
        assert not hasattr(model.fit(rng.normal(size=(9, 2))), "feature_names_in_")
