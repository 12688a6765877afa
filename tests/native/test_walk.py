"""Lists that queries visit by a budget of passing rows, against the rule in plain Python; scores of pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cluscomp import native


def walked(scores, live, passing, nprobe, most, first):
    """The rule for one query: lists visited, rows that pass in them, whether direct."""
    order = np.lexsort((np.arange(len(scores)), -scores)).tolist()
    if first >= 0:
        order = [first, *(number for number in order if number != first)]
    budget = sum(live[number] for number in order[:nprobe])
    if sum(passing) <= budget:
        seen = order
    else:
        seen, spent = [], 0
        for number in order[:most]:
            if len(seen) >= nprobe and spent >= budget:
                break
            seen.append(number)
            spent += passing[number]
    visited = [number for number in seen if passing[number]]
    best, others = visited[:1], sorted(visited[1:])
    return best + others, sum(passing[number] for number in visited), sum(passing) <= budget


@st.composite
def walks(draw):
    nlist = draw(st.integers(1, 40))
    live = draw(st.lists(st.integers(0, 9), min_size=nlist, max_size=nlist))
    passing = [draw(st.integers(0, n)) for n in live]
    nprobe = draw(st.integers(1, nlist))
    most = draw(st.integers(nprobe, nlist))
    values = st.one_of(st.integers(-3, 3).map(float), st.floats(-(2.0**99), 2.0**99, width=32), st.just(-0.0))
    scores = draw(st.lists(st.lists(values, min_size=nlist, max_size=nlist), min_size=1, max_size=3))
    first = draw(st.integers(-1, nlist - 1))
    return np.array(scores, "f4"), live, passing, nprobe, most, first


@given(walks())
@example(
    (np.array([[0.0, 0.0, -1.0, 0.0]], "f4"), [2, 0, 1, 1], [0, 0, 1, 1], 1, 1, 0)
)  # direct, the best not probed
def test_the_rule(walk):
    scores, live, passing, nprobe, most, first = walk
    nq = len(scores)
    lists, products, probed, rows, direct = native.walk_lists(
        scores, np.array(live), np.array(passing), nprobe, most, np.full(nq, first, "i4"), True
    )
    for q in range(nq):
        want, n, is_direct = walked(scores[q], live, passing, nprobe, most, first)
        assert lists[q][lists[q] >= 0].tolist() == want and (lists[q, len(want) :] == -1).all()
        np.testing.assert_array_equal(products[q, : len(want)], scores[q, want])
        assert (probed[q], rows[q], direct[q]) == (len(want), n, is_direct)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_scores_that_are_no_numbers_come_last_or_first(value):
    scores = np.array([[1.0, value, 2.0, 0.5]], "f4")
    ones = np.ones(4, "i8")
    seen = [
        set(native.walk_lists(scores, 2 * ones, ones, nprobe, 4)[0][0].tolist()) - {-1} for nprobe in (1, 2)
    ]
    order = [1, 2, 0, 3] if value == np.inf else [2, 0, 3, 1]
    assert seen == [set(order[:2]), set(order)]  # one list of two rows is a budget of two


def test_wrong_arguments_are_refused():
    scores, ones = np.zeros((1, 3), "f4"), np.ones(3, "i8")
    for nprobe, most in ((0, 3), (3, 2), (1, 4)):
        with pytest.raises(ValueError, match="nprobe"):
            native.walk_lists(scores, ones, ones, nprobe, most)
    with pytest.raises(ValueError, match="length of passing"):
        native.walk_lists(scores, ones, ones[:2].copy(), 1, 3)
    with pytest.raises(ValueError, match="first list"):
        native.walk_lists(scores, ones, ones, 1, 3, np.array([3], "i4"))
    with pytest.raises(ValueError, match="columns of queries"):
        native.score_pairs(np.zeros((1, 3), "f4"), np.zeros((1, 4), "f4"), "ip")


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("d", [1, 16, 67, 130])
def test_scores_of_pairs_are_those_of_a_scan(level, rng, threads, metric, d):
    queries, rows = rng.normal(size=(37, d)).astype("f4"), rng.normal(size=(75, d)).astype("f4")
    lists = native.Lists(np.array([0, 75]))
    scores, found = native.scan(native.Codes.floats(rows), lists, queries, None, 75, metric)
    want = np.empty_like(scores)
    np.put_along_axis(want, found, scores, axis=1)
    for count in (1, 3):
        native.set_num_threads(count)
        for nq in (1, 2, 37):
            np.testing.assert_array_equal(native.score_pairs(queries[:nq], rows, metric), want[:nq])
