"""The filter for short rows (a row a lane): exact on shapes, row types and ranges that strain its 16 bits."""

from __future__ import annotations

import native_reference as reference
import numpy as np
import pytest

from cluscomp import native


def assigner(c: np.ndarray, metric: str = "l2", bias: np.ndarray | None = None) -> native.Assigner:
    made = native.Assigner(c, metric, bias)
    made.filter = "i16"
    return made


@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize(
    ("n", "k", "d"),
    [(1, 5, 1), (15, 6, 3), (17, 255, 8), (256, 256, 8), (259, 257, 7), (40, 1030, 5), (530, 16, 31)],
)
def test_labels_and_scores_are_those_of_float64(level, rng, n, k, d, metric):
    x, c = rng.normal(size=(n, d)).astype("f4"), rng.normal(size=(k, d)).astype("f4")
    labels, scores = assigner(c, metric).assign(x)
    value = reference.objective(x, c, metric)
    np.testing.assert_array_equal(labels, value.argmax(axis=1))
    best = value.max(axis=1)
    np.testing.assert_allclose(scores, -2 * best if metric == "l2" else best, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(assigner(c, metric).assign(x, with_scores=False)[0], labels)


def test_it_settles_nearly_all_rows_of_noise(level, rng):
    x, c = rng.normal(size=(4000, 8)).astype("f4"), rng.normal(size=(256, 8)).astype("f4")
    filtered = assigner(c)
    filtered.assign(x, with_scores=False)
    assert filtered.pairs_decided < 0.05 * 4000


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("d", [3, 8])
def test_half_precision_rows_equal_their_float32_copy(level, rng, dtype, d):
    x, c = rng.normal(size=(290, d)).astype("f4"), rng.normal(size=(70, d)).astype("f4")
    if dtype == "float16":
        stored, wide = x.astype("f2"), x.astype("f2").astype("f4")
    else:
        stored = (x.view(np.uint32) >> 16).astype(np.uint16)
        wide = (stored.astype(np.uint32) << 16).view(np.float32)
    for got, want in zip(assigner(c).assign(stored), assigner(c).assign(wide), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize("factor", [1e-20, 1e-6, 1e3, 1e18, 1e25])
def test_one_row_far_beyond_the_others_spoils_no_label(level, rng, metric, factor):
    x, c = rng.normal(size=(300, 8)).astype("f4"), rng.normal(size=(40, 8)).astype("f4")
    x[77] *= np.float32(factor)
    reference.check_labels(x, c, metric, assigner(c, metric).assign(x)[0])


@pytest.mark.parametrize("size", [1e-12, 3.0, 1e4, 1e9, 1e30])
def test_bias_of_any_size(level, rng, size):
    x, c = rng.normal(size=(300, 8)).astype("f4"), rng.normal(size=(40, 8)).astype("f4")
    bias = (rng.normal(size=40) * size).astype("f4")
    reference.check_labels(x, c, "l2", assigner(c, "l2", bias).assign(x)[0], bias)


def test_a_centroid_priced_out_gets_no_row(level, rng):
    x, c = rng.normal(size=(300, 8)).astype("f4"), rng.normal(size=(40, 8)).astype("f4")
    bias = np.zeros(40, "f4")
    bias[::2] = -np.inf
    labels = assigner(c, "l2", bias).assign(x)[0]
    np.testing.assert_array_equal(labels, 1 + 2 * reference.objective(x, c[1::2], "l2").argmax(axis=1))
