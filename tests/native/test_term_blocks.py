"""Clustered postings against plain NumPy, bit for bit, at every instruction set and number of threads."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from seismic_reference import Settings, divide, search, summary
from sparse_reference import best, hits, scores_of

from cluscomp import native
from cluscomp.indexes.sparse.blocks import ROW_ARRAYS, Divider, divided, row_arrays
from cluscomp.indexes.stages.seismic_codec import Seismic

DTYPES = {"|u1": 255, "<f2": 4, "<f4": 4}


def dense(rng, n, terms, dtype, share=0.3):
    """Weights (n, terms) as stored, of which a share is not 0."""
    values = rng.random((n, terms)) * DTYPES[dtype]
    values[rng.random((n, terms)) > share] = 0
    return np.rint(values).astype(dtype) if dtype == "|u1" else values.astype(dtype)


def arrays_of(weights, seed=0, **settings):
    """The arrays of rows, blocks and summaries, as a segment stores them."""
    rows, lists = np.nonzero(weights)
    n_lists = weights.shape[1]
    forward = row_arrays(np.bincount(rows, minlength=len(weights)), lists, weights[rows, lists], n_lists)
    counts = np.bincount(lists, minlength=n_lists)
    return divided(Divider(Seismic(**settings), seed, forward, counts), 1 << 20)


def forward_of(arrays):
    return native.ForwardRows(
        **{name: arrays[name] for name in ROW_ARRAYS}, n_lists=len(arrays["list_scales"])
    )


def stored(arrays):
    blocks = {name: array for name, array in arrays.items() if name not in ROW_ARRAYS}
    return native.TermBlocks(forward_of(arrays), **blocks)


def reference(weights, settings):
    """Blocks and scale of each term."""
    plain, whole = weights.astype(np.float32), weights.dtype == np.uint8
    columns = [np.flatnonzero(column).tolist() for column in weights.T]
    return {
        t: divide(plain, column, settings, whole) if column else ([], np.float32(0))
        for t, column in enumerate(columns)
    }


def packed(queries):
    offsets = np.cumsum([0, *map(len, queries)])
    terms = [pair for query in queries for pair in query]
    lists = np.array([term for term, _ in terms], dtype=np.int64)
    return offsets, lists, np.array([weight for _, weight in terms], dtype=np.float32)


def random_queries(rng, n, terms, most=6):
    sizes = rng.integers(0, min(most, terms) + 1, n)
    chosen = [np.sort(rng.choice(terms, size, replace=False)) for size in sizes]
    return [[(int(t), float(rng.random())) for t in some] for some in chosen]


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize(
    ("n", "terms", "settings"),
    [
        (1, 1, {}),
        (60, 7, {"doc_cut": 2, "centroid_fraction": 0.3}),
        (150, 25, {"summary_energy": 0.7}),
        (150, 40, {"summary_energy": 0.9, "summary_terms": 1}),
        (150, 40, {"summary_energy": 0.95, "summary_terms": 0}),
        (120, 12, {"min_cluster_size": 9, "summary_energy": 1.0}),
        (90, 12, {"min_cluster_size": 200, "centroid_fraction": 1.0}),
    ],
)
def test_blocks_equal_numpy(rng, level, dtype, n, terms, settings):
    weights = dense(rng, n, terms, dtype)
    arrays = arrays_of(weights, seed=3, **settings)
    expected = reference(weights, Settings(**settings, seed=3))
    for term, (blocks, scale) in expected.items():
        first, stop = arrays["list_blocks"][term : term + 2]
        starts = arrays["block_starts"][first : stop + 1]
        found = [arrays["block_rows"][a:b].tolist() for a, b in pairwise(starts)]
        assert found == [block.rows for block in blocks]
        assert arrays["list_scales"][term] == scale
        part = slice(*arrays["list_entries"][term : term + 2])
        entries = [arrays[name][part].tolist() for name in ("entry_terms", "entry_blocks", "entry_codes")]
        codes = [(t, i, code) for i, block in enumerate(blocks) for t, code in block.codes.items()]
        assert list(zip(*entries, strict=True)) == sorted(codes)


@pytest.mark.parametrize("dtype", list(DTYPES))
@pytest.mark.parametrize(
    ("query_cut", "heap_factor", "k"), [(0, 1.0, 5), (2, 0.7, 3), (3, 1.3, 1), (1, 0, 4), (0, 0.9, 50)]
)
def test_search_equals_numpy(rng, level, dtype, query_cut, heap_factor, k):
    weights = dense(rng, 200, 20, dtype)
    queries = random_queries(rng, 12, 20)
    expected = reference(weights, Settings(summary_energy=0.5))
    deleted = frozenset(rng.choice(200, 30, replace=False).tolist())
    bits = np.packbits([row in deleted for row in range(200)], bitorder="little")
    blocks = stored(arrays_of(weights, summary_energy=0.5))
    found = hits(*blocks.search(*packed(queries), k, query_cut, heap_factor, False, bits)[:2])
    plain = weights.astype(np.float32)
    assert found == [search(plain, expected, q, k, query_cut, heap_factor, deleted) for q in queries]


@limits(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    k=st.integers(1, 12),
    dtype=st.sampled_from(list(DTYPES)),
    factor=st.floats(0, 1),
)
def test_exact_where_the_settings_say_so(seed, k, dtype, factor):
    """Summaries with all energy are bounds: of all terms and with a factor of at most 1 nothing is missed."""
    rng = np.random.default_rng(seed)
    weights = dense(rng, 300, 15, dtype, share=rng.random())
    queries = random_queries(rng, 5, 15, most=15)
    blocks = stored(arrays_of(weights, seed, summary_energy=1.0, n_postings=0))
    plain = weights.astype(np.float32)
    found = hits(*blocks.search(*packed(queries), k, 0, factor, False, None)[:2])
    assert found == [best(scores_of(plain, query), k) for query in queries]


def test_every_row_may_be_scored(rng, level):
    weights = dense(rng, 100, 9, "<f4")
    queries = random_queries(rng, 9, 9)
    gone = set(range(20, 70))
    bits = np.packbits([row in gone for row in range(100)], bitorder="little")
    scores, rows, scored = stored(arrays_of(weights)).search(*packed(queries), 7, 1, 9.0, True, bits)
    found = hits(scores, rows)
    assert (scored == 50).all()
    assert found == [best(scores_of(weights, query), 7, gone) for query in queries]


@pytest.mark.parametrize("dtype", list(DTYPES))
def test_scores_of_given_rows(rng, level, dtype):
    weights = dense(rng, 90, 20, dtype)
    queries = random_queries(rng, 15, 20)
    candidates = rng.integers(-1, 90, (15, 40))
    found = forward_of(arrays_of(weights)).score(*packed(queries), candidates)
    plain = weights.astype(np.float32)
    for query, rows, scores in zip(queries, candidates, found, strict=True):
        expected = np.where(rows < 0, -np.inf, scores_of(plain, query)[rows])
        np.testing.assert_array_equal(scores, expected.astype(np.float32))


def test_terms_are_ordered(rng):
    """Against NumPy's sort, query by query."""
    sizes = rng.integers(0, 9, 40)
    offsets = np.cumsum([0, *sizes])
    lists = np.concatenate([rng.choice(50, size, replace=False) for size in sizes]).astype(np.int64)
    lists[rng.random(len(lists)) < 0.3] = -1
    weights = rng.random(len(lists)).astype(np.float32)
    stops, found, values = native.ordered_terms(offsets, lists, weights)
    for query, (a, b) in enumerate(pairwise(offsets)):
        order = a + np.argsort(lists[a:b])
        order = order[lists[order] >= 0]
        part = slice(*stops[query : query + 2])
        np.testing.assert_array_equal(found[part], lists[order])
        np.testing.assert_array_equal(values[part], weights[order])
    assert stops[-1] == len(found) == len(values) == (lists >= 0).sum()


def test_more_rows_than_are_read_ahead_in_small_and_large_blocks(rng, level):
    """Blocks of one row and of all: the order in which rows are read ahead changes no hit."""
    weights = dense(rng, 400, 30, "<f4", share=0.1)
    weights[:, 0] = rng.random(400)  # one term that all rows have
    settings = {"min_cluster_size": 1, "centroid_fraction": 0.4, "summary_energy": 0.6}
    queries = random_queries(rng, 10, 30, most=12)
    expected = reference(weights, Settings(**settings))
    blocks = stored(arrays_of(weights, **settings))
    for cut, factor, k in ((0, 1.0, 10), (4, 0.8, 40)):
        found = hits(*blocks.search(*packed(queries), k, cut, factor, False, None)[:2])
        assert found == [search(weights, expected, q, k, cut, factor) for q in queries]


def test_threads_change_no_bit(rng, threads):
    weights = dense(rng, 1500, 40, "<f4")
    queries = packed(random_queries(rng, 200, 40))
    native.set_num_threads(1)
    arrays = arrays_of(weights)
    alone = stored(arrays).search(*queries, 7, 3, 0.9, False, None)
    native.set_num_threads(4)
    for name, array in arrays_of(weights).items():
        np.testing.assert_array_equal(array, arrays[name])
    for one, other in zip(alone, stored(arrays).search(*queries, 7, 3, 0.9, False, None), strict=True):
        np.testing.assert_array_equal(one, other)


def test_summaries_by_hand():
    """Rows {a: 1, b: 4} and {a: 3, c: 2}: maxima a 3, b 4, c 2 of sum 9. Half of it is b and a; .4 of it b alone."""
    rows = np.array([[1, 4, 0], [3, 0, 2]], dtype=np.float32)
    assert summary(rows, [0, 1], 0.5) == {1: 4.0, 0: 3.0}
    assert summary(rows, [0, 1], 0.4) == {1: 4.0}
    assert summary(rows, [0, 1], 1.0) == {0: 3.0, 1: 4.0, 2: 2.0}


def test_summaries_of_the_kernel_by_hand():
    """Two blocks of a term d, each of the rows above with a term g or h of weight 100, which d's weight of 1 joins:
    sum 110, so that 104.5 of it needs b and a, and 103.6 b alone. Weights of 8 bits are their own codes.
    """
    a, b, c, d, g, h = range(6)
    rows = np.zeros((4, 6), dtype=np.uint8)
    rows[:, d], rows[:2, g], rows[2:, h] = 1, 100, 100
    rows[::2, a], rows[::2, b], rows[1::2, a], rows[1::2, c] = 1, 4, 3, 2
    for energy, kept in ((104.5 / 110, {b: 4, a: 3}), (103.6 / 110, {b: 4}), (1, {a: 3, b: 4, c: 2, d: 1})):
        settings = {"centroid_fraction": 0.5, "summary_energy": energy}
        # the two centroids of d are of different pairs for most seeds
        found = (arrays_of(rows, seed, **settings) for seed in range(20))
        arrays = next(
            x
            for x in found
            if np.diff(x["list_blocks"])[d] == 2 and np.ptp(np.diff(x["block_starts"][-3:])) == 0
        )
        part = slice(*arrays["list_entries"][d : d + 2])
        entries = zip(
            *(arrays[n][part].tolist() for n in ("entry_blocks", "entry_terms", "entry_codes")), strict=True
        )
        expected = [
            (block, t, code) for block, own in enumerate((g, h)) for t, code in {**kept, own: 100}.items()
        ]
        assert sorted(entries) == sorted(expected)


def test_a_larger_heap_factor_skips_more(rng):
    """Two blocks: one with the best row, one that promises less than it; a factor of 0 opens both."""
    weights = np.zeros((40, 3), dtype=np.float32)
    weights[:, 0] = 1
    weights[:20, 1], weights[20:, 2] = 5, 1
    blocks = stored(arrays_of(weights, centroid_fraction=0.2, summary_energy=1.0))
    query = packed([[(0, 1.0), (1, 1.0)]])
    deep, quick = (blocks.search(*query, 5, 1, factor, False, None) for factor in (0.0, 1.0))
    for one, other in zip(deep[:2], quick, strict=False):
        np.testing.assert_array_equal(one, other)
    assert deep[2] == [40] and quick[2] < deep[2]  # bounds are true here, so nothing is lost
    assert (deep[0] == 6).all()


@pytest.mark.parametrize(("n_postings", "max_fraction"), [(3, 100.0), (10, 1.0), (5, 2.0)])
def test_postings_are_cut(rng, n_postings, max_fraction):
    weights = dense(rng, 120, 12, "<f4")
    weights[:, 0] *= 4  # one term has most of the large weights
    arrays = arrays_of(weights, n_postings=n_postings, max_fraction=max_fraction, min_cluster_size=1)
    kept = np.zeros_like(weights, dtype=bool)
    blocks = np.diff(arrays["list_blocks"])
    owners = np.repeat(np.repeat(np.arange(12), blocks), np.diff(arrays["block_starts"]))
    kept[arrays["block_rows"], owners] = True
    least = np.sort(weights[weights > 0])[-n_postings * 12] if (weights > 0).sum() > n_postings * 12 else 0
    for term, column in enumerate(weights.T):
        order = np.argsort(-column, kind="stable")[: int(n_postings * max_fraction)]
        expected = {int(row) for row in order if column[row] > 0 and column[row] >= least}
        assert set(np.flatnonzero(kept[:, term]).tolist()) == expected


def test_nothing_to_find():
    blocks = stored(arrays_of(np.zeros((3, 2), dtype=np.float32)))
    scores, rows, _ = blocks.search(*packed([[], [(1, 1.0)]]), 2, 0, 1.0, False, None)
    assert (rows == -1).all() and np.isneginf(scores).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("row_starts", 1 << 30),
        ("block_starts", -5),
        ("block_rows", 600),
        ("list_blocks", 1 << 30),
        ("list_entries", 1 << 30),
    ],
)
def test_damaged_arrays_are_refused(rng, name, value):
    arrays = arrays_of(dense(rng, 600, 3, "<f4"))
    arrays[name] = np.full_like(arrays[name], value)
    with pytest.raises(IndexError, match="damaged"):
        stored(arrays).search(*packed([[(0, 1.0)], [(1, 1.0)]]), 1, 0, 0.0, False, None)


@pytest.mark.parametrize("name", ["row_terms", "entry_terms", "entry_blocks"])
def test_other_damage_does_not_leave_the_arrays(rng, name):
    """Terms and blocks that do not exist: hits may be wrong, and no memory is read or written beyond."""
    arrays = arrays_of(dense(rng, 600, 3, "<f4"))
    arrays[name] = np.full_like(arrays[name], 65535)
    _, rows, _ = stored(arrays).search(*packed([[(0, 1.0), (2, 2.0)]]), 3, 0, 0.5, False, None)
    assert (rows < 600).all()


def test_a_term_that_does_not_exist(rng):
    blocks = stored(arrays_of(dense(rng, 60, 3, "<f4")))
    with pytest.raises(IndexError, match="term does not exist"):
        blocks.search(*packed([[(3, 1.0)]]), 1, 0, 1.0, False, None)
