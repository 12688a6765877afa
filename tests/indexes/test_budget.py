"""Search among rows that pass: the rule worked by hand, and against brute force over scores for every key."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp import index_factory, native
from cluscomp.bits import pack_mask
from cluscomp.errors import UsageError
from cluscomp.indexes.segments.budget import search_passing, visits_of
from cluscomp.indexes.segments.passing import Passing, restricted
from cluscomp.indexes.segments.row_sets import RowSet
from cluscomp.indexes.segments.trace import list_of_rows

TAKE, SKIP = 1e12, -1e12


def passing_of(index, mask, how=None):
    """The rows where a mask by position over all segments holds; how: TAKE or SKIP, or as it pays."""
    bounds = np.cumsum([segment.n_rows for segment in index.segments])[:-1]
    passing = Passing(
        index.pipeline,
        index._together,
        [RowSet(len(part), bits=pack_mask(part)) for part in np.split(mask, bounds)],
    )
    passing._saved = 0.0 if how is None else how
    return passing


def search(index, mask, queries, k, how=None, **options):
    options = {"nprobe": index.nprobe, "refine_factor": len(mask)} | options
    return search_passing(passing_of(index, mask, how), queries, k, **options)


def live_mask(index):
    return np.concatenate(
        [
            np.ones(segment.n_rows, bool) if segment.deleted is None else segment.deleted.live_mask()
            for segment in index.segments
        ]
    )


def reference(index, queries, mask, k, nprobe, max_nprobe=None):
    """The rule in plain Python, by the scores of a search of everything.

    Yields per query scores, positions, lists read, rows scored, whether direct.
    """
    live = live_mask(index)
    passes = mask & live
    lists, nlist = list_of_rows(index.segments), index.spec.nlist
    table = index.score(queries, index.ids)  # finer codes decide
    at = np.full(len(mask), -1)
    at[np.flatnonzero(live)] = np.arange(live.sum())
    pipeline = index.pipeline
    projected = pipeline.project_queries(pipeline.base_rows(queries))
    for query in range(len(queries)):
        if pipeline.partition is None:
            order = [0]
        else:
            order = pipeline.partition.ranked(projected, nlist).lists[query].tolist()
        if nprobe == 1 and pipeline.partition is not None:
            first = int(pipeline.partition.probe(projected, 1).lists[query, 0])
            order = [first, *(number for number in order if number != first)]
        budget = int((live & np.isin(lists, order[:nprobe])).sum())
        direct = int(passes.sum()) <= budget
        seen, spent = [], 0
        for number in order:
            if not direct and len(seen) >= nprobe and spent >= budget:
                break
            if not direct and max_nprobe is not None and len(seen) >= max_nprobe:
                break
            seen.append(number)
            spent += int((passes & (lists == number)).sum())
        rows = np.flatnonzero(passes & np.isin(lists, seen))
        scores = table[query, at[rows]]
        best = np.lexsort((rows, -scores))[:k]
        full = np.full(k, -np.inf, np.float32), np.full(k, -1)
        full[0][: len(best)], full[1][: len(best)] = scores[best], rows[best]
        read = sum(bool((passes & (lists == number)).any()) for number in seen)
        yield *full, read, len(rows), direct


def check(index, queries, mask, k, nprobe, max_nprobe=None, how=None):
    found = search(index, mask, queries, k, how, nprobe=nprobe, max_nprobe=max_nprobe)
    want = list(zip(*reference(index, queries, mask, k, nprobe, max_nprobe), strict=True))
    np.testing.assert_array_equal(found.hits.positions, want[1])
    np.testing.assert_array_equal(found.hits.scores, want[0])
    np.testing.assert_array_equal(found.probed, want[2])
    np.testing.assert_array_equal(found.rows_scored, want[3])
    np.testing.assert_array_equal(found.direct, want[4])
    n = int((mask & live_mask(index)).sum())
    np.testing.assert_array_equal(found.exhausted, np.array(want[3]) == n)
    return found


@pytest.fixture
def six():
    """Rows 0 to 5 in lists around 0, 10 and 20; the query is nearest to the first, then the second."""
    index = index_factory("IVF3,Flat", 1, metric="l2")
    x = np.array([[0], [1], [10], [11], [20], [21]], dtype=np.float32)
    index.train(x)
    return index.add(x)


@pytest.mark.parametrize("how", [TAKE, SKIP])
@pytest.mark.parametrize(
    ("passes", "hits", "probed", "scored", "direct", "exhausted"),
    [
        ([1, 4, 5], [1, 4, 5], 2, 3, False, True),  # the budget of 2 is spent in the third list
        ([4, 5], [4, 5, -1], 1, 2, True, True),
        ([0, 1, 2], [0, 1, -1], 1, 2, False, False),  # row 2 is never seen
        ([0, 1, 2, 3, 4, 5], [0, 1, -1], 1, 2, False, False),
        ([], [-1, -1, -1], 0, 0, True, True),
    ],
)
def test_six_rows_by_hand(six, how, passes, hits, probed, scored, direct, exhausted):
    mask = np.isin(np.arange(6), passes)
    found = search(six, mask, np.array([[-1]], dtype=np.float32), 3, how, nprobe=1)
    assert found.hits.positions.tolist() == [hits]
    got = (found.probed[0], found.rows_scored[0], found.direct[0], found.exhausted[0])
    assert got == (probed, scored, direct, exhausted)
    assert np.isneginf(found.hits.scores[found.hits.positions < 0]).all()


def test_a_bound_of_the_lists_stops_a_search_early(six):
    mask = np.isin(np.arange(6), [1, 4, 5])
    query = np.array([[-1]], dtype=np.float32)
    found = search(six, mask, query, 3, nprobe=1, max_nprobe=2)
    assert found.hits.positions.tolist() == [[1, -1, -1]] and not found.exhausted[0]
    with pytest.raises(UsageError, match="max_nprobe=1 is below nprobe=2"):
        search(six, mask, query, 3, nprobe=2, max_nprobe=1)


def masks(rng, n, lists):
    yield "none", np.zeros(n, bool)
    yield "one row", np.arange(n) == n // 3
    yield "few", rng.random(n) < 0.02
    yield "half", rng.random(n) < 0.5
    yield "a topic", lists == lists[5]
    yield "another topic and some", (lists == lists[7]) | (rng.random(n) < 0.05)
    yield "all", np.ones(n, bool)


@pytest.mark.parametrize("cuts", [[], [1, 200, 207, 500]], ids=["one segment", "five"])
def test_hits_are_those_of_brute_force(any_key, cuts, trained, rows, queries, threads):
    """With a rerank, all rows that pass in the lists visited are scored again."""
    index = trained(any_key)
    for part in np.split(rows, cuts):
        index.add(part)
    index.delete(np.arange(2, 600, 9))
    rng = np.random.default_rng(4)
    lists = list_of_rows(index.segments)
    partition = index.spec.partition is not None
    for name, mask in masks(rng, len(rows), lists):
        for number, nprobe in enumerate((1, 2, 5, 8) if partition else (1,)):
            native.set_num_threads(1 + 2 * (number % 2))
            how = (TAKE, SKIP, None)[number % 3]
            found = check(index, queries, mask, 12, nprobe, how=how)
            if name in ("few", "all"):
                other = search(index, mask, queries[:1], 12, SKIP if how == TAKE else TAKE, nprobe=nprobe)
                np.testing.assert_array_equal(other.hits.positions, found.hits.positions[:1])
                np.testing.assert_array_equal(other.hits.scores, found.hits.scores[:1])
    if partition:
        check(index, queries, lists != lists[0], 12, 2, max_nprobe=3)


def test_what_all_rows_pass_is_a_search_without_a_condition(any_key, trained, rows, queries):
    index = trained(any_key).add(rows[:333]).add(rows[333:])
    index.delete([5, 8])
    for nprobe in (1, 3, index.spec.nlist) if index.spec.partition is not None else (1,):
        want = index.search(queries, 7, nprobe=nprobe, refine_factor=2)
        for how in (TAKE, SKIP):
            got = search(index, np.ones(600, bool), queries, 7, how, nprobe=nprobe, refine_factor=2)
            np.testing.assert_array_equal(got.hits.positions, want[1])
            np.testing.assert_array_equal(got.hits.scores, want[0])


def test_what_does_not_pass_is_as_if_it_were_deleted(any_key, trained, rows, queries):
    index = trained(any_key).add(rows[:100]).add(rows[100:])
    mask = np.random.default_rng(0).random(600) < 0.3
    everything = {"nprobe": index.spec.nlist, "refine_factor": 3}
    got = [search(index, mask, queries, 20, how, **everything) for how in (TAKE, SKIP)]
    index.delete(np.flatnonzero(~mask))
    want = index.search(queries, 20, **everything)
    for found in got:
        np.testing.assert_array_equal(found.hits.positions, want[1])
        np.testing.assert_array_equal(found.hits.scores, want[0])


def test_more_lists_and_fewer_passing_rows_never_lose_a_row_that_was_seen(trained, rows, queries):
    index = trained("IVF8,PQ4").add(rows)
    projected = index.pipeline.project_queries(index.pipeline.base_rows(queries))
    rng = np.random.default_rng(1)
    wide = rng.random(600) < 0.6
    narrow = wide & (rng.random(600) < 0.5)
    seen = {}
    for name, mask in (("wide", wide), ("narrow", narrow)):
        for nprobe in range(1, 9):
            lists = visits_of(passing_of(index, mask), projected, nprobe).probes.lists
            seen[name, nprobe] = [set(row[row >= 0].tolist()) for row in lists]
    filled = set(list_of_rows(index.segments)[narrow].tolist())
    for nprobe in range(1, 9):
        for query in range(len(queries)):
            assert seen["wide", nprobe][query] & filled <= seen["narrow", nprobe][query]
            if nprobe > 1:
                assert seen["wide", nprobe - 1][query] <= seen["wide", nprobe][query]


def test_rows_are_taken_out_once_scans_by_bits_have_read_enough_in_vain(trained, rows, queries):
    index = trained("IVF8,PQ4").add(rows)
    mask = np.arange(600) % 4 == 0
    passing = passing_of(index, mask)
    options = {"nprobe": 2, "refine_factor": 4}
    first = search_passing(passing, queries[:1], 5, **options)
    assert "taken" not in vars(passing)
    for _ in range(9):
        later = search_passing(passing, queries[:1], 5, **options)
    assert "taken" in vars(passing)
    np.testing.assert_array_equal(later.hits.scores, first.hits.scores)
    np.testing.assert_array_equal(later.hits.positions, first.hits.positions)


def test_no_queries_and_no_rows(trained, rows, queries):
    index = trained("IVF8,PQ4")
    found = search_passing(
        Passing(index.pipeline, index._together, []), queries, 3, nprobe=2, refine_factor=4
    )
    assert found.hits.positions.tolist() == [[-1] * 3] * 9
    index.add(rows)
    none = search(index, np.ones(600, bool), queries[:0], 3)
    assert none.hits.scores.shape == (0, 3) and none.probed.shape == (0,)


def test_restricted_leaves_the_index_alone(trained, rows, queries):
    index = trained("IVF8,SQ8").add(rows[:300]).add(rows[300:])
    index.delete([1, 301])
    only = restricted(index._together, [RowSet(300, bits=pack_mask(np.arange(300) < 2)), None])
    assert only.n_live == 1 + 299 and len(index) == 598
    assert only.segments[1] is index.segments[1]
