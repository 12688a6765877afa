"""Sums by label: right, and the same bits for any threads and blocks."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp import native


def run(x, labels, k, weights=None, block=None):
    sums, counts = np.zeros((k, x.shape[1])), np.zeros(k)
    for start in range(0, len(x), block or max(1, len(x))):
        part = slice(start, start + (block or len(x)))
        native.accumulate(x[part], labels[part], None if weights is None else weights[part], sums, counts)
    return sums, counts


@pytest.mark.parametrize("d", [1, 16, 37])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_numpy_in_row_order(level, rng, d, weighted):
    x = rng.normal(size=(500, d)).astype("f4")
    labels = rng.integers(0, 9, 500).astype("i4")
    weights = rng.random(500) if weighted else None
    sums, counts = run(x, labels, 10, weights)
    want, want_counts = np.zeros((10, d)), np.zeros(10)
    for i, label in enumerate(labels):
        weight = 1.0 if weights is None else weights[i]
        want[label] += weight * x[i].astype(np.float64)
        want_counts[label] += weight
    np.testing.assert_allclose(sums, want, rtol=1e-13)
    np.testing.assert_allclose(counts, want_counts, rtol=1e-14)
    assert counts[9] == 0 and not sums[9].any()


def test_threads_and_blocks_give_the_same_bits(level, rng, threads):
    x = rng.normal(size=(3000, 20)).astype("f2")
    labels = rng.integers(0, 50, 3000).astype("i4")
    weights = rng.random(3000)
    native.set_num_threads(1)
    want, _ = run(x, labels, 50, weights)
    native.set_num_threads(5)
    np.testing.assert_array_equal(run(x, labels, 50, weights, block=123)[0], want)


def test_a_label_out_of_range_is_refused():
    with pytest.raises(ValueError, match="label"):
        run(np.zeros((2, 3), "f4"), np.array([0, 4], "i4"), 4)


@pytest.mark.parametrize("dtype", ["f4", "f2"])
def test_first_row_beyond(level, rng, dtype):
    x = rng.normal(size=(20000, 5)).astype(dtype)
    assert native.first_row_beyond(x, 3.4e38) == -1
    x[15000, 2] = np.nan
    x[9000, 4] = -np.inf
    x[19999, 0] = np.inf
    assert native.first_row_beyond(x, 3.4e38) == 9000


@pytest.mark.parametrize("d", [8, 15, 24])
@pytest.mark.parametrize("dtype", ["f4", "f2"])
def test_one_thread_gives_the_same_bits(level, rng, threads, d, dtype):
    x = rng.normal(size=(700, d)).astype(dtype)
    labels = rng.integers(0, 20, 700).astype("i4")
    weights = rng.random(700)
    native.set_num_threads(3)
    spread = run(x, labels, 20, weights)
    with native.one_thread():
        kept = run(x, labels, 20, weights)
    np.testing.assert_array_equal(spread[0], kept[0])
    np.testing.assert_array_equal(spread[1], kept[1])
