"""Ward's method against scipy, against plain loops, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ward_reference import check_cheapest, partition, scipy_tree, ward_partition

from cluscomp import native
from cluscomp.clustering import ward
from cluscomp.clustering.ward import LINKAGE_INPUTS, Merges, ward_linkage, ward_merges
from cluscomp.errors import EmptyInputError, InfeasibleError, NonFiniteError, UnknownKeyError


def runs(*lengths):
    ends = np.cumsum(np.array(lengths, np.int64))
    return ends - np.array(lengths), ends


def labels_of(x, k, linkage_input="euclidean"):
    starts, stops = runs(len(x))
    return ward_merges(x, starts, stops, linkage_input).cut(np.array([k]))[0]


def circle(*degrees):
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype("f4")


def clumps(rng, n, d, spread=0.3):
    centres = rng.normal(size=(max(1, n // 5), d))
    return (centres[rng.integers(0, len(centres), n)] + spread * rng.normal(size=(n, d))).astype("f4")


@pytest.mark.parametrize(
    ("degrees", "k", "square", "condensed", "euclidean"),
    [
        ((9, 71, 85, 117, 150, 165), 2, [[0, 1, 2], [3, 4, 5]], [[0], [1, 2, 3, 4, 5]], [[0, 1, 2, 3], [4, 5]]),
        ((19, 59, 65, 78, 114, 169), 3, [[0, 1, 2, 3], [4], [5]], [[0], [1, 2, 3, 4], [5]], [[0], [1, 2, 3], [4, 5]]),
    ],
)  # fmt: skip
def test_three_inputs_three_answers(level, degrees, k, square, condensed, euclidean):
    x = circle(*degrees)
    assert partition(labels_of(x, k, "cosine_square")) == square
    assert partition(labels_of(x, k, "cosine_condensed")) == condensed
    assert partition(labels_of(x, k, "euclidean")) == euclidean


def test_height_of_two_single_rows_is_their_distance():
    x = np.array([[1, 0], [0.6, 0.8]], "f4")
    np.testing.assert_allclose(ward_linkage(x), [[0, 1, np.sqrt(2 * (1 - 0.6)), 2]], rtol=1e-7)


@pytest.mark.parametrize("linkage_input", LINKAGE_INPUTS)
@pytest.mark.parametrize(
    ("n", "d"), [(2, 1), (3, 5), (15, 3), (16, 16), (17, 65), (60, 64), (129, 40), (240, 130)]
)
def test_linkage_is_scipys(level, rng, n, d, linkage_input):
    pytest.importorskip("scipy")
    x = clumps(rng, n, d)
    got, want = ward_linkage(x, linkage_input=linkage_input), scipy_tree(x, linkage_input)
    np.testing.assert_array_equal(got[:, [0, 1, 3]], want[:, [0, 1, 3]])
    largest = want[:, 2].max() ** 2
    if linkage_input == "euclidean":  # the others start from cosines in float32
        np.testing.assert_allclose(got[:, 2] ** 2, want[:, 2] ** 2, rtol=1e-10, atol=1e-13 * largest)
    else:
        np.testing.assert_allclose(got[:, 2] ** 2, want[:, 2] ** 2, rtol=2e-5, atol=1e-7 * largest + 1e-15)


def decided_otherwise(x):
    """Whether 16-bit bounds were no use for these rows, so that all distances were taken in float64."""
    starts, stops = runs(len(x))
    return native.ward_merges(x, starts, stops, "euclidean")[2]


@pytest.mark.parametrize(("apart", "expected"), [(0.3, 0), (0.02, 0), (1e-6, 1)])
def test_close_rows_are_compared_in_float64(level, rng, apart, expected):
    """Rounding to 16 bits cannot tell rows apart that differ by 1e-5 of their length."""
    scipy = pytest.importorskip("scipy.cluster.hierarchy")
    centres = rng.normal(size=(4, 24))
    x = (centres[rng.integers(0, 4, 150)] + apart * rng.normal(size=(150, 24))).astype("f4")
    assert decided_otherwise(x) == expected
    got, want = ward_linkage(x), scipy.linkage(x.astype("f8"), "ward")
    np.testing.assert_array_equal(got[:, [0, 1, 3]], want[:, [0, 1, 3]])
    np.testing.assert_allclose(got[:, 2], want[:, 2], rtol=1e-8)


def test_pairs_that_rounding_cannot_order(level):
    """Pairs at 2 and at 2 - 2**-20: the second is nearer, and 16 bits do not see it."""
    x = np.zeros((8, 16), "f4")
    x[:, 0] = [0, 2, 100, 102 - 2**-17, 200, 202, 300, 302 - 2**-15]
    merges = ward_linkage(x)
    np.testing.assert_array_equal(merges[:2, :2], [[6, 7], [2, 3]])
    np.testing.assert_array_equal(merges[:4, 2], [2 - 2**-15, 2 - 2**-17, 2, 2])
    assert decided_otherwise(x) == 0


@pytest.mark.parametrize("k", [1, 2, 7, 20, 30])
def test_partition_is_that_of_plain_loops(rng, k):
    x = clumps(rng, 30, 6, spread=1.0)
    assert partition(labels_of(x, k)) == ward_partition(x, k)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 40), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_small_integers_with_exact_ties(n, d, seed):
    """Among equal heights any is right; each merge has to be one of the cheapest at its turn."""
    x = np.random.default_rng(seed).integers(0, 3, size=(n, d)).astype("f4")
    check_cheapest(x, ward_linkage(x))


def test_duplicates_leave_fewer_clusters_than_asked():
    x = np.repeat(np.eye(3, 4, dtype="f4"), 3, axis=0)
    starts, stops = runs(9)
    labels, found = ward_merges(x, starts, stops).cut(np.array([5]))
    np.testing.assert_array_equal(labels, [0, 0, 0, 1, 1, 1, 2, 2, 2])
    assert found == [3]


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((40, 8)),
        np.full((33, 5), 7.25),
        np.tile([[1.0, 2.0]], (20, 1)),
        np.random.default_rng(1).normal(size=(50, 20)) + 1e4,
        np.random.default_rng(2).normal(size=(50, 20)) * 1e-18,
        np.random.default_rng(3).normal(size=(50, 20)) * 1e15,
    ],
    ids=["zeros", "constant", "equal", "offset", "tiny", "huge"],
)
@pytest.mark.parametrize("linkage_input", LINKAGE_INPUTS)
def test_hard_rows(level, x, linkage_input):
    pytest.importorskip("scipy")
    x = x.astype("f4")
    want, got = scipy_tree(x, linkage_input), ward_linkage(x, linkage_input=linkage_input)
    assert np.isfinite(got).all() and (np.diff(got[:, 2]) >= 0).all()
    np.testing.assert_allclose(got[:, 2], want[:, 2], rtol=1e-3, atol=1e-6 * np.abs(want[:, 2]).max() + 1e-12)


def test_threads_levels_and_blocks_change_nothing(rng, threads, monkeypatch):
    lengths = [0, 1, 30, 2, 77, 0, 16, 5]
    x = clumps(rng, sum(lengths), 33)
    starts, stops = runs(*lengths)
    before = native.simd_level()
    results = []
    try:
        for name in native.available_simd_levels():
            for count in (1, 3):
                native.set_simd_level(name)
                native.set_num_threads(count)
                results.append(ward_merges(x, starts, stops))
    finally:
        native.set_simd_level(before)
    monkeypatch.setattr(ward, "_PRODUCTS_PER_BLOCK", 1)
    results.append(ward_merges(x, starts, stops))
    for other in results[1:]:
        np.testing.assert_array_equal(other.pairs, results[0].pairs)
        np.testing.assert_array_equal(other.heights, results[0].heights)
    alone = [ward_merges(x[a:b], *runs(b - a)) for a, b in zip(starts, stops, strict=True) if b > a]
    np.testing.assert_array_equal(np.concatenate([m.heights for m in alone]), results[0].heights)


def test_a_long_run_shares_its_rows_among_threads(rng):
    scipy = pytest.importorskip("scipy.cluster.hierarchy")
    x = clumps(rng, 1100, 4)
    want = scipy.linkage(x.astype("f8"), "ward")
    np.testing.assert_allclose(ward_linkage(x)[:, 2], want[:, 2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_equals_its_float32_copy(rng, dtype):
    torch = pytest.importorskip("torch")
    stored = torch.from_numpy(clumps(rng, 40, 19)).to(getattr(torch, dtype))
    np.testing.assert_array_equal(ward_linkage(stored), ward_linkage(stored.float()))


def test_no_row_one_row_and_wrong_calls(monkeypatch):
    assert ward_linkage(np.ones((1, 3), "f4")).shape == (0, 4)
    with pytest.raises(EmptyInputError):
        ward_linkage(np.ones((0, 3), "f4"))
    with pytest.raises(NonFiniteError, match="row 1"):
        ward_linkage(np.array([[0.0], [np.nan]]))
    with pytest.raises(UnknownKeyError, match="cosine_condensed"):
        ward_linkage(np.ones((2, 3)), linkage_input="cosine")
    monkeypatch.setattr(ward, "MAX_ROWS", 10)
    with pytest.raises(InfeasibleError, match="11 rows"):
        ward_linkage(np.ones((11, 3)))
    with pytest.raises(ValueError, match="outside its run"):
        Merges(np.array([[0, 9], [-1, -1]], "i4"), np.zeros(2), *runs(2)).cut(np.array([1]))
    with pytest.raises(ValueError, match="ascending"):
        native.ward_merges(np.ones((3, 2), "f4"), np.array([0]), np.array([4]), "euclidean")
