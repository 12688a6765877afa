"""Sums that any order and any cut of the rows leave the same, bit for bit."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluscomp.clustering.exact_sums import Extent, exact_sum, rounder
from cluscomp.clustering.lloyd import WeightedRows

FLOATS = st.floats(-(2.0**90), 2.0**90, width=32)


@given(st.lists(FLOATS, min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_any_order_gives_the_same_bits_near_the_true_sum(values, random):
    x = np.array(values, dtype=np.float64)
    largest = float(np.abs(x).max())
    rounding = rounder(largest, x.size)
    found = exact_sum(x, rounding)
    random.shuffle(values)
    assert exact_sum(np.array(values, dtype=np.float64), rounding) == found
    # Each value moved by half a unit at most; a unit is the rounder over 1.5 * 2^52.
    unit = Fraction(float(rounding)) / Fraction(3, 2) / 2**52
    assert abs(Fraction(found) - sum(map(Fraction, values))) <= x.size * unit / 2


def test_a_unit_worked_by_hand():
    # The largest of 4 values is below 2^1, sums are below 2^3, so that a unit is 2^(3 - 52).
    unit = 2.0**-49
    assert rounder(1.5, 4) == 1.5 * 2**52 * unit
    assert exact_sum(np.array([1.5, unit * 0.75, -unit * 0.25]), rounder(1.5, 4)) == 1.5 + unit


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", ["f4", "f2"])
@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_parts_add_to_the_sums_of_all_rows(level, rng, metric, dtype, weighted):
    x = (rng.normal(size=(900, 27)) * np.geomspace(1, 1e-3, 27)).astype(dtype)
    mass = rng.random(900) * 3 if weighted else None
    labels = rng.integers(0, 11, 900).astype(np.int32)
    whole = WeightedRows(x, metric, mass)
    want, want_counts = whole.sums(labels, 12)
    order = rng.permutation(900)
    cuts = np.sort(rng.choice(900, 6, replace=False))
    rows = [part for part in np.split(order, cuts) if part.size]
    parts = [WeightedRows(x[part], metric, None if mass is None else mass[part]) for part in rows]
    together = Extent.of_all(part.extent for part in parts)
    assert together.n == 900 and together.pull == whole.extent.pull and together.mass == whole.extent.mass
    sums, counts = np.zeros_like(want), np.zeros_like(want_counts)
    for part, numbers in zip(parts, rows, strict=True):
        part.extent = together
        found = part.sums(labels[numbers], 12)
        sums, counts = sums + found[0], counts + found[1]
    np.testing.assert_array_equal(sums, want)
    np.testing.assert_array_equal(counts, want_counts)
    pull = np.ones(900) if whole.pull is None else whole.pull
    plain = np.zeros_like(want)
    np.add.at(plain, labels, pull[:, None] * x.astype(np.float64))
    np.testing.assert_allclose(sums, plain, rtol=1e-9, atol=1e-12)


@settings(max_examples=30)
@given(st.lists(FLOATS, min_size=3, max_size=30), st.integers(1, 29))
def test_the_objective_of_parts_is_that_of_all(values, cut):
    cut = min(cut, len(values) - 1)
    x = np.array(values, dtype=np.float32)[:, None] / 1e12
    centroids = np.zeros((1, 1), dtype=np.float32)
    scores = np.square(x[:, 0])
    whole, parts = WeightedRows(x, "l2"), [WeightedRows(x[:cut], "l2"), WeightedRows(x[cut:], "l2")]
    extent = Extent.of_all(part.extent for part in parts)
    for part in parts:
        part.extent = extent
    found = parts[0].objective(scores[:cut], centroids) + parts[1].objective(scores[cut:], centroids)
    assert found == whole.objective(scores, centroids)
    assert math.isclose(found, math.fsum(scores.astype(float)), rel_tol=1e-9, abs_tol=1e-300)
