"""Scores of chosen rows equal those of a scan, at every instruction set."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp import native


def stored_forms(rng, n, d):
    rows = rng.normal(size=(n, d)).astype("f4")
    yield "f4", native.Codes.floats(rows), False
    yield "f2", native.Codes.floats(rows.astype("f2")), False
    codes = rng.integers(0, 256, size=(n, d)).astype("u1")
    yield "sq8", native.Codes.sq8(codes, rng.normal(size=d).astype("f4"), rng.random(d).astype("f4")), False
    for bits, m in ((8, 3), (4, 3), (6, 2)):
        books = rng.normal(size=(m, 2**bits, d // m)).astype("f4")
        codes = native.pq_encode(rows, books, bits)
        yield f"pq{bits}", native.Codes.pq(codes, native.PqCodebook(books, bits)), True


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("n", [1, 300, 9000])
def test_scores_are_those_of_a_scan(level, rng, threads, metric, n):
    d, nlist = 6, 5
    queries = rng.normal(size=(4, d)).astype("f4")
    offsets = np.array([0, *np.sort(rng.integers(0, n + 1, nlist - 1)), n], "i8")
    coarse = rng.normal(size=(nlist, d)).astype("f4")
    probes = np.tile(np.arange(nlist, dtype="i4"), (4, 1))
    for name, stored, residual in stored_forms(rng, n, d):
        lists = native.Lists(offsets, None, coarse if residual else None)
        scores, found = native.scan(stored, lists, queries, probes, n, metric)
        by_row = np.empty_like(scores)
        np.put_along_axis(by_row, found, scores, axis=1)
        rows = np.stack([rng.integers(-1, n, n + 3) for _ in range(4)])
        rows[1] = np.sort(rows[1])
        for count in (1, 3):
            native.set_num_threads(count)
            got = native.score_rows(stored, lists, queries, rows, metric)
            want = np.where(rows < 0, -np.inf, np.take_along_axis(by_row, np.maximum(rows, 0), axis=1))
            np.testing.assert_array_equal(got, want, err_msg=name)
            same = native.score_rows(stored, lists, queries, np.arange(n)[None], metric)
            np.testing.assert_array_equal(same, by_row, err_msg=name)


def test_scores_that_are_no_numbers_are_the_worst():
    stored, lists = native.Codes.floats(np.full((1, 2), np.inf, "f4")), native.Lists(np.array([0, 1]))
    got = native.score_rows(stored, lists, np.array([[1, -1]], "f4"), np.zeros((1, 1), "i8"), "ip")
    assert np.isneginf(got).all()


def test_wrong_calls_are_refused(rng):
    stored, lists = native.Codes.floats(np.zeros((5, 2), "f4")), native.Lists(np.array([0, 5]))
    queries, rows = np.zeros((2, 2), "f4"), np.zeros((2, 1), "i8")
    for changed, message in (
        ({"rows": rows + 5}, "not below the number"),
        ({"rows": np.zeros((3, 1), "i8")}, "sets of rows"),
        ({"queries": np.zeros((2, 3), "f4")}, "columns of queries"),
        ({"lists": native.Lists(np.array([0, 4]))}, "last offset"),
        ({"lists": native.Lists(np.array([0, 5]), None, np.zeros((1, 2), "f4"))}, "no residuals"),
    ):
        call = {"codes": stored, "lists": lists, "queries": queries, "rows": rows, "metric": "ip"} | changed
        with pytest.raises(ValueError, match=message):
            native.score_rows(**call)
