"""Bits by strength of the axes: allotments worked by hand, and what training finds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import rabitq_reference

from cluscomp import native
from cluscomp.quantization.varied_bits import GROUP, allotted, train_varied_bits


@pytest.mark.parametrize(
    ("quota", "bits", "cost"),
    [(1, [1, 0, 0], 7), (2, [2, 0, 0], 5), (3, [2, 1, 0], 4), (4, [3, 1, 0], 3)],
)
def test_allotment_by_hand(quota, bits, cost):
    """Energies 8, 2 and 1. Of (2, 1, 0) and (3, 0, 0), which cost as much, the smaller one; weights 4^-b would
    make (2, 1, 1) of four bits.
    """
    energies = np.array([8.0, 2.0, 1.0])
    found = allotted(energies, np.ones(3, int), quota)
    assert found.tolist() == bits
    assert (energies * 2.0**-found).sum() == cost


def test_allotment_is_the_best_of_all(rng):
    for _ in range(30):
        energies = np.sort(rng.exponential(size=4))[::-1]
        quota = int(rng.integers(1, 9))
        found = allotted(energies, np.ones(4, int), quota)
        least = min(
            (energies * 2.0 ** -np.array(bits)).sum()
            for bits in itertools.product(range(9), repeat=4)
            if sum(bits) == quota
        )
        assert (energies * 2.0**-found).sum() == pytest.approx(least)
        assert (np.diff(found) <= 0).all() and found.sum() == quota


def test_equal_energies_and_the_end_of_the_quota():
    assert allotted(np.ones(3), np.full(3, 2), 12).tolist() == [2, 2, 2]
    assert allotted(np.ones(3), np.full(3, 2), 11).tolist() == [2, 2, 1]
    assert allotted(np.ones(2), np.full(2, 2), 100).tolist() == [8, 8]
    assert allotted(np.array([1.0, 0.0]), np.full(2, 2), 100).tolist() == [8, 0]
    assert allotted(np.zeros(2), np.full(2, 2), 8).tolist() == [1, 0]


def test_training(rng):
    scale = np.geomspace(4, 0.1, 50)
    x = (rng.normal(size=(2000, 50)) * scale + 3).astype("f4")
    found = train_varied_bits(x, 20, 0)
    np.testing.assert_allclose(found.mean, x.mean(0), rtol=1e-4)
    np.testing.assert_allclose(found.directions @ found.directions.T, np.eye(50), atol=1e-6)
    assert sum(found.widths) == 20 and found.widths == sorted(found.widths, reverse=True)
    turned = (x - found.mean) @ found.directions.T
    groups = [turned[:, first : first + GROUP].var() for first in range(0, 50, GROUP)]
    assert groups == sorted(groups, reverse=True)
    again, other = train_varied_bits(x, 20, 0), train_varied_bits(x, 20, 1)
    np.testing.assert_array_equal(again.directions, found.directions)
    assert not np.allclose(other.directions, found.directions) and other.widths == found.widths


def test_rows_of_few_dimensions_and_of_none_at_all(rng):
    few = rng.normal(size=(500, 10)) @ rng.normal(size=(10, 40))
    found = train_varied_bits(few.astype("f4"), 40, 0)
    assert found.widths == [2] * 8  # the rest would be noise of rounding
    assert train_varied_bits(np.ones((9, 40), "f4"), 40, 0).widths == [2]


@pytest.mark.parametrize("code_bytes", [8, 24])
def test_error_bars_hold_for_their_share_of_pairs(rng, code_bytes):
    scale = np.geomspace(2, 0.1, 96)
    x, queries = ((rng.normal(size=(n, 96)) * scale).astype("f4") for n in (3000, 60))
    found = train_varied_bits(x, code_bytes, 0)
    form = native.Rabitq(
        found.mean.astype("f4"), found.directions.astype("f4"), found.units.astype("f4"),
        found.widths, code_bytes, found.bar,
    )  # fmt: skip
    codes = form.encode(x, x, "ip")
    everything, lists = np.arange(len(x))[None], native.Lists(np.array([0, len(x)]))
    scores = native.score_rows(native.Codes.rabitq(codes, form), lists, queries, everything, "ip")
    error = rabitq_reference.unpacked(codes[:, code_bytes:], 0, 0)[3]
    bars = error * np.linalg.norm(queries - found.mean, axis=1)[:, None]
    assert 0.8 < ((scores - queries @ x.T) / bars).std() < 1.2
