"""The inverted file against plain NumPy, bit for bit, at every instruction set and number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from sparse_reference import best, hits, scores_of

from cluscomp import native
from cluscomp.indexes.sparse.postings import inverted

DTYPES = {"|u1": 255, "<f2": 4, "<f4": 4}


def dense(rng, n, terms, dtype, share=0.2):
    """Weights (n, terms) as stored, of which a share is not 0."""
    values = rng.random((n, terms)) * DTYPES[dtype]
    values[rng.random((n, terms)) > share] = 0
    return np.rint(values).astype(dtype) if dtype == "|u1" else values.astype(dtype)


def stored(weights):
    rows, lists = np.nonzero(weights)
    arrays = inverted(lists, rows, weights[rows, lists], weights.shape[1], len(weights))
    starts = {name: arrays[name].astype(np.int64) for name in ("list_chunks", "list_starts")}
    return native.Postings(**(arrays | starts), n_rows=len(weights))


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
    ("n", "terms", "k"), [(1, 1, 1), (255, 7, 3), (256, 7, 300), (1000, 30, 10), (5000, 40, 5)]
)
def test_search_equals_numpy(rng, level, dtype, n, terms, k):
    weights = dense(rng, n, terms, dtype)
    queries = random_queries(rng, 30, terms)
    found = hits(*stored(weights).search(*packed(queries), k, None))
    plain = weights.astype(np.float32)
    assert found == [best(scores_of(plain, query), k) for query in queries]


def test_skewed_lists_are_pruned_without_a_difference(rng):
    """Few rows score far above all others, so that most ranges are never opened; ties stand in several ranges."""
    weights = np.zeros((20_000, 5), dtype=np.float32)
    weights[rng.integers(0, 20_000, 3000), rng.integers(0, 5, 3000)] = 0.5
    weights[[300, 7000, 7001, 19_999], 2] = 8
    queries = [[(0, 1.0), (2, 1.0)], [(2, 1.0)], [(0, 1.0), (1, 1.0), (3, 1.0), (4, 1.0)]]
    for k in (1, 3, 4, 5, 50):
        found = hits(*stored(weights).search(*packed(queries), k, None))
        assert found == [best(scores_of(weights, query), k) for query in queries]


def test_skipped_rows(rng):
    weights = dense(rng, 700, 9, "<f4")
    deleted = set(rng.choice(700, 200, replace=False).tolist())
    bits = np.packbits([row in deleted for row in range(700)], bitorder="little")
    queries = random_queries(rng, 20, 9)
    found = hits(*stored(weights).search(*packed(queries), 10, bits))
    assert found == [best(scores_of(weights, query), 10, deleted) for query in queries]


def test_threads_change_no_bit(rng, threads):
    postings = stored(dense(rng, 3000, 50, "<f2"))
    queries = packed(random_queries(rng, 200, 50))
    native.set_num_threads(1)
    alone = postings.search(*queries, 7, None)
    native.set_num_threads(4)
    for one, other in zip(alone, postings.search(*queries, 7, None), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", list(DTYPES))
def test_scores_of_given_rows(rng, level, dtype):
    weights = dense(rng, 900, 20, dtype)
    queries = random_queries(rng, 15, 20)
    candidates = rng.integers(-1, 900, (15, 40))
    found = stored(weights).score(*packed(queries), candidates)
    plain = weights.astype(np.float32)
    for query, rows, scores in zip(queries, candidates, found, strict=True):
        expected = np.where(rows < 0, -np.inf, scores_of(plain, query)[rows])
        np.testing.assert_array_equal(scores, expected.astype(np.float32))


def test_nothing_to_find():
    postings = stored(np.zeros((3, 2), dtype=np.float32))
    scores, rows = postings.search(*packed([[], [(1, 1.0)]]), 2, None)
    assert (rows == -1).all() and np.isneginf(scores).all()
    assert postings.score(*packed([[(0, 1.0)]]), np.array([[0, 2]])).tolist() == [[0.0, 0.0]]


def test_damaged_chunks_are_refused(rng):
    weights = dense(rng, 600, 3, "<f4")
    rows, lists = np.nonzero(weights)
    good = inverted(lists, rows, weights[rows, lists], 3, 600)
    good |= {name: good[name].astype(np.int64) for name in ("list_chunks", "list_starts")}
    wrong = {
        "chunk_numbers": np.full_like(good["chunk_numbers"], 9),
        "chunk_sizes": np.full_like(good["chunk_sizes"], 255),
    }
    queries = packed([[(0, 1.0)]])
    for name, array in wrong.items():
        postings = native.Postings(**(good | {name: array}), n_rows=600)
        with pytest.raises(IndexError, match="damaged"):
            postings.search(*queries, 1, None)
        with pytest.raises(IndexError, match="damaged"):
            postings.score(*queries, np.array([[0]]))
    with pytest.raises(IndexError, match="term does not exist"):
        native.Postings(**good, n_rows=600).search(*packed([[(3, 1.0)]]), 1, None)
