"""Codes whose axes have bits of their own: against plain NumPy, and RaBitQ where all have as many."""

from __future__ import annotations

import native_reference
import numpy as np
import pytest
import rabitq_reference
from varied_bits_reference import Axes

from cluscomp import native

SHAPES = [(13, [2]), (33, [5, 4, 2, 2]), (64, [8, 6, 6, 2, 2])]
WIDE = (2100, [263, 262, 200, 10, 4, 4])


def axes(rng: np.random.Generator, d: int, widths: list[int], unused: int = 0) -> Axes:
    directions = np.linalg.qr(rng.normal(size=(d, d)))[0].astype("f4")
    units = np.geomspace(1, 0.05, d).astype("f4")
    mean = rng.normal(size=d).astype("f4") * np.float32(0.1)
    return Axes(mean, directions, units, widths, sum(widths) + unused, 0.75)


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize(("d", "widths"), SHAPES)
def test_encoder_and_decoder(level, rng, metric, d, widths):
    form = axes(rng, d, widths, unused=1)
    x, centres = rng.normal(size=(8, d)).astype("f4"), rng.normal(size=(8, d)).astype("f4")
    x[0] = form.mean  # nothing is left of it
    whole = x + centres
    codes = form.form.encode(x, whole, metric)
    numbers, scale, add, error = form.unpacked(codes)
    turned = form.turned(x - form.mean)
    centre = form.turned((whole - x) + form.mean)
    for i in range(8):
        x_i = form.point(turned[i])
        np.testing.assert_array_equal(numbers[i], x_i + form.middles)
        wanted = rabitq_reference.factors_of(turned[i], x_i * form.units, centre[i], metric)
        np.testing.assert_allclose((scale[i], add[i]), wanted[:2], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(error[i], 0.75 * wanted[2], rtol=0.004, atol=1e-30)
    assert (scale[0], add[0], error[0]) == (0, 0, 0)
    point = (numbers - form.middles) * form.units @ form.directions
    o = (x - form.mean).astype("f8")
    nearest = form.mean + (point * o).sum(1, keepdims=True) / (point**2).sum(1, keepdims=True) * point
    np.testing.assert_allclose(form.form.decode(codes), nearest, atol=0.02)


def test_as_many_bits_everywhere_are_rabitq(level, rng):
    d, widths = 40, [5, 5, 5]
    mean, x = rng.normal(size=d).astype("f4"), rng.normal(size=(50, d)).astype("f4")
    own = native.Rabitq(mean, np.eye(d, dtype="f4"), np.ones(d, "f4"), widths, 15)
    plain = native.Rabitq(mean, 3)
    np.testing.assert_array_equal(own.encode(x, x, "ip"), plain.encode(x, x, "ip"))
    codes = plain.encode(x, x, "ip")
    np.testing.assert_array_equal(own.decode(codes), plain.decode(codes))


def test_what_has_no_bits_changes_no_bit(rng):
    form = axes(rng, 40, [2, 2])
    x = rng.normal(size=(20, 40)).astype("f4")
    behind = rng.normal(size=(20, 24)).astype("f4") @ form.directions[16:]
    one, other = (form.form.encode(rows, rows, "ip") for rows in (x, x + behind))
    assert (one[:, :4] == other[:, :4]).mean() > 0.99  # rows are turned in float32
    assert not np.array_equal(one[:, 4:], other[:, 4:])


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize(("d", "widths"), [*SHAPES[1:], WIDE])
def test_scans_are_the_reference_bit_for_bit(level, rng, threads, metric, d, widths):
    """Lists of residuals and one list; few and many hits; deleted rows; one query and many."""
    n = 200 if d < 1000 else 40
    form = axes(rng, d, widths)
    x = (rng.normal(size=(n, d)) * np.geomspace(3, 0.2, d) @ form.directions).astype("f4")
    queries = (rng.normal(size=(5, d)) * np.geomspace(3, 0.2, d) @ form.directions).astype("f4")
    x[30:36] = x[29]  # equal scores are ordered by position
    centroids = rng.normal(size=(3, d)).astype("f4")
    sizes = np.array([n // 4 + 3, 0, n - n // 4 - 3])
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    labels, positions = np.repeat(np.arange(3), sizes), rng.permutation(n)
    skip = rng.random(n) < 0.2
    skip_bits = np.packbits(skip, bitorder="little")
    for coarse in (None, centroids):
        residuals = x if coarse is None else x - coarse[labels]
        native_form = form.form
        codes = native_form.encode(residuals, x, metric)
        wanted = np.empty((5, n), "f4")
        for q in range(5):
            for one in range(3):
                rows, centroid = labels == one, None if coarse is None else coarse[one]
                wanted[q, rows] = form.scores(codes[rows], queries[q], metric, centroid)
        lists = native.Lists(offsets, positions, coarse)
        plain = native.Codes.rabitq(codes, native_form)
        np.testing.assert_array_equal(
            native.score_rows(plain, lists, queries, np.arange(n)[None], metric), wanted
        )
        shuffled = codes.copy()
        native.interleave_codes(shuffled, offsets)
        stored = native.Codes.rabitq(shuffled, native_form, interleaved=True)
        probes = np.tile(np.array([[2, 0]], "i4"), (5, 1))
        seen = ~skip[positions]
        for count, asked, k in ((1, 5, 5), (3, 1, 5), (2, 5, n)):
            native.set_num_threads(count)
            found = native.scan(stored, lists, queries[:asked], probes[:asked], k, metric, skip_bits)
            assert len(found[0]) == asked
            native_reference.assert_best(found, wanted[:, seen], positions[seen], k)


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_rough_scores_choose_nearly_the_same_rows(level, rng, metric):
    form = axes(rng, 96, [12, 10, 6, 4, 2])
    scale = np.geomspace(3, 0.2, 96)
    x, queries = ((rng.normal(size=(n, 96)) * scale @ form.directions).astype("f4") for n in (500, 8))
    codes = form.form.encode(x, x, metric)
    native.interleave_codes(codes, np.array([0, 500]))
    lists = native.Lists(np.array([0, 500]))
    stored = native.Codes.rabitq(codes, form.form, interleaved=True)
    exact, rough = (
        native.scan(stored, lists, queries, None, 50, metric, *options) for options in ((), (None, True))
    )
    same = np.mean([len(set(a) & set(b)) / 50 for a, b in zip(exact[1], rough[1], strict=True)])
    assert same > 0.95 and np.abs(rough[0] - exact[0]).max() < 0.05 * np.abs(exact[0]).max()


@pytest.mark.parametrize(
    ("widths", "code_bytes", "fault"),
    [
        ([], 4, "1 to 8 planes"),
        ([5] * 9, 50, "1 to 8 planes"),
        ([6], 6, "must fall"),
        ([4, 5], 9, "must fall"),
        ([5, 3], 8, "even if less"),
        ([5, 0], 8, "must fall"),
        ([5, 4], 8, "wider than code_bytes"),
    ],
)
def test_wrong_widths(widths, code_bytes, fault):
    with pytest.raises(ValueError, match=fault):
        native.Rabitq(np.zeros(40, "f4"), np.eye(40, dtype="f4"), np.ones(40, "f4"), widths, code_bytes)
    with pytest.raises(ValueError, match="directions"):
        native.Rabitq(np.zeros(40, "f4"), np.eye(39, dtype="f4"), np.ones(40, "f4"), [5], 5)
