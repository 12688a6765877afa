"""Scans and top-k against plain NumPy: every codec, metric, instruction set; lists, skips, ties, threads."""

from __future__ import annotations

import gc

import native_reference as reference
import numpy as np
import pytest

from cluscomp import native
from cluscomp.bits import pack_mask

K = 7


def score_matrix(queries, rows, metric):
    q, r = queries.astype("f8"), rows.astype("f8")
    return q @ r.T if metric == "ip" else -((q[:, None] - r[None]) ** 2).sum(2)


def check(found, queries, decoded, metric, offsets, positions, probes, k=K, skip=None):
    """Compare with the reference computed list by list; decoded: (lists ->) rows as the codec reproduces them."""
    scores, ids = found
    place = np.arange(offsets[-1]) if positions is None else positions
    exact = score_matrix(queries, decoded, metric).astype("f4")
    for q in range(len(queries)):
        rows = np.concatenate(
            [np.arange(offsets[p], offsets[p + 1]) for p in probes[q] if p >= 0] or [[]]
        ).astype(int)
        if skip is not None:
            rows = rows[skip[np.asarray(place)[rows]] == 0]
        want_scores, want_ids = reference.topk(exact[q, rows], np.asarray(place)[rows], k)
        np.testing.assert_allclose(scores[q], want_scores, rtol=2e-5, atol=2e-4)
        found_rows = {int(p): r for r, p in enumerate(place)}
        for rank, position in enumerate(ids[q]):
            assert (position == -1) == (want_ids[rank] == -1)
            if position >= 0:  # a near-tie may swap neighbours; its exact score must then be as good
                assert exact[q, found_rows[int(position)]] >= want_scores[rank] - 2e-4 * (
                    1 + abs(want_scores[rank])
                )


@pytest.fixture
def lists(rng):
    offsets = np.array([0, 40, 40, 150, 300], "i8")
    positions = rng.permutation(300).astype("i8")
    probes = np.array([[0, 2], [3, -1], [1, -1], [2, 3], [0, 3]], "i4")
    return offsets, positions, probes


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("dtype", ["f4", "f2"])
@pytest.mark.parametrize("d", [5, 16, 67])
def test_rows(level, rng, lists, metric, dtype, d):
    offsets, positions, probes = lists
    rows = rng.normal(size=(300, d)).astype(dtype)
    queries = rng.normal(size=(5, d)).astype("f4")
    codes = native.Codes.floats(rows)
    found = native.scan(codes, native.Lists(offsets, positions), queries, probes, K, metric)
    check(found, queries, rows, metric, offsets, positions, probes)
    small = native.scan(codes, native.Lists(offsets, positions.astype("i4")), queries, probes, K, metric)
    np.testing.assert_array_equal(found[1], small[1])


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_sq8(level, rng, lists, metric):
    offsets, positions, probes = lists
    d = 37
    codes = rng.integers(0, 256, size=(300, d)).astype("u1")
    vmin, vdiff = rng.normal(size=d).astype("f4"), rng.random(d).astype("f4")
    decoded = vmin + (codes + 0.5) / 255 * vdiff
    queries = rng.normal(size=(5, d)).astype("f4")
    stored = native.Codes.sq8(codes, vmin, vdiff)
    found = native.scan(stored, native.Lists(offsets, positions), queries, probes, K, metric)
    check(found, queries, decoded, metric, offsets, positions, probes)


@pytest.mark.parametrize("spread", [0, 1, 18])
def test_sq8_with_a_scale_a_row(level, rng, spread):
    """The filter leaves no hit out, also where scales differ by many orders of magnitude."""
    n, d = 3000, 70
    codes = rng.integers(0, 256, size=(n, d)).astype("u1")
    scales = (10.0 ** rng.uniform(-spread, spread, size=n)).astype("f4")
    vmin, vdiff = np.full(d, -128.5, "f4"), np.full(d, 255, "f4")
    queries = rng.normal(size=(5, d)).astype("f4")
    stored, lists = native.Codes.sq8(codes, vmin, vdiff, scales), native.Lists(np.array([0, n]))
    every = native.scan(stored, lists, queries, None, n, "ip")
    exact = queries.astype("f8") @ ((codes.astype("f8") - 128) * scales[:, None]).T
    got = np.take_along_axis(exact, every[1], axis=1)
    off = 128 * np.abs(queries).sum(axis=1)[:, None] * scales[every[1]]
    assert (np.abs(every[0] - got) <= 1e-5 * off).all()
    for k in (1, K, 200):
        for few, whole in zip(native.scan(stored, lists, queries, None, k, "ip"), every, strict=True):
            np.testing.assert_array_equal(few, whole[:, :k])
    candidates = rng.integers(0, n, size=(5, 300))
    scores, rows = native.rescore(stored, queries, candidates, K, "ip")
    for q in range(5):
        assert dict(zip(every[1][q], every[0][q], strict=True))[rows[q, 0]] == scores[q, 0]
    plain = native.Documents(native.Codes.sq8(codes, vmin, vdiff), np.array([0, n])).vectors(0, 9)
    scaled = native.Documents(stored, np.array([0, n])).vectors(0, 9)
    np.testing.assert_array_equal(scaled, plain * scales[:9, None])


def test_scales_that_no_row_can_have(rng):
    codes, ones = np.zeros((3, 2), "u1"), np.ones(2, "f4")
    for wrong in ([1, 0, 1], [1, -1, 1], [np.nan, 1, 1]):
        with pytest.raises(ValueError, match="scales must be above 0"):
            native.Codes.sq8(codes, ones, ones, np.array(wrong, "f4"))
    with pytest.raises(ValueError, match="length of scales"):
        native.Codes.sq8(codes, ones, ones, np.ones(2, "f4"))
    stored = native.Codes.sq8(codes, ones, ones, np.ones(3, "f4"))
    with pytest.raises(ValueError, match="inner products only"):
        native.scan(stored, native.Lists(np.array([0, 3])), np.ones((1, 2), "f4"), None, 1, "l2")


@pytest.mark.parametrize(
    "case", ["plain", "few values", "one wide dimension", "constant", "huge", "zero query"]
)
@pytest.mark.parametrize("d", [1, 64, 101])
def test_the_integer_filter_of_sq8_loses_no_row(level, rng, threads, case, d):
    """Against the scores of all rows: a rerank that keeps as many as it gets filters none."""
    n = 4000
    codes = rng.integers(0, 2 if case == "few values" else 256, size=(n, d)).astype("u1")
    vmin, vdiff = rng.normal(size=d).astype("f4"), rng.random(d).astype("f4")
    queries = rng.normal(size=(6, d)).astype("f4")
    if case == "one wide dimension":
        vdiff[0] = 300
    elif case == "constant":
        vdiff[:] = 0
    elif case == "huge":
        vmin[:], vdiff[0] = 0, 3e38
    elif case == "zero query":
        queries[:3] = 0
    skip = (rng.random(n) < 0.2).astype("u1")
    everything = np.broadcast_to(np.arange(n), (6, n)).copy()
    stored = native.Codes.sq8(codes, vmin, vdiff)
    scores, ids = native.rescore(stored, queries, everything, n, "ip")
    lists, probes = native.Lists(np.array([0, 700, 700, n])), np.tile(np.array([[2, 0, 1]], "i4"), (6, 1))
    for k, count in ((1, 1), (10, 3)):
        native.set_num_threads(count)
        live = skip[ids] == 0
        want_ids = np.stack([row[keep][:k] for row, keep in zip(ids, live, strict=True)])
        want_scores = np.stack([row[keep][:k] for row, keep in zip(scores, live, strict=True)])
        found = native.scan(stored, lists, queries, probes, k, "ip", pack_mask(skip))
        np.testing.assert_array_equal(found[1], want_ids)
        np.testing.assert_array_equal(found[0], want_scores)
        order = rng.permutation(n)
        again = native.rescore(stored, queries, everything[:, order], k, "ip")
        np.testing.assert_array_equal(again[1], ids[:, :k])


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize(("nbits", "m"), [(4, 5), (4, 6), (6, 5), (8, 6)])
@pytest.mark.parametrize("residual", [False, True])
def test_pq(level, rng, lists, metric, nbits, m, residual):
    offsets, positions, probes = lists
    dsub = 3
    books = rng.normal(size=(m, 2**nbits, dsub)).astype("f4")
    codes = native.pq_encode(rng.normal(size=(300, m * dsub)).astype("f4"), books, nbits)
    coarse = rng.normal(size=(4, m * dsub)).astype("f4") if residual else None
    decoded = native.pq_decode(codes, books, nbits)
    if residual:
        decoded = decoded + np.repeat(coarse, np.diff(offsets), axis=0)
    queries = rng.normal(size=(5, m * dsub)).astype("f4")
    stored = native.Codes.pq(codes, native.PqCodebook(books, nbits))
    found = native.scan(stored, native.Lists(offsets, positions, coarse), queries, probes, K, metric)
    check(found, queries, decoded, metric, offsets, positions, probes)


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("m", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("residual", [False, True])
def test_the_shuffle_scan_equals_the_plain_scan_bit_for_bit(level, rng, threads, metric, m, residual):
    n, dsub = 5000, 2
    books = rng.normal(size=(m, 16, dsub)).astype("f4")
    codes = rng.integers(0, 256, size=(n, (m + 1) // 2)).astype("u1")
    if m % 2:
        codes[:, -1] &= 15
    offsets = np.array([0, 31, 63, 63, 2000, 4999, 5000], "i8")
    positions = rng.permutation(n).astype("i8")
    coarse = rng.normal(size=(6, m * dsub)).astype("f4") if residual else None
    queries = rng.normal(size=(5, m * dsub)).astype("f4")
    probes = np.array(
        [
            [0, 1, 2, 3, 4, 5],
            [4, 3, 5, 2, 1, 0],
            [1, -1, -1, -1, -1, -1],
            [3, 4, -1, -1, -1, -1],
            [5, 0, 1, 2, 3, 4],
        ],
        "i4",
    )
    skip = (rng.random(n) < 0.2).astype("u1")
    shuffled = codes.copy()
    native.interleave_codes(shuffled, offsets)
    book, lists = native.PqCodebook(books, 4), native.Lists(offsets, positions, coarse)
    for count in (1, 4):
        native.set_num_threads(count)
        for k in (1, 10, 200):
            call = (lists, queries, probes, k, metric, pack_mask(skip))
            plain = native.scan(native.Codes.pq(codes, book), *call)
            fast = native.scan(native.Codes.pq(shuffled, book, interleaved=True), *call)
            np.testing.assert_array_equal(fast[1], plain[1])
            np.testing.assert_array_equal(fast[0], plain[0])
    native.interleave_codes(shuffled, offsets, undo=True)
    np.testing.assert_array_equal(shuffled, codes)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (10, 10), (700, 300), (3000, 5)])
def test_one_list_with_deleted_rows_and_ties(rng, threads, n, k):
    rows = rng.integers(-1, 2, size=(n, 4)).astype("f4")  # many exact ties
    queries = rng.integers(-1, 2, size=(9, 4)).astype("f4")
    skip = (rng.random(n) < 0.3).astype("u1")
    stored, lists = native.Codes.floats(rows), native.Lists(np.array([0, n]))
    exact = queries @ rows.T
    for count in (1, 3):
        native.set_num_threads(count)
        scores, ids = native.scan(stored, lists, queries, None, k, "ip", pack_mask(skip))
        for q in range(9):
            live = np.flatnonzero(skip == 0)
            want_scores, want_ids = reference.topk(exact[q, live], live, k)
            np.testing.assert_array_equal(scores[q], want_scores)
            np.testing.assert_array_equal(ids[q], want_ids)
        one = native.scan(stored, lists, queries[:1], None, k, "ip", pack_mask(skip))
        np.testing.assert_array_equal(
            one[1][0], ids[0]
        )  # the split of one query over threads changes nothing


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_rescore(level, rng, metric):
    rows = rng.normal(size=(50, 21)).astype("f4")
    queries = rng.normal(size=(4, 21)).astype("f4")
    candidates = np.stack(
        [rng.permutation(np.r_[rng.choice(50, 7, replace=False), -1, -1]) for _ in range(4)]
    )
    exact = np.take_along_axis(score_matrix(queries, rows, metric), np.maximum(candidates, 0), axis=1)
    exact = np.where(candidates < 0, -np.inf, exact)
    for k in (1, 5, 9):
        scores, found = native.rescore(native.Codes.floats(rows), queries, candidates, k, metric)
        order = np.argsort(-exact, axis=1)[:, :k]
        np.testing.assert_allclose(scores, np.take_along_axis(exact, order, 1), rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(found, np.take_along_axis(candidates, order, 1))


def test_levels_agree_bit_for_bit(rng, lists):
    offsets, positions, probes = lists
    rows, queries = rng.normal(size=(300, 67)).astype("f2"), rng.normal(size=(5, 67)).astype("f4")
    stored, of_rows = native.Codes.floats(rows), native.Lists(offsets, positions)
    before, results = native.simd_level(), []
    for name in native.available_simd_levels():
        native.set_simd_level(name)
        results.append(native.scan(stored, of_rows, queries, probes, K, "l2")[0])
    native.set_simd_level(before)
    for scores in results[1:]:
        np.testing.assert_array_equal(scores, results[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offsets": np.array([0, 5, 4, 300], "i8")}, "never fall"),
        ({"offsets": np.array([0, 299], "i8")}, "last offset"),
        ({"probes": np.array([[1]], "i4")}, "probe"),
        ({"positions": np.zeros(3, "i8")}, "positions"),
        ({"coarse": np.zeros((2, 4), "f4")}, "rows of coarse"),
        ({"coarse": np.zeros((1, 4), "f4")}, "no residuals"),
        ({"offsets": np.array([0, 100, 300], "i8"), "probes": None}, "lists without probes"),
        ({"skip_bits": np.zeros(37, "u1")}, "length of skip_bits: got 37, expected 38"),
        ({"queries": np.zeros((1, 5), "f4")}, "columns of queries"),
        ({"k": 0}, "k must"),
    ],
)
def test_wrong_calls_are_refused(change, message):
    call = {
        "offsets": np.array([0, 300], "i8"),
        "positions": None,
        "coarse": None,
        "queries": np.zeros((1, 4), "f4"),
        "probes": np.zeros((1, 1), "i4"),
        "k": 3,
        "skip_bits": None,
    } | change
    rows = native.Codes.floats(np.zeros((300, 4), "f4"))
    with pytest.raises(ValueError, match=message):
        lists = native.Lists(call.pop("offsets"), call.pop("positions"), call.pop("coarse"))
        native.scan(rows, lists, metric="ip", **call)


def test_interleaved_codes_are_scanned_only(rng):
    book = native.PqCodebook(rng.normal(size=(4, 16, 2)).astype("f4"), 4)
    stored = native.Codes.pq(np.zeros((5, 2), "u1"), book, interleaved=True)
    with pytest.raises(ValueError, match="cannot be read by row"):
        native.rescore(stored, np.zeros((1, 8), "f4"), np.zeros((1, 1), "i8"), 1, "ip")
    with pytest.raises(ValueError, match="cannot be read by row"):
        native.Documents(stored, np.array([0, 5]))


def test_codes_and_lists_keep_their_arrays(rng):
    rows = rng.normal(size=(300, 8)).astype("f4")
    stored = native.Codes.floats(rows.copy())
    lists = native.Lists(np.array([0, 300]), np.arange(300)[::-1].copy())
    gc.collect()
    np.testing.assert_array_equal(
        native.scan(stored, lists, rows, None, 1, "l2")[1][:, 0], np.arange(300)[::-1]
    )


@pytest.mark.parametrize("width", [1, 2, 7])
def test_rows_of_interleaved_codes_come_back(rng, threads, width):
    codes = rng.integers(0, 256, size=(10_000, width)).astype("u1")
    offsets = np.array([0, 31, 63, 63, 64, 200, 9_999, 10_000])
    shuffled = codes.copy()
    native.interleave_codes(shuffled, offsets)
    for rows in (np.arange(10_000), rng.integers(0, 10_000, 5_000), np.empty(0, int)):
        for count in (1, 3):
            native.set_num_threads(count)
            np.testing.assert_array_equal(native.take_interleaved(shuffled, offsets, rows), codes[rows])
    for wrong in (-1, 10_000):
        with pytest.raises(ValueError, match="not one of the codes"):
            native.take_interleaved(shuffled, offsets, np.array([0, wrong]))
    with pytest.raises(ValueError, match="last offset"):
        native.take_interleaved(shuffled, offsets[:-1].copy(), np.array([0]))
