"""assign: hand-worked labels, float64 truth on hard inputs, dtypes, errors, progress."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluscomp import errors
from cluscomp.clustering import assign
from cluscomp.clustering import blocks as blocks_module

METRICS = ("l2", "ip", "cosine")


def truth(x: np.ndarray, centroids: np.ndarray, metric: str) -> np.ndarray:
    """Score matrix (n, k) in float64; larger is better."""
    x, c = np.asarray(x, np.float64), np.asarray(centroids, np.float64)
    if metric == "l2":
        return -((x[:, None, :] - c[None]) ** 2).sum(axis=2)
    if metric == "cosine":
        x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)
        c = c / np.maximum(np.linalg.norm(c, axis=1, keepdims=True), 1e-300)
    return x @ c.T


def check(x: np.ndarray, centroids: np.ndarray, metric: str, tolerance: float = 1e-5) -> None:
    """The score is right, and no other centroid is better by more than rounding."""
    labels, scores = assign(x, centroids, metric=metric, return_scores=True)
    assert labels.dtype == np.int32 and scores.dtype == np.float32
    wanted = truth(x, centroids, metric)
    own = wanted[np.arange(len(labels)), labels]
    scale = np.abs(own) + 1e-6
    assert (wanted.max(axis=1) - own <= 1e-6 * scale).all()
    np.testing.assert_allclose(-scores if metric == "l2" else scores, own, rtol=tolerance, atol=tolerance)


def test_by_hand() -> None:
    x = [[0.0, 1.0], [3.0, 4.0], [-1.0, 0.0]]
    centroids = [[0.0, 2.0], [1.0, 0.0]]
    labels, scores = assign(x, centroids, return_scores=True)
    assert labels.tolist() == [0, 0, 1]  # the second is 13 from the first centroid and 20 from the other
    assert scores.tolist() == [1.0, 13.0, 4.0]
    labels, scores = assign(x, centroids, metric="ip", return_scores=True)
    assert labels.tolist() == [0, 0, 0]
    assert scores.tolist() == [2.0, 8.0, 0.0]
    labels, scores = assign(x, centroids, metric="cosine", return_scores=True)
    assert labels.tolist() == [0, 0, 0]
    np.testing.assert_allclose(scores, [1.0, 0.8, 0.0], rtol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_ties_go_to_the_lowest_index(metric: str) -> None:
    centroids = np.array([[0, -1], [1, 0], [1, 0], [0, 1]], dtype=np.float32)
    assert assign([[1.0, 0.0]], centroids, metric=metric).tolist() == [1]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("n", "k", "d"), [(1, 1, 1), (1, 5, 3), (7, 1, 9), (300, 37, 19), (64, 200, 65)])
def test_equals_float64(metric: str, n: int, k: int, d: int, rng: np.random.Generator) -> None:
    check(rng.normal(size=(n, d)).astype("f"), rng.normal(size=(k, d)).astype("f"), metric)


def test_common_offset_does_not_cancel(rng: np.random.Generator) -> None:
    x = (rng.normal(size=(500, 32)) + 1e4).astype("f")
    check(x, x[:40], "l2")


@pytest.mark.parametrize("metric", METRICS)
def test_zero_rows_constant_rows_and_an_outlier_dimension(metric: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(200, 24)).astype("f")
    x[:20] = 0
    x[20:40] = 3.0
    x[:, 5] *= 100
    check(x, x[10:60], metric, tolerance=1e-4)


def test_a_zero_row_has_cosine_zero_and_label_zero(rng: np.random.Generator) -> None:
    centroids = rng.normal(size=(4, 6)).astype("f")
    labels, scores = assign(np.zeros((3, 6), np.float32), centroids, metric="cosine", return_scores=True)
    assert labels.tolist() == [0, 0, 0] and scores.tolist() == [0.0, 0.0, 0.0]


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 40), k=st.integers(1, 20), d=st.integers(1, 30),
    metric=st.sampled_from(METRICS), seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-3, 1.0, 1e3]),
)  # fmt: skip
def test_property_equals_float64(n: int, k: int, d: int, metric: str, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(n, d)) * 4).astype("f") * np.float32(scale)  # coarse: many exact ties
    centroids = np.round(rng.normal(size=(k, d)) * 4).astype("f") * np.float32(scale)
    check(x, centroids, metric, tolerance=1e-4)


@pytest.mark.parametrize("metric", METRICS)
def test_half_precision_equals_its_float32_values(metric: str, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(rng.normal(size=(100, 16)).astype("f"))
    centroids = rng.normal(size=(9, 16)).astype("f")
    for dtype in (torch.float16, torch.bfloat16):
        half = x.to(dtype)
        wanted = assign(half.float().numpy(), centroids, metric=metric, return_scores=True)
        got = assign(half, centroids, metric=metric, return_scores=True)
        np.testing.assert_array_equal(got[0], wanted[0])
        np.testing.assert_allclose(got[1], wanted[1], rtol=1e-6)
    np.testing.assert_array_equal(
        assign(x.half().numpy(), centroids, metric=metric), assign(x.half(), centroids, metric=metric)
    )


def test_equals_faiss(rng: np.random.Generator) -> None:
    faiss = pytest.importorskip("faiss")
    x, centroids = rng.normal(size=(2000, 48)).astype("f"), rng.normal(size=(130, 48)).astype("f")
    for metric, index in (("l2", faiss.IndexFlatL2(48)), ("ip", faiss.IndexFlatIP(48))):
        index.add(centroids)
        distances, wanted = index.search(x, 1)
        labels, scores = assign(x, centroids, metric=metric, return_scores=True)
        np.testing.assert_array_equal(labels, wanted[:, 0])
        np.testing.assert_allclose(scores, distances[:, 0], rtol=1e-4)


@pytest.mark.parametrize("metric", METRICS)
def test_block_size_changes_no_bit(
    metric: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, centroids = rng.normal(size=(1000, 20)).astype("f"), rng.normal(size=(30, 20)).astype("f")
    whole = assign(x, centroids, metric=metric, return_scores=True)
    monkeypatch.setattr(blocks_module, "_MIN_ROWS", 1)
    monkeypatch.setattr(blocks_module, "_MAX_ROWS", 7)
    parts = assign(x, centroids, metric=metric, return_scores=True)
    np.testing.assert_array_equal(whole[0], parts[0])
    np.testing.assert_array_equal(whole[1], parts[1])


def test_progress_reaches_the_total_and_ctrl_c_leaves(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks_module, "_MIN_ROWS", 1)
    monkeypatch.setattr(blocks_module, "_MAX_ROWS", 10)
    x = rng.normal(size=(25, 3)).astype("f")
    seen: list[tuple[int, int]] = []
    assign(x, x[:2], progress=lambda _, done, total: seen.append((done, total)))
    assert seen == [(10, 25), (20, 25), (25, 25)]

    def interrupt(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        assign(x, x[:2], progress=interrupt)


def test_no_rows_give_no_labels() -> None:
    labels, scores = assign(np.empty((0, 4), np.float32), np.ones((2, 4), np.float32), return_scores=True)
    assert labels.shape == (0,) and scores.shape == (0,)


def test_errors_name_the_fault(rng: np.random.Generator) -> None:
    x = rng.normal(size=(5, 4)).astype("f")
    with pytest.raises(errors.UsageError, match="'l3' is unknown.*'l2'"):
        assign(x, x, metric="l3")
    with pytest.raises(errors.DimensionError, match="4.*3"):
        assign(x, x[:, :3])
    with pytest.raises(errors.EmptyInputError, match="centroids"):
        assign(x, x[:0])
    x[3, 2] = np.nan
    with pytest.raises(errors.NonFiniteError, match="row 3"):
        assign(x, x[:2])
