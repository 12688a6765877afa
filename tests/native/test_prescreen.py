"""Exact top-k through the 8-bit prescreen equals the scan of all rows, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp import native
from cluscomp.bits import pack_mask


def both(queries, rows, metric, k, skip=None, mean=None):
    mean = rows.astype("f4").mean(0) if mean is None else mean
    values, terms, longest = native.build_prescreen(rows, mean, metric)
    lists, frame = native.Lists(np.array([0, len(rows)])), np.append(mean, longest).astype("f4")
    codes = native.Codes.prescreened(rows, values, terms, frame)
    found = native.scan(codes, lists, queries, None, k, metric, skip)
    plain = native.scan(native.Codes.floats(rows), lists, queries, None, k, metric, skip)
    np.testing.assert_array_equal(found[1], plain[1])
    np.testing.assert_array_equal(found[0], plain[0])
    return codes.rows_scored


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("dtype", ["f4", "f2"])
@pytest.mark.parametrize(
    ("n", "d", "k", "nq"),
    [(1, 1, 1, 1), (17, 5, 3, 2), (600, 33, 10, 3), (1500, 64, 40, 70), (520, 384, 5, 9)],
)
def test_equals_the_scan(level, rng, metric, dtype, n, d, k, nq):
    rows = rng.normal(size=(n, d)).astype(dtype)
    queries = rng.normal(size=(nq, d)).astype("f4")
    both(queries, rows, metric, k)


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_hard_inputs(level, rng, metric):
    rows = rng.normal(size=(900, 48)).astype("f4")
    queries = rng.normal(size=(5, 48)).astype("f4")
    both(queries + np.float32(1e4), rows + np.float32(1e4), metric, 7)
    outlier = rows.copy()
    outlier[:, 3] *= 1000
    both(queries, outlier, metric, 7)
    both(queries, np.repeat(rows[:9], 100, 0), metric, 120)
    both(queries, np.zeros_like(rows), metric, 4)
    both(queries, rows * np.float32(1e30), metric, 4, mean=np.zeros(48, "f4"))
    both(rows[:5], rows, metric, 3, mean=np.full(48, 50, "f4"))  # any mean is right, a good one is fast
    both(queries, rows, metric, 20, skip=pack_mask(rng.random(900) < 0.5))
    both(queries, rows, metric, 20, skip=pack_mask(np.ones(900, bool)))


def test_threads_change_nothing(rng, threads):
    rows, queries = rng.normal(size=(5000, 40)).astype("f4"), rng.normal(size=(3, 40)).astype("f4")
    for count in (1, 2, 5):
        native.set_num_threads(count)
        both(queries, rows, "ip", 15)


def test_few_rows_are_scored(rng):
    rows, queries = rng.normal(size=(20000, 64)).astype("f4"), rng.normal(size=(10, 64)).astype("f4")
    assert both(queries, rows, "ip", 10) < 0.05 * 10 * 20000
