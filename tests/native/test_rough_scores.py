"""Rough scores of 4-bit codes: sums of bytes, the same bits at every instruction set."""

from __future__ import annotations

import native_reference as reference
import numpy as np
import pytest

from cluscomp import native
from cluscomp.bits import pack_mask


def rough_scores(query, codes, books, centroid, metric):
    """Values of sums of 7-bit table entries, rounded up; whole numbers make the float32 tables exact."""
    shifted = query if metric == "ip" or centroid is None else query - centroid
    parts = shifted.reshape(len(books), 1, -1)
    tables = (parts * books).sum(2) if metric == "ip" else -((parts - books) ** 2).sum(2)
    low = tables.min(1, keepdims=True)
    step = ((tables - low) * np.float32(np.float32(1.000001) / np.float32(126))).max()
    step = step if step > 0 else np.float32(1)
    fused = (tables - low).astype("f8") * (np.float32(1) / step) + np.float64(np.float32(0.5001))
    entries = np.rint(fused.astype("f4")).astype("f8")
    assert entries.max() <= 126
    digits = np.stack([codes & 15, codes >> 4], axis=2).reshape(len(codes), 2 * codes.shape[1])
    digits = digits[:, : len(books)]
    sums = entries[np.arange(len(books)), digits].sum(1)
    base = float(query @ centroid) if metric == "ip" and centroid is not None else 0.0
    rough = base + low.astype("f8").sum() + float(step) * sums
    exact = base + tables[np.arange(len(books)), digits].sum(1, dtype="f8")
    assert (rough >= exact).all()
    assert (rough <= exact + len(books) * 1.0002 * float(step)).all()
    return rough.astype("f4")


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("m", [1, 7, 64])
@pytest.mark.parametrize("residual", [False, True])
def test_rough_scores_are_values_of_sums_of_bytes(level, rng, threads, metric, m, residual):
    n, dsub = 3000, 2
    books = rng.integers(-9, 10, size=(m, 16, dsub)).astype("f4")
    codes = rng.integers(0, 256, size=(n, (m + 1) // 2)).astype("u1")
    if m % 2:
        codes[:, -1] &= 15
    offsets = np.array([0, 31, 31, 1900, 3000], "i8")
    positions = rng.permutation(n).astype("i8")
    coarse = rng.integers(-4, 5, size=(4, m * dsub)).astype("f4") if residual else None
    queries = rng.integers(-9, 10, size=(7, m * dsub)).astype("f4")
    probes = np.array([rng.permutation([0, 1, 2, 3]) for _ in range(7)], "i4")
    probes[2, 1] = -1
    skip = (rng.random(n) < 0.2).astype("u1")
    shuffled = codes.copy()
    native.interleave_codes(shuffled, offsets)
    stored = native.Codes.pq(shuffled, native.PqCodebook(books, 4), interleaved=True)
    lists = native.Lists(offsets, positions, coarse)
    bases = None
    if residual and metric == "ip":
        bases = np.take_along_axis(queries @ coarse.T, np.maximum(probes, 0), axis=1)
    for k, count in ((1, 1), (10, 3), (400, 2)):
        native.set_num_threads(count)
        call = (k, metric, pack_mask(skip), True)
        scores, ids = native.scan(stored, lists, queries, probes, *call)
        with_bases = native.scan(stored, lists, queries, probes, *call, bases)
        one = native.scan(stored, lists, queries[:1], probes[:1], *call)
        np.testing.assert_array_equal(with_bases[0], scores)
        np.testing.assert_array_equal(with_bases[1], ids)
        np.testing.assert_array_equal(one[1][0], ids[0])
        for q, query in enumerate(queries):
            found, at = [], []
            for probe in probes[q][probes[q] >= 0]:
                rows = np.arange(offsets[probe], offsets[probe + 1])
                centroid = None if coarse is None else coarse[probe]
                found.append(
                    rough_scores(query, codes[rows], books, centroid, metric)[skip[positions[rows]] == 0]
                )
                at.append(positions[rows][skip[positions[rows]] == 0])
            want_scores, want_ids = reference.topk(np.concatenate(found), np.concatenate(at), k)
            np.testing.assert_array_equal(ids[q], want_ids)
            np.testing.assert_array_equal(scores[q], want_scores)


def test_rough_scores_fall_back_where_tables_are_not_finite(rng):
    books = np.full((2, 16, 1), 3e38, "f4")
    codes = rng.integers(0, 256, size=(100, 1)).astype("u1")
    native.interleave_codes(codes, np.array([0, 100]))
    stored, lists = (
        native.Codes.pq(codes, native.PqCodebook(books, 4), True),
        native.Lists(np.array([0, 100])),
    )
    for rough in (False, True):
        scores, ids = native.scan(stored, lists, np.full((1, 2), 2.0, "f4"), None, 5, "ip", None, rough)
        np.testing.assert_array_equal(ids[0], np.arange(5))
        assert np.isinf(scores).all()
