"""RaBitQ codes against oracles worked by hand, and against plain NumPy: encoder, factors, error bars, scans."""

from __future__ import annotations

import native_reference
import numpy as np
import pytest
import rabitq_reference as reference

from cluscomp import native
from cluscomp.quantization import random_rotation

BITS = range(1, 9)


def encoded(x: np.ndarray, bits: int, metric: str = "ip", mean: np.ndarray | None = None, whole=None):
    form = native.Rabitq(np.zeros(x.shape[1], "f4") if mean is None else mean, bits)
    return form, form.encode(x, x if whole is None else whole, metric)


def scored(form, codes, queries, metric="ip"):
    everything = np.arange(len(codes))[None]
    lists = native.Lists(np.array([0, len(codes)]))
    return native.score_rows(native.Codes.rabitq(codes, form), lists, queries, everything, metric)


@pytest.mark.parametrize(
    ("bits", "numbers", "scale", "estimate", "error"),
    [
        (1, [1, 0, 1, 1], 6.0, -6.0, 3.4641),
        (2, [3, 1, 2, 3], 2.5, -2.5, None),
        (3, [6, 3, 5, 7], 1.2, -2.4, None),
    ],
)
def test_by_hand(bits, numbers, scale, estimate, error):
    """o = (3, -1, 2, 4), q = (1, 2, 0, -1): the exact product is -3."""
    form, codes = encoded(np.array([[3, -1, 2, 4]], "f4"), bits)
    found, got_scale, add, bar = reference.unpacked(codes, 4, bits)
    assert found.tolist() == [numbers] and add[0] == 0
    assert got_scale[0] == pytest.approx(scale, rel=1e-6)
    assert scored(form, codes, np.array([[1, 2, 0, -1]], "f4"))[0, 0] == pytest.approx(estimate, rel=1e-6)
    if error is not None:
        assert bar[0] * np.sqrt(6) == pytest.approx(error, rel=0.004)  # bfloat16


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_encoder(level, rng, bits, metric):
    mean, centres = rng.normal(size=20).astype("f4"), rng.normal(size=(40, 20)).astype("f4")
    x = rng.normal(size=(40, 20)).astype("f4")
    x[0] = mean  # nothing is left of it
    whole = x + centres
    _, codes = encoded(x, bits, metric, mean, whole)
    numbers, scale, add, error = reference.unpacked(codes, 20, bits)
    for i in range(40):
        o = x[i] - mean
        point = reference.grid_point(o, bits)
        np.testing.assert_array_equal(numbers[i], point + (2**bits - 1) / 2)
        wanted = reference.factors_of(o, point, (whole[i] - x[i]) + mean, metric)
        np.testing.assert_allclose((scale[i], add[i]), wanted[:2], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(error[i], wanted[2], rtol=0.004, atol=1e-30)
    assert (scale[0], add[0], error[0]) == (0, 0, 0)


def test_levels_and_threads_make_the_same_codes(level, rng, threads):
    x = rng.normal(size=(200, 33)).astype("f4")
    wanted = None
    for count in (1, 3):
        native.set_num_threads(count)
        for start in range(0, 200, 67):
            _, part = encoded(x[start : start + 67], 3)
            _, whole = encoded(x, 3)
            np.testing.assert_array_equal(part, whole[start : start + 67])
            assert wanted is None or (whole == wanted).all()
            wanted = whole


@pytest.mark.parametrize("bits", [2, 4, 7])
def test_the_cosine_never_falls(rng, bits):
    for _ in range(20):
        o = rng.normal(size=24)
        cosines = []
        for rounds in range(7):
            x = reference.grid_point(o, bits, rounds)
            cosines.append(x @ o / np.linalg.norm(x) / np.linalg.norm(o))
        assert (np.diff(cosines) >= -1e-15).all()


def test_what_is_parallel_to_a_grid_point_is_exact_and_lengths_scale(rng):
    point = rng.integers(0, 8, size=(30, 24)) - 3.5
    point[:, 0] = 3.5
    queries = rng.normal(size=(3, 24)).astype("f4")
    form, codes = encoded((point * 0.25).astype("f4"), 3)
    np.testing.assert_allclose(scored(form, codes, queries), queries @ (point.T * 0.25), rtol=1e-4, atol=1e-4)
    assert (reference.unpacked(codes, 24, 3)[3] < 1e-2).all()
    x = rng.normal(size=(30, 24)).astype("f4")
    (_, one), (_, eight) = (encoded(x * np.float32(scale), 3) for scale in (1, 8))
    np.testing.assert_array_equal(one[:, :9], eight[:, :9])
    np.testing.assert_array_equal(reference.unpacked(eight, 24, 3)[1], 8 * reference.unpacked(one, 24, 3)[1])


def test_fewer_bits_are_a_prefix(rng):
    """The first planes of a code are a code of so many bits, with a coarser grid."""
    x = rng.normal(size=(50, 40)).astype("f4")
    four, two = (reference.unpacked(encoded(x, 4)[1], 40, 4)[0], 4)
    _, codes = encoded(x, 4)
    head = np.hstack([codes[:, : two // 2 * 5], codes[:, -10:]])
    np.testing.assert_array_equal(reference.unpacked(head, 40, 2)[0], four >> 2)


@pytest.mark.parametrize("bits", [1, 2])
def test_estimates_are_unbiased_over_rotations(bits):
    rng = np.random.default_rng(3)
    v, q = (rng.normal(size=(1, 16)).astype("f4") for _ in range(2))
    found = []
    for seed in range(1000):
        rotation = random_rotation(16, 16, seed).matrix
        form, codes = encoded(v @ rotation.T, bits)
        found.append(scored(form, codes, q @ rotation.T)[0, 0])
    assert abs(np.mean(found) - (q @ v.T)[0, 0]) < 4 * np.std(found) / np.sqrt(1000)


@pytest.mark.parametrize(("bits", "cosine"), [(1, 0.798), (2, 0.939), (3, 0.981), (4, 0.994)])
def test_error_bars_hold_for_their_share_of_pairs(rng, bits, cosine):
    x, queries = (rng.normal(size=(n, 128)).astype("f4") for n in (600, 40))
    x, queries = (
        x / np.linalg.norm(x, axis=1, keepdims=True),
        queries / np.linalg.norm(queries, axis=1, keepdims=True),
    )
    mean = x.mean(axis=0)
    for metric, width in (("ip", 1), ("l2", 2)):
        form, codes = encoded(x, bits, metric, mean)
        numbers, _, _, error = reference.unpacked(codes, 128, bits)
        point, o = numbers - (2**bits - 1) / 2, x - mean
        cosines = (point * o).sum(1) / np.linalg.norm(point, axis=1) / np.linalg.norm(o, axis=1)
        assert cosines.mean() == pytest.approx(cosine, abs=0.006)
        exact = queries @ x.T if metric == "ip" else -((queries[:, None] - x) ** 2).sum(2)
        bars = width * error * np.linalg.norm(queries - mean, axis=1)[:, None]
        outside = (scored(form, codes, queries, metric) - exact) / bars
        assert 0.045 < (np.abs(outside) > 1.9).mean() < 0.065
        assert abs(outside.mean()) < 0.03


@pytest.mark.parametrize("bits", BITS)
def test_decoding_is_the_nearest_multiple_of_the_grid_point(rng, bits):
    mean, x = rng.normal(size=21).astype("f4"), rng.normal(size=(50, 21)).astype("f4")
    form, codes = encoded(x, bits, mean=mean)
    point = reference.unpacked(codes, 21, bits)[0] - (2**bits - 1) / 2
    o = (x - mean).astype("f8")
    nearest = mean + (point * o).sum(1, keepdims=True) / (point**2).sum(1, keepdims=True) * point
    np.testing.assert_allclose(form.decode(codes), nearest, atol=0.01)
    stored = native.Codes.rabitq(codes, form)
    assert (stored.n_rows, stored.dim) == (50, 21)


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize(("bits", "d"), [(1, 40), (2, 13), (3, 8), (4, 64), (5, 33), (8, 24), (2, 2100)])
def test_scans_are_the_reference_bit_for_bit(level, rng, threads, metric, bits, d):
    """Lists of residuals and one list; few and many hits; deleted rows; one query and many."""
    n = 400 if d < 1000 else 90
    x, queries = rng.normal(size=(n, d)).astype("f4"), rng.normal(size=(6, d)).astype("f4")
    x[50:60] = x[49]  # equal scores are ordered by position
    mean, centroids = rng.normal(size=d).astype("f4") * np.float32(0.1), rng.normal(size=(4, d)).astype("f4")
    sizes = np.array([n // 4 + 3, 0, n // 2, n - n // 4 - 3 - n // 2])
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    labels, positions = np.repeat(np.arange(4), sizes), rng.permutation(n)
    skip = rng.random(n) < 0.2
    bits_of_skipped = np.packbits(skip, bitorder="little")
    for coarse in (None, centroids):
        residuals = x if coarse is None else x - coarse[labels]
        form, codes = encoded(residuals, bits, metric, mean, x)
        wanted = np.empty((6, n), "f4")
        for q in range(6):
            for one in range(4):
                rows, centroid = labels == one, None if coarse is None else coarse[one]
                wanted[q, rows] = reference.scores(codes[rows], queries[q], mean, bits, metric, centroid)
        lists = native.Lists(offsets, positions, coarse)
        by_row = native.score_rows(
            native.Codes.rabitq(codes, form), lists, queries, np.arange(n)[None], metric
        )
        np.testing.assert_array_equal(by_row, wanted)
        shuffled = codes.copy()
        native.interleave_codes(shuffled, offsets)
        stored = native.Codes.rabitq(shuffled, form, interleaved=True)
        probes = np.tile(np.array([[2, 0, 3]], "i4"), (6, 1))
        seen = np.isin(labels, [2, 0, 3]) & ~skip[positions]
        for count, asked, k in ((1, 6, 5), (3, 1, 5), (2, 6, n)):
            native.set_num_threads(count)
            found = native.scan(stored, lists, queries[:asked], probes[:asked], k, metric, bits_of_skipped)
            assert len(found[0]) == asked
            native_reference.assert_best(found, wanted[:, seen], positions[seen], k)


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("bits", [1, 4])
def test_rough_scores_choose_nearly_the_same_rows(level, rng, bits, metric):
    x, queries = rng.normal(size=(500, 96)).astype("f4"), rng.normal(size=(8, 96)).astype("f4")
    form, codes = encoded(x, bits, metric, x.mean(axis=0))
    native.interleave_codes(codes, np.array([0, 500]))
    call = (
        native.Codes.rabitq(codes, form, interleaved=True),
        native.Lists(np.array([0, 500])),
        queries,
        None,
        50,
        metric,
    )
    (scores, exact), (rough, found) = native.scan(*call), native.scan(*call, None, True)
    same = np.mean([len(set(a) & set(b)) / 50 for a, b in zip(exact, found, strict=True)])
    assert same > 0.95 and np.abs(rough - scores).max() < 0.05 * np.abs(scores).max() + 0.5


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("rough", [False, True])
def test_error_bars_are_added(level, rng, metric, rough):
    x, queries = rng.normal(size=(300, 24)).astype("f4"), rng.normal(size=(5, 24)).astype("f4")
    coarse = rng.normal(size=(2, 24)).astype("f4")
    labels, offsets = np.repeat([0, 1], 150), np.array([0, 150, 300])
    form, codes = encoded(x - coarse[labels], 2, metric, whole=x)
    lists = native.Lists(offsets, None, coarse)
    plain = native.score_rows(native.Codes.rabitq(codes, form), lists, queries, np.arange(300)[None], metric)
    distance = np.linalg.norm(queries[:, None] - coarse, axis=2)[:, labels]
    upper = plain + 1.5 * (2 if metric == "l2" else 1) * reference.unpacked(codes, 24, 2)[3] * distance
    native.interleave_codes(codes, offsets)
    stored = native.Parts([native.Codes.rabitq(codes, form, interleaved=True)], [lists])
    probes = np.tile(np.array([[0, 1]], "i4"), (5, 1))
    found = stored.scan(queries, probes, 20, metric, rough=rough, bars=1.5)
    np.testing.assert_allclose(
        found[0], -np.sort(-upper, axis=1)[:, :20], rtol=0.2 if rough else 1e-4, atol=0.3 * rough
    )
    plain_codes = native.Parts([native.Codes.floats(x)])
    with pytest.raises(ValueError, match="no error bars"):
        plain_codes.scan(queries, None, 5, metric, bars=1.0)


def test_wrong_calls():
    form = native.Rabitq(np.zeros(8, "f4"), 2)
    for bits in (0, 9):
        with pytest.raises(ValueError, match=r"1\.\.8"):
            native.Rabitq(np.zeros(8, "f4"), bits)
    with pytest.raises(ValueError, match="columns of codes"):
        native.Codes.rabitq(np.zeros((3, 11), "u1"), form)
    with pytest.raises(ValueError, match="rows of whole"):
        form.encode(np.zeros((3, 8), "f4"), np.zeros((2, 8), "f4"), "ip")
    stored = native.Codes.rabitq(np.zeros((3, 12), "u1"), form, interleaved=True)
    with pytest.raises(ValueError, match="read by row"):
        native.Parts([stored]).rescore(np.zeros((1, 8), "f4"), np.array([[0]]), 1, "ip")
    assert encoded(np.empty((0, 8), "f4"), 4)[1].shape == (0, 14)
