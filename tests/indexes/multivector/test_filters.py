"""Filters over documents of several vectors: as if the other documents were deleted, however candidates are chosen."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import UsageError

SELECTIONS = {
    "part == 0": lambda n: n % 3 == 0,
    "n == 77": lambda n: n == 77,
    "n < 0": lambda n: n < 0,
    "n >= 0": lambda n: n >= 0,
    "n between 20 and 40": lambda n: (n >= 20) & (n <= 40),
}


def described(index, documents, parts):
    """The documents in so many segments, with attributes, and some deleted."""
    x, lengths = documents
    index.delete(index.ids)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    for block in np.array_split(np.arange(len(lengths)), parts):
        rows = x[ends[block[0]] : ends[block[-1] + 1]]
        index.add(rows, block, lengths=lengths[block], attributes={"n": block, "part": block % 3})
    index.delete(np.arange(0, len(lengths), 13))
    return index


@pytest.mark.parametrize("parts", [1, 5])
@pytest.mark.parametrize("by", ["lists", "fde"])
def test_hits_are_those_of_an_index_without_the_other_documents(
    key, make_documents, documents, questions, parts, by
):
    index = described(make_documents(key), documents, parts)
    queries, lengths = questions
    for text, holds in SELECTIONS.items():
        for candidates in (9, 1000):
            options = {"lengths": lengths, "candidates": candidates, "candidates_by": by}
            scores, ids, info = index.search(queries, 7, filter=text, return_info=True, **options)
            others = copy.copy(index)
            others.delete(index.ids[~holds(index.ids)])
            expected = others.search(queries, 7, k_beyond="clip", **options)
            np.testing.assert_array_equal(ids, expected[1])
            np.testing.assert_array_equal(scores, expected[0])
            assert (info.allowed == len(others)).all()
            assert (info.complete == (info.rows_scored == len(others))).all()


def test_few_documents_are_scored_one_by_one(make_documents, documents, questions):
    index = described(make_documents("Pool4,IVF8,PQ12"), documents, 2)
    queries, lengths = questions
    info = index.search(queries, 3, lengths=lengths, filter=[1, 2, 3, 4, 900], return_info=True)[2]
    assert info.path.tolist() == ["direct"] * len(lengths)
    assert (info.rows_scored == 4).all() and info.complete.all() and info.unknown_ids == 1
    info = index.search(queries, 3, lengths=lengths, filter="n >= 0", candidates=10, return_info=True)[2]
    assert info.path.tolist() == ["lists"] * len(lengths)
    assert (info.rows_scored == 10).all() and not info.complete.any()


def test_softmax_masks_and_filters_of_single_queries(make_documents, documents, questions):
    index = described(make_documents("Pool4,IVF8,PQ6,RFlat"), documents, 3)
    queries, lengths = questions
    mask = cc.Mask(index.ids % 2 == 0)
    a = index.search(queries, 5, lengths=lengths, filter=mask, softmax=0.1)
    b = index.search(queries, 5, lengths=lengths, filter=index.ids[index.ids % 2 == 0], softmax=0.1)
    np.testing.assert_array_equal(a[1], b[1])
    filters = [None, [5], mask, {"op": "==", "field": "n", "value": 8}, []]
    scores, ids = index.search(queries, 2, lengths=lengths, filter=filters)
    np.testing.assert_array_equal(ids[0], index.search(queries, 2, lengths=lengths)[1][0])
    assert ids[1].tolist() == [5, -1] and ids[3].tolist() == [8, -1] and ids[4].tolist() == [-1, -1]
    assert (ids[2] % 2 == 0).all() and np.isneginf(scores[4]).all()


def test_tenants_of_documents(make_documents, documents, questions, tmp_path):
    index = make_documents("Pool4,IVF8,SQ4")
    x, lengths = documents
    index.declare_attributes({"owner": cc.Field("text", tenant=True)})
    index.set_attributes(index.ids, {"owner": [f"t{i % 4}" for i in index.ids]})
    index.save(tmp_path / "i")
    opened = cc.open_index(tmp_path / "i", verify=True)
    queries, n = questions
    with pytest.raises(UsageError, match="tenant="):
        opened.search(queries, 3, lengths=n)
    assert (opened.search(queries, 3, lengths=n, tenant="t2")[1] % 4 == 2).all()
    opened.upsert(x[: lengths[0]], [2], lengths=lengths[:1], attributes={"owner": ["t3"]})
    opened.compact(segments=1, dead=0)
    assert 2 in opened.search(queries, 150, lengths=n, tenant="t3")[1]
    assert 2 not in opened.search(queries, 150, lengths=n, tenant="t2")[1]


# ---- few lists of a query vector ----


def recall(found, wanted):
    return np.mean(
        [len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), wanted.tolist(), strict=True)]
    )


def test_as_many_lists_count_as_hold_the_vectors_of_a_search_without_a_condition(
    make_documents, documents, questions
):
    index = described(make_documents("Pool4,IVF32,SQ8"), documents, 3)
    queries, lengths = questions
    options = {"lengths": lengths, "nprobe": 2, "candidates": 12}
    plain = index.search(queries, 5, **options)
    scores, ids, info = index.search(queries, 5, filter="n >= 0", return_info=True, **options)
    np.testing.assert_array_equal(ids, plain[1])
    np.testing.assert_array_equal(scores, plain[0])
    assert (info.probed == 2).all()
    some = "part == 0"
    wanted = index.search(queries, 5, filter=some, lengths=lengths, candidates=1000)[1]
    _, wider, info = index.search(queries, 5, filter=some, return_info=True, **options)
    _, narrow, bound = index.search(queries, 5, filter=some, max_nprobe=2, return_info=True, **options)
    assert (info.probed > 2).all() and (bound.probed == 2).all() and (info.rows_scored == 12).all()
    assert recall(wider, wanted) > recall(narrow, wanted)
    for query in range(len(lengths)):  # whatever is searched beside it
        ends = np.concatenate([[0], np.cumsum(lengths)])
        one = queries[ends[query] : ends[query + 1]]
        alone = index.search(one, 5, filter=some, **(options | {"lengths": lengths[query : query + 1]}))
        np.testing.assert_array_equal(alone[1][0], wider[query])
    with pytest.raises(UsageError, match="max_nprobe=1 is below nprobe=2"):
        index.search(queries, 5, filter=some, max_nprobe=1, **options)
    with pytest.raises(UsageError, match="max_nprobe=33"):
        index.search(queries, 5, filter=some, max_nprobe=33, **options)


def test_lists_that_count_are_those_of_a_plain_loop(make_documents, documents, questions):
    from cluscomp.indexes.multivector.counted_lists import counted_lists, vectors_in_lists
    from cluscomp.multivector import Ragged

    index = described(make_documents("Pool4,IVF32,SQ8"), documents, 2)
    queries, lengths = questions
    every = index._together
    passing = index._allowed_by(every, "part == 1", None).together
    asked = Ragged(queries, np.concatenate([[0], np.cumsum(lengths)]))
    found = counted_lists(index.pipeline, every, passing, asked, 3, 20, index._vectors_in_lists)
    n_every, n_some = vectors_in_lists(every, 32), vectors_in_lists(passing, 32)
    assert n_every.sum() == sum(
        np.diff(s.doc_offsets)[np.unpackbits(s.live_bits(), count=s.n_rows, bitorder="little") == 1].sum()
        for s in every.segments
    )
    ranked = index.pipeline.partition.ranked(
        index.pipeline.project_queries(index.pipeline.base_rows(queries)), 32
    ).lists
    wanted = []
    for query in range(len(lengths)):
        needed = []
        for row in range(asked.offsets[query], asked.offsets[query + 1]):
            budget, held, count = n_every[ranked[row, :3]].sum(), 0, 0
            while count < 32 and held < budget:
                held += n_some[ranked[row, count]]
                count += 1
            needed.append(min(20, max(3, count)))
        wanted.append(max(needed))
    assert found.tolist() == wanted and len(set(wanted)) > 1
