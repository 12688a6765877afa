"""Search among documents of several vectors: against plain NumPy, at every instruction set."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from cluscomp import native
from cluscomp.bits import pack_mask

NLIST = 37


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(params=[(5, 1), (8, 4), (24, 1), (44, 4)], ids=str)
def made(request: pytest.FixtureRequest, rng: np.random.Generator) -> dict[str, Any]:
    """Residual product codes of 300 documents in lists, two empty, and four queries."""
    dim, dsub = request.param
    lengths = rng.integers(1, 9, size=300)
    lengths[[7, 299]] = 0
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    n, bits = int(offsets[-1]), 4 if dsub == 1 else 8
    m = dim // dsub
    books = (0.1 * rng.standard_normal((m, 2**bits, dsub))).astype(np.float32)
    codes = rng.integers(256, size=(n, (m * bits + 7) // 8), dtype=np.uint8)
    if m * bits % 8:
        codes[:, -1] &= 15
    lists = rng.integers(NLIST, size=n).astype(np.uint16)
    coarse = unit(rng.standard_normal((NLIST, dim)))
    query_lengths = np.array([3, 1, 40, 16])
    queries = unit(rng.standard_normal((int(query_lengths.sum()), dim)))
    query_offsets = np.concatenate([[0], np.cumsum(query_lengths)])
    return locals()


def documents(made: dict[str, Any], **changes: Any) -> native.Documents:
    codes = native.Codes.pq(made["codes"], native.PqCodebook(made["books"], made["bits"]))
    settings = {"lists": made["lists"], "coarse": made["coarse"], "residual": True, "unit": True} | changes
    return native.Documents(codes, made["offsets"], **settings)


def together(*parts: native.Documents) -> native.DocumentSet:
    return native.DocumentSet(list(parts))


def decoded(made: dict[str, Any]) -> np.ndarray:
    book = native.PqCodebook(made["books"], made["bits"])
    rows = book.decode(made["codes"]).astype(np.float64) + made["coarse"][made["lists"]]
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def maxsim(made: dict[str, Any], query: int, rows: np.ndarray) -> np.ndarray:
    """Scores (n,) of one query with all documents."""
    q = made["queries"][made["query_offsets"][query] : made["query_offsets"][query + 1]].astype(np.float64)
    products = q @ rows.T
    offsets = made["offsets"]
    return np.array(
        [products[:, a:b].max(axis=1).sum() if b > a else -np.inf for a, b in itertools.pairwise(offsets)]
    )


def chosen(made: dict[str, Any], query: int, wanted: int, nprobe: int, skip: np.ndarray) -> np.ndarray:
    """Candidates by the tables of bytes that list_scores.h describes."""
    q = made["queries"][made["query_offsets"][query] : made["query_offsets"][query + 1]].astype(np.float64)
    scores = made["coarse"].astype(np.float64) @ q.T
    low = scores.min()
    table = np.floor((scores - low) * (255 / (scores.max() - low)) + 0.5)
    if nprobe < NLIST:
        least = -np.sort(-table, axis=0)[nprobe - 1]
        table = np.maximum(table - least, 0)
    sums = np.array(
        [
            table[made["lists"][a:b]].max(axis=0).sum() if b > a else 0
            for a, b in zip(made["offsets"], made["offsets"][1:], strict=False)
        ]
    )
    live = np.flatnonzero(skip == 0)
    order = live[np.lexsort((live, -sums[live]))]
    return np.sort(order[:wanted])


def test_vectors_are_centroid_plus_codewords(made, level):
    got = documents(made).vectors(0, len(made["codes"]))
    np.testing.assert_allclose(got, decoded(made), atol=1e-6)
    plain = documents(made, residual=False, unit=False).vectors(3, 9)
    book = native.PqCodebook(made["books"], made["bits"])
    np.testing.assert_array_equal(plain, book.decode(made["codes"][3:9]))


def test_all_documents(made, level):
    skip = np.zeros(300, np.uint8)
    skip[[0, 5, 100]] = 1
    queries = made["queries"], made["query_offsets"]
    scores, positions = together(documents(made)).search(*queries, 297, 300, NLIST, [pack_mask(skip)])
    for query in range(4):
        want = maxsim(made, query, decoded(made))
        assert sorted(positions[query]) == [i for i in range(300) if not skip[i]]
        np.testing.assert_allclose(scores[query], want[positions[query]], atol=3e-5)
        assert (np.diff(scores[query][:-2]) <= 0).all()


@pytest.mark.parametrize("nprobe", [1, 6, NLIST])
@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_candidates(made, level, nprobe, dtype):
    skip = np.zeros(300, np.uint8)
    skip[::7] = 1
    stored = together(documents(made, lists=made["lists"].astype(dtype)))
    queries = made["queries"], made["query_offsets"]
    scores, positions = stored.search(*queries, 20, 20, nprobe, [pack_mask(skip)])
    every = together(documents(made)).search(*queries, 257, 300, NLIST, [pack_mask(skip)])
    for query in range(4):
        want = chosen(made, query, 20, nprobe, skip)
        np.testing.assert_array_equal(np.sort(positions[query]), want)
        exact = dict(zip(every[1][query], every[0][query], strict=True))
        np.testing.assert_array_equal(scores[query], [exact[p] for p in positions[query]])


@pytest.mark.parametrize("unit", [True, False])
def test_bounds_are_close_above_the_scores(made, level, unit):
    """Which makes `search` exact when it leaves documents out by them, and worth it."""
    stored, everyone = together(documents(made, unit=unit)), np.arange(300)
    if made["bits"] == 4:
        with pytest.raises(ValueError, match="8 bits"):
            stored.bounds(made["queries"][:3], everyone)
        return
    for query, (a, b) in enumerate(itertools.pairwise(made["query_offsets"])):
        offsets = np.array([0, b - a])
        scores = stored.scores(made["queries"][a:b], offsets, everyone[None])[0]
        for _ in range(2):  # scales are found at first, and remembered
            bounds = stored.bounds(made["queries"][a:b], everyone)
            assert (bounds >= scores).all(), query
            filled = np.isfinite(scores)
            assert (bounds[filled] - scores[filled] < 2e-3 * (b - a)).all()
            assert np.isneginf(bounds[~filled]).all()


@pytest.mark.parametrize("scale", [1e-20, 1e-3, 1e3, 1e15])
def test_bounds_hold_for_any_scale(made, level, scale, rng):
    if made["bits"] == 4:
        return  # without bounds
    wild = made | {
        "books": (made["books"] * scale * rng.lognormal(0, 3, made["books"].shape)).astype(np.float32),
        "coarse": (made["coarse"] * scale).astype(np.float32),
        "queries": made["queries"] * np.float32(1 / scale) * (np.arange(60)[:, None] % 7 > 0),
    }
    stored = together(documents(wild, unit=False))
    scores = stored.scores(wild["queries"][4:44], np.array([0, 40]), np.arange(300)[None])[0]
    assert np.isfinite(scores).sum() == 298
    assert (stored.bounds(wild["queries"][4:44], np.arange(300)) >= scores).all()


@pytest.mark.parametrize("nprobe", [4, NLIST])
def test_screened_candidates_are_the_best_of_all_candidates(made, level, nprobe):
    """Fewer hits than half of the candidates: documents are left out by their bounds."""
    stored = together(documents(made))
    whole = stored.search(made["queries"], made["query_offsets"], 120, 120, nprobe)
    for k in (1, 7, 60):
        few = stored.search(made["queries"], made["query_offsets"], k, 120, nprobe)
        np.testing.assert_array_equal(few[0], whole[0][:, :k])
        np.testing.assert_array_equal(few[1], whole[1][:, :k])


def cut(made: dict[str, Any], bounds: list[int], **changes: Any) -> native.DocumentSet:
    """The same documents in several parts, cut at the given numbers."""
    parts = []
    for a, b in itertools.pairwise([0, *bounds, 300]):
        first, last = made["offsets"][a], made["offsets"][b]
        part = made | {
            "codes": made["codes"][first:last],
            "lists": made["lists"][first:last],
            "offsets": made["offsets"][a : b + 1] - first,
        }
        parts.append(documents(part, **changes))
    return together(*parts)


@pytest.mark.parametrize("bounds", [[100], [0, 1, 1, 2, 150, 299, 300, 300]], ids=str)
def test_parts_are_searched_as_one(made, level, bounds):
    """An empty part, and parts of one document, among them."""
    skip = np.zeros(300, np.uint8)
    skip[::7] = 1
    queries = made["queries"], made["query_offsets"]
    whole, parts = together(documents(made)), cut(made, bounds)
    of_parts = [pack_mask(part) for part in np.split(skip, bounds)]
    for k, candidates, nprobe in ((5, 5, 3), (5, 60, NLIST), (40, 41, 9), (30, 300, NLIST)):
        want = whole.search(*queries, k, candidates, nprobe, [pack_mask(skip)])
        for got, expected in zip(parts.search(*queries, k, candidates, nprobe, of_parts), want, strict=True):
            np.testing.assert_array_equal(got, expected)
    picked = np.random.default_rng(0).integers(-1, 300, size=(4, 50))
    np.testing.assert_array_equal(parts.scores(*queries, picked), whole.scores(*queries, picked))


def test_results_depend_on_neither_threads_nor_level(made):
    before = native.simd_level(), native.get_num_threads()
    found = []
    try:
        for name in native.available_simd_levels():
            for threads in (1, 3):
                native.set_simd_level(name)
                native.set_num_threads(threads)
                stored = together(documents(made))
                for candidates in (20, 80, 300):
                    found.append(
                        (candidates, stored.search(made["queries"], made["query_offsets"], 20, candidates, 9))
                    )
    finally:
        native.set_simd_level(before[0])
        native.set_num_threads(before[1])
    first = dict(found[:3])
    for candidates, (scores, positions) in found[3:]:
        want = first[candidates]
        np.testing.assert_array_equal(scores, want[0])
        np.testing.assert_array_equal(positions, want[1])


def test_scores_of_chosen_documents(made, level):
    stored = together(documents(made))
    picked = np.array([[3, -1, 8], [299, 0, 1], [5, 5, 5], [-1, -1, 250]])
    scores = stored.scores(made["queries"], made["query_offsets"], picked)
    for query in range(4):
        want = np.where(picked[query] < 0, -np.inf, maxsim(made, query, decoded(made))[picked[query]])
        np.testing.assert_allclose(scores[query], want, atol=3e-5)


@pytest.mark.parametrize("dtype", ["f4", "f2"])
def test_other_codes(rng, level, dtype):
    x = rng.standard_normal((10, 19)).astype(dtype)
    stored = native.Documents(native.Codes.floats(x), np.array([0, 4, 10]))
    np.testing.assert_array_equal(stored.vectors(2, 7), x[2:7].astype(np.float32))
    low, range_ = rng.standard_normal((2, 19)).astype(np.float32)
    codes = rng.integers(256, size=(10, 19), dtype=np.uint8)
    stored = native.Documents(native.Codes.sq8(codes, low, range_), np.array([0, 4, 10]))
    want = low + (codes.astype(np.float32) + np.float32(0.5)) / np.float32(255) * range_
    np.testing.assert_array_equal(stored.vectors(0, 10), want)


def test_wrong_calls(made):
    with pytest.raises(ValueError, match="a list does not exist"):
        documents(made, lists=made["lists"] + np.uint16(NLIST))
    with pytest.raises(ValueError, match="residuals need lists"):
        documents(made, lists=None)
    with pytest.raises(ValueError, match="offsets must start at 0 and never fall"):
        native.Documents(native.Codes.floats(np.zeros((3, 2), np.float32)), np.array([0, 5, 3]))
    with pytest.raises(ValueError, match="columns of queries"):
        together(documents(made)).search(np.zeros((1, 3), np.float32), np.array([0, 1]), 1, 1, 1)
    with pytest.raises(ValueError, match="at least one part"):
        native.DocumentSet([])
    other = native.Documents(native.Codes.floats(np.zeros((3, 2), np.float32)), np.array([0, 3]))
    with pytest.raises(ValueError, match="dimensions of a part"):
        together(documents(made), other)
    with pytest.raises(ValueError, match="a document does not exist"):
        together(documents(made)).scores(made["queries"], made["query_offsets"], np.full((4, 1), 300))
