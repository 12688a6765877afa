"""One query at a time: few calls of Python beside the kernels, and the bits that batches and single steps give."""

from __future__ import annotations

import copy
import pickle
import sys

import numpy as np
import pytest

from cluscomp.errors import DimensionError, EmptyInputError, InputError, NonFiniteError, TooLargeError
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.segments import whole_search

KEYS = (
    "Flat",
    "SQ8",
    "SQ4",
    "PQ4",
    "PQ4x4",
    "PQ4x4,RFlat",
    "IVF8,Flat",
    "IVF8,SQ8",
    "IVF8,PQ4",
    "IVF8,PQ4x4,Refine(SQ8)",
    "RR,IVF8,RaBitQ,RFlat",
    "PCA8,IVF8,SQ8,RFlat",
    "L2norm,OPQ4,IVF8,PQ4x4,RFlat",
)
MOST_CALLS = 26
"""Of Python's functions by a search: one of them takes about a tenth of a microsecond, and what it does as
much again."""


def calls_of(search) -> list[str]:
    """Names of the Python functions that a call enters, itself left out."""
    names: list[str] = []

    def note(frame, event, _):
        if event == "call":
            names.append(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        search()
    finally:
        sys.setprofile(before)
    return names[1:]


@pytest.mark.parametrize("metric", ["ip", "cosine"])
@pytest.mark.parametrize("key", KEYS)
def test_a_search_enters_few_functions_of_python(make_index, queries, key, metric):
    index = make_index(key, metric)
    for query in (queries[0], queries[:1]):
        index.search(query, 5)  # what is made once
        names = calls_of(lambda query=query: index.search(query, 5))
        assert len(names) <= MOST_CALLS, names


# ---- the same bits ---------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::cluscomp.errors.KeyAdviceWarning")
@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
def test_one_query_finds_what_it_finds_in_a_batch(make_index, queries, all_keys, metric):
    for key in all_keys:
        index = make_index(key, metric)
        for nprobe in (1, 3, 8):
            scores, ids = index.search(queries, 7, nprobe=nprobe)
            for i in (0, 5):
                for query in (queries[i], queries[i : i + 1], queries[i].astype("f8"), queries[i].tolist()):
                    one = index.search(query, 7, nprobe=nprobe)
                    np.testing.assert_array_equal(one[0][0], scores[i], err_msg=f"{key}, nprobe={nprobe}")
                    np.testing.assert_array_equal(one[1][0], ids[i], err_msg=f"{key}, nprobe={nprobe}")


@pytest.mark.filterwarnings("ignore::cluscomp.errors.KeyAdviceWarning")
@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
def test_one_call_finds_what_its_steps_find_one_by_one(make_index, queries, all_keys, metric, monkeypatch):
    wholes = 0
    for key in all_keys:
        index = make_index(key, metric)
        index.delete(index.ids[:50:3])
        by_steps = copy.copy(index)
        by_steps._segments = index.segments  # nothing is kept of the searches of the other one
        for nprobe in (1, 3, 8):
            whole = index.search(queries, 7, nprobe=nprobe, return_info=True)
            with monkeypatch.context() as patched:
                patched.setattr(whole_search, "_kernels", lambda *_: None)
                steps = by_steps.search(queries, 7, nprobe=nprobe, return_info=True)
            wholes += index._together.found(("search", nprobe)).kernels is not None
            assert by_steps._together.found(("search", nprobe)).kernels is None
            np.testing.assert_array_equal(steps[0], whole[0], err_msg=f"{key}, nprobe={nprobe}")
            np.testing.assert_array_equal(steps[1], whole[1], err_msg=f"{key}, nprobe={nprobe}")
            np.testing.assert_array_equal(steps[2].rows_scored, whole[2].rows_scored)
    assert wholes > 2 * len(all_keys)


# ---- what is kept for the next search --------------------------------------------------------------


@pytest.mark.parametrize("key", ["Flat", "IVF8,PQ4x4,RFlat"])
def test_a_search_sees_every_change(rows, key, tmp_path):
    index = index_factory(key, rows.shape[1]).train(rows).add(rows)
    query = rows[17] / np.linalg.norm(rows[17])
    best = index.search(query, 1, nprobe=1)[1].item()
    index.delete(best)
    second = index.search(query, 1, nprobe=1)[1].item()
    assert second != best
    index.add(100 * query[None], ids=[9999])
    assert index.search(query, 1, nprobe=1)[1].item() == 9999
    index.upsert(-100 * query[None], [9999])
    assert index.search(query, 1, nprobe=1)[1].item() == second
    index.save(tmp_path / "index")
    opened = open_index(tmp_path / "index")
    travelled = pickle.loads(pickle.dumps(index))  # noqa: S301 - our own
    for other in (opened, travelled, copy.deepcopy(index)):
        for ours, theirs in zip(index.search(rows[:20], 5), other.search(rows[:20], 5), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    index.compact()
    assert index.search(query, 1, nprobe=1)[1].item() == second


def test_settings_hold_from_the_next_search_on(rows, queries):
    index = index_factory("IVF8,PQ4x4,RFlat", rows.shape[1]).train(rows).add(rows)
    index.search(queries, 5)
    index.nprobe, index.refine_factor = 1, 1
    for ours, theirs in zip(
        index.search(queries, 5), index.search(queries, 5, nprobe=1, refine_factor=1), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


# ---- queries that are not ready --------------------------------------------------------------------


def test_queries_that_are_not_ready_pass_the_gate(make_index, queries):
    index = make_index("IVF8,SQ8", "ip")
    scores, ids = index.search(queries, 5)
    wide = np.zeros((len(queries), 2 * queries.shape[1]), dtype="f4")
    wide[:, ::2] = queries
    swapped = queries.astype(">f4")
    for form in (wide[:, ::2], np.asfortranarray(queries), swapped, list(queries), np.ma.array(queries)):
        found = index.search(form, 5)
        np.testing.assert_array_equal(found[0], scores)
        np.testing.assert_array_equal(found[1], ids)
    np.testing.assert_array_equal(index.search(wide[0, ::2], 5)[1], ids[:1])


def test_queries_that_cannot_be_scored_are_refused(make_index, queries):
    index = make_index("IVF8,SQ8", "ip")
    for value, error in ((np.nan, NonFiniteError), (-np.inf, NonFiniteError), (3e38, TooLargeError)):
        bad = queries[:3].copy()
        bad[2, 1] = value
        with pytest.raises(error, match="queries: row 2"):
            index.search(bad, 5)
        with pytest.raises(error, match="queries: row 0"):
            index.search(bad[2], 5)
    with pytest.raises(DimensionError, match="16, queries have dim 15"):
        index.search(queries[0, :15].copy(), 5)
    with pytest.raises(DimensionError):
        index.search(queries[None], 5)
    with pytest.raises(EmptyInputError):
        index.search(queries[:0], 5)
    with pytest.raises(InputError, match="masked"):
        index.search(np.ma.array(queries[0], mask=queries[0] > 0), 5)
