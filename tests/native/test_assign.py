"""The exact assignment engine against float64, at every instruction set and with every filter."""

from __future__ import annotations

import native_reference as reference
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluscomp import native


def gaussian(rng, n, k, d):
    return rng.normal(size=(n, d)).astype("f4"), rng.normal(size=(k, d)).astype("f4")


def directions(rng, d, m):
    """(d, m) float32 of orthonormal columns."""
    return np.linalg.qr(rng.normal(size=(d, m)))[0].astype("f4")


def with_filter(rng, filter_name, c, metric="l2"):
    basis = directions(rng, c.shape[1], c.shape[1] // 32 * 16) if filter_name == "prefix" else None
    assigner = native.Assigner(c, metric, basis=basis)
    assigner.filter = filter_name
    return assigner


SHAPES = [
    (1, 1, 1),
    (3, 2, 5),
    (7, 5, 3),
    (65, 16, 8),
    (70, 17, 31),
    (100, 33, 32),
    (90, 100, 100),
    (130, 513, 48),
    (64, 1030, 40),
    (33, 40, 385),
]


@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize(("n", "k", "d"), SHAPES)
def test_labels_are_those_of_float64(level, rng, n, k, d, metric):
    x, c = gaussian(rng, n, k, d)
    labels, scores = native.Assigner(c, metric).assign(x)
    reference.check_labels(x, c, metric, labels)
    value = reference.objective(x, c, metric)[np.arange(n), labels]
    np.testing.assert_allclose(scores, -2 * value if metric == "l2" else value, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("filter_name", ["none", "f32", "i8", "i6", "i16", "prefix"])
@pytest.mark.parametrize("metric", ["l2", "ip"])
def test_every_filter_gives_the_same_labels(level, rng, filter_name, metric):
    x, c = gaussian(rng, 200, 700, 60)
    assigner = with_filter(rng, filter_name, c, metric)
    labels, scores = assigner.assign(x)
    plain = native.Assigner(c, metric)
    plain.filter = "none"
    want_labels, want_scores = plain.assign(x)
    np.testing.assert_array_equal(labels, want_labels)
    np.testing.assert_array_equal(scores, want_scores)


def hard_cases(rng):
    x, c = gaussian(rng, 150, 64, 96)
    outlier_x, outlier_c = x.copy(), c.copy()
    outlier_x[:, 5] *= 100
    outlier_c[:, 5] *= 100
    zero_x, zero_c = x.copy(), c.copy()
    zero_x[::3] = 0
    zero_c[::5] = 0
    return {
        "common offset": (x + np.float32(1e4), c + np.float32(1e4)),
        "outlier dimension": (outlier_x, outlier_c),
        "zero rows": (zero_x, zero_c),
        "constant rows": (np.ones_like(x) * np.arange(150, dtype="f4")[:, None], np.ones_like(c)),
        "duplicates": (np.repeat(x[:10], 15, 0), np.repeat(c[:8], 8, 0)),
        "x equals centroids": (np.concatenate([c, c]), c),
        "tiny": (x * np.float32(1e-30), c * np.float32(1e-30)),
        "huge": (x * np.float32(1e30), c * np.float32(1e30)),
        "all equal": (np.full_like(x, 3.5), np.full_like(c, 3.5)),
    }


@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize("case", sorted(hard_cases(np.random.default_rng(0))))
@pytest.mark.parametrize("filter_name", ["f32", "i8", "i6", "i16", "prefix"])
def test_hard_inputs(level, rng, case, metric, filter_name):
    x, c = hard_cases(rng)[case]
    assigner = with_filter(rng, filter_name, c, metric)
    labels, _ = assigner.assign(x)
    reference.check_labels(x, c, metric, labels)
    if case in ("duplicates", "all equal"):  # exact ties go to the lowest index
        value = reference.objective(x, c, metric)
        np.testing.assert_array_equal(labels, np.argmax(value, axis=1))


@pytest.mark.parametrize("scale", [1e-18, 1e-20, 1e-21, 1e-22, 1e-24, 1e-30])
@pytest.mark.parametrize("filter_name", ["f32", "i8", "i6", "i16", "prefix"])
def test_rows_whose_squares_vanish_in_float32(level, rng, filter_name, scale):
    """Bounds made of float32 norms lose what such rows differ in; all pairs must then be decided in float64."""
    x, c = (rows * np.float32(scale) for rows in gaussian(rng, 120, 200, 50))
    assigner = with_filter(rng, filter_name, c)
    distance = ((x[:, None].astype("f8") - c[None].astype("f8")) ** 2).sum(-1)
    np.testing.assert_array_equal(assigner.assign(x)[0], distance.argmin(1))


def in_few_directions(rng, n, k, d):
    """Rows and centroids that vary most along a few directions, which are returned, too."""
    basis = directions(rng, d, d // 64 * 16)
    x, c = gaussian(rng, n, k, d)
    return (*(0.1 * rows + 2 * rows @ basis @ basis.T + 1 for rows in (x, c)), basis)


@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize("hinted", [False, True])
@pytest.mark.parametrize("d", [128, 200])
def test_few_directions_bound_most_pairs(level, rng, metric, hinted, d):
    x, c, basis = in_few_directions(rng, 300, 1100, d)
    plain = native.Assigner(c, metric)
    labels, _ = plain.assign(x)
    reference.check_labels(x, c, metric, labels)
    hints = (
        np.where(rng.random(300) < 0.8, labels, rng.integers(1100, size=300)).astype("i4") if hinted else None
    )
    assigner = native.Assigner(c, metric, basis=basis)
    assert assigner.filter == "prefix"
    for rows in (x, x.astype("f2").astype("f4"), x[:1], x[:65]):
        found = assigner.assign(rows, None if hints is None else hints[: len(rows)])
        for ours, theirs in zip(found, plain.assign(rows), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("what", ["stretched", "no directions", "one twice", "zeros", "other directions"])
def test_any_basis_gives_the_same_labels(level, rng, what):
    """Bounds know how far the columns are from orthonormal ones."""
    x, c, basis = in_few_directions(rng, 200, 600, 128)
    basis = {
        "stretched": 1.02 * basis,
        "no directions": rng.normal(size=basis.shape).astype("f4"),
        "one twice": np.repeat(basis[:, :16], 2, axis=1),
        "zeros": np.zeros_like(basis),
        "other directions": directions(rng, 128, 32),
    }[what]
    labels, scores = native.Assigner(c).assign(x)
    found = native.Assigner(c, basis=np.ascontiguousarray(basis, dtype="f4")).assign(x)
    np.testing.assert_array_equal(found[0], labels)
    np.testing.assert_array_equal(found[1], scores)


def test_a_basis_of_another_shape_is_refused(rng):
    _, c, basis = in_few_directions(rng, 1, 40, 128)
    for wrong in (basis[:, :30], basis[:100], basis[:, :0]):
        with pytest.raises(ValueError, match="of basis"):
            native.Assigner(c, basis=np.ascontiguousarray(wrong))
    plain = native.Assigner(c)
    with pytest.raises(ValueError, match="no basis"):
        plain.filter = "prefix"


def test_a_filter_that_fails_hands_over_and_stays_right(rng):
    """One dimension 1000 times the others leaves nothing of the rest in 8 bits: nearly all pairs stay open."""
    x, c = gaussian(rng, 2000, 256, 64)
    x[:, 0] *= 1000
    c[:, 0] = 0
    assigner = native.Assigner(c)
    labels, _ = assigner.assign(x)
    reference.check_labels(x, c, "l2", labels)
    assert assigner.pairs_decided < 0.5 * 2000 * 256  # it noticed: not every row was decided pair by pair


@pytest.mark.parametrize("metric", ["l2", "ip"])
def test_bias_shifts_the_objective(level, rng, metric):
    x, c = gaussian(rng, 300, 90, 50)
    bias = rng.normal(size=90).astype("f4") * 3
    labels, _ = native.Assigner(c, metric, bias).assign(x)
    reference.check_labels(x, c, metric, labels, bias)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_rows_equal_their_float32_copy(level, rng, dtype):
    x, c = gaussian(rng, 130, 70, 45)
    if dtype == "float16":
        stored, wide = x.astype("f2"), x.astype("f2").astype("f4")
    else:
        stored = (x.view(np.uint32) >> 16).astype(np.uint16)
        wide = (stored.astype(np.uint32) << 16).view(np.float32)
    for got, want in zip(native.Assigner(c).assign(stored), native.Assigner(c).assign(wide), strict=True):
        np.testing.assert_array_equal(got, want)


def test_float16_special_values(level):
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)][:, None]
    _, scores = native.Assigner(np.zeros((1, 1), "f4"), "ip").assign(finite)
    np.testing.assert_array_equal(scores, np.zeros(len(finite)))
    _, scores = native.Assigner(np.ones((1, 1), "f4"), "ip").assign(finite)
    np.testing.assert_array_equal(scores, finite[:, 0].astype("f4"))


def test_threads_blocks_and_hints_change_nothing(rng, threads):
    x, c = gaussian(rng, 3000, 300, 64)
    assigner = native.Assigner(c)
    native.set_num_threads(1)
    want = assigner.assign(x)
    for count in (2, 7):
        native.set_num_threads(count)
        for got, expected in zip(assigner.assign(x), want, strict=True):
            np.testing.assert_array_equal(got, expected)
    pieces = [assigner.assign(x[i : i + 77]) for i in range(0, 3000, 77)]
    np.testing.assert_array_equal(np.concatenate([p[0] for p in pieces]), want[0])
    hints = rng.integers(0, 300, 3000).astype("i4")
    np.testing.assert_array_equal(assigner.assign(x, hints)[0], want[0])


def test_levels_agree_bit_for_bit(rng):
    x, c = gaussian(rng, 500, 200, 77)
    results = []
    before = native.simd_level()
    for name in native.available_simd_levels():
        native.set_simd_level(name)
        results.append(native.Assigner(c).assign(x))
    native.set_simd_level(before)
    for labels, scores in results[1:]:
        np.testing.assert_array_equal(labels, results[0][0])
        np.testing.assert_array_equal(scores.view(np.uint32), results[0][1].view(np.uint32))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 80), st.integers(1, 70), st.integers(0, 2**32 - 1), st.booleans())
def test_small_integers_with_many_exact_ties(n, k, d, seed, inner_product):
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, size=(n, d)).astype("f4")
    c = rng.integers(-2, 3, size=(k, d)).astype("f4")
    metric = "ip" if inner_product else "l2"
    want = np.argmax(reference.objective(x, c, metric), axis=1)  # exact in float64; argmax takes the first
    for name in ("none", "f32", "i8", "i6", "i16"):
        assigner = native.Assigner(c, metric)
        assigner.filter = name
        np.testing.assert_array_equal(assigner.assign(x)[0], want)


def test_wrong_calls_are_refused():
    assigner = native.Assigner(np.zeros((3, 4), "f4"))
    with pytest.raises(ValueError, match="columns of x"):
        assigner.assign(np.zeros((2, 5), "f4"))
    with pytest.raises(TypeError):
        assigner.assign(np.zeros((2, 4), "f8"))
    with pytest.raises(ValueError, match="metric"):
        native.Assigner(np.zeros((3, 4), "f4"), "l3")
    with pytest.raises(ValueError, match="label"):
        assigner.assign(np.zeros((1, 4), "f4"), np.array([3], "i4"))
