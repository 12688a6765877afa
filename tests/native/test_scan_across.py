"""4-bit codes in groups across lists: the hits of scans list by list, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp import native
from cluscomp.bits import pack_mask

DSUB = 2


class Rows:
    """Codes of n rows in lists of few rows, in all three layouts."""

    def __init__(self, rng, n, nlist, m, coarse):
        sizes = rng.multinomial(n, rng.dirichlet(np.ones(nlist)))
        sizes[nlist // 2] = 0
        self.offsets = np.concatenate([[0], np.cumsum(sizes)])
        self.n = int(self.offsets[-1])
        self.codes = rng.integers(0, 256, size=(self.n, (m + 1) // 2)).astype("u1")
        if m % 2:
            self.codes[:, -1] &= 15
        self.lists = native.Lists(self.offsets, rng.permutation(self.n), coarse)
        self.skip = pack_mask(rng.random(self.n) < 0.2)

    def groups(self, book, across):
        codes = self.codes.copy()
        native.interleave_codes(codes, self.offsets[[0, -1]] if across else self.offsets)
        return native.Codes.pq(codes, book, True, across)


@pytest.mark.parametrize("m", [1, 7, 48])
@pytest.mark.parametrize(("metric", "residual"), [("ip", True), ("ip", False), ("l2", False)])
def test_hits_are_those_of_scans_list_by_list(level, rng, threads, m, metric, residual):
    nlist, nq = 40, 6
    book = native.PqCodebook(rng.normal(size=(m, 16, DSUB)).astype("f4"), 4)
    coarse = rng.normal(size=(nlist, m * DSUB)).astype("f4") if residual else None
    queries = rng.normal(size=(nq, m * DSUB)).astype("f4")
    probes = np.array([rng.permutation(nlist) for _ in range(nq)], "i4")
    probes[1, 5:] = probes[2, 1:] = probes[3] = -1
    probes[4, ::2] = -1
    bases = None
    if residual:
        scores = native.score_pairs(queries, coarse, "ip")
        bases = np.take_along_axis(scores, np.maximum(probes, 0).astype("i8"), axis=1)
    for sizes in ((1,), (31,), (32, 400), (300, 1, 77)):
        parts = [Rows(rng, n, nlist, m, coarse) for n in sizes]
        lists = [part.lists for part in parts]
        skips = [[part.skip for part in parts], None]
        plain = native.Parts([native.Codes.pq(part.codes, book) for part in parts], lists)
        within = native.Parts([part.groups(book, False) for part in parts], lists)
        across = native.Parts([part.groups(book, True) for part in parts], lists)
        for number, k in enumerate((1, 10, 200)):
            native.set_num_threads(1 + 3 * (number % 2))
            skip = skips[number % 2]
            for rough, wanted in ((False, plain), (True, within)):
                want = wanted.scan(queries, probes, k, metric, skip, rough)
                for known in (None, bases):
                    found = across.scan(queries, probes, k, metric, skip, rough, known)
                    np.testing.assert_array_equal(found[1], want[1])
                    np.testing.assert_array_equal(found[0], want[0])


def test_tables_that_are_not_finite(rng):
    book = native.PqCodebook(np.full((2, 16, 1), 3e38, "f4"), 4)
    coarse = np.full((3, 2), 3e38, "f4")
    part = Rows(rng, 100, 3, 2, coarse)
    probes = np.array([[0, 1, 2]], "i4")
    for queries in (np.full((1, 2), 2.0, "f4"), np.array([[2, -2]], "f4")):
        want = native.scan(native.Codes.pq(part.codes, book), part.lists, queries, probes, 5, "ip")
        for rough in (False, True):
            found = native.scan(part.groups(book, True), part.lists, queries, probes, 5, "ip", None, rough)
            np.testing.assert_array_equal(found[1], want[1])
            np.testing.assert_array_equal(found[0], want[0])


def test_what_has_no_groups_across_lists_is_refused(rng):
    book = native.PqCodebook(rng.normal(size=(4, 16, DSUB)).astype("f4"), 4)
    with pytest.raises(ValueError, match="only interleaved"):
        native.Codes.pq(np.zeros((3, 2), "u1"), book, False, True)
    part = Rows(rng, 50, 3, 4, rng.normal(size=(3, 8)).astype("f4"))
    queries, probes = np.zeros((1, 8), "f4"), np.zeros((1, 1), "i4")
    with pytest.raises(ValueError, match="a table a list"):
        native.scan(part.groups(book, True), part.lists, queries, probes, 1, "l2")
    with pytest.raises(ValueError, match="by row"):
        native.Parts([part.groups(book, True)], [part.lists]).rescore(
            queries, np.zeros((1, 1), "i8"), 1, "ip"
        )
