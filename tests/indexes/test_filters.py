"""Searches of a part of the rows: equal to an index from which all other rows were deleted, for every key."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import cluscomp as cc
from cluscomp import native
from cluscomp.errors import DimensionError, DTypeError, InputError, UnknownKeyError, UsageError
from cluscomp.indexes.filters import cache
from cluscomp.indexes.filters.given import given_filters


def filled(index, rows, parts=1, ids=None):
    """`rows` in so many segments, with attributes, and every eleventh row deleted."""
    n = len(rows)
    for block in np.array_split(np.arange(n), parts):
        attributes = {"n": block, "third": block % 3, "name": [f"r{i % 7}" for i in block]}
        index.add(rows[block], None if ids is None else [ids[i] for i in block], attributes=attributes)
    gone = np.arange(0, n, 11)
    index.delete(gone if ids is None else [ids[i] for i in gone])
    return index


def brute(index, queries, k, allowed):
    """A search through all codes of an index that holds the allowed rows only, each scored by the finest codes."""
    others = copy.copy(index)
    others.delete(np.setdiff1d(index.ids, allowed))
    most = min(k, len(others))
    if most == 0:
        return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    return others.search(queries, most, nprobe=index.spec.nlist)


SELECTIONS = {
    "nothing": ("n < 0", lambda n: n < 0),
    "one row": ("n == 301", lambda n: n == 301),
    "few rows": ("n between 100 and 105", lambda n: (n >= 100) & (n <= 105)),
    "a tenth": ("n in (" + ", ".join(map(str, range(3, 600, 10))) + ")", lambda n: n % 10 == 3),
    "two thirds": ("not third == 1", lambda n: n % 3 != 1),
    "everything": ("n >= 0", lambda n: n >= 0),
}


@pytest.mark.parametrize("parts", [1, 5])
def test_hits_are_those_of_an_index_without_the_other_rows(any_key, trained, rows, queries, parts):
    index = filled(trained(any_key), rows, parts)
    for text, holds in SELECTIONS.values():
        allowed = index.ids[holds(index.ids)]
        for asked in (queries[:1], queries):
            scores, ids, info = index.search(
                asked, 10, filter=text, return_info=True, nprobe=index.spec.nlist
            )
            expected = brute(index, asked, 10, allowed)
            np.testing.assert_array_equal(ids, expected[1])
            np.testing.assert_array_equal(scores, expected[0])
            assert info.complete.all()
            assert (info.allowed == len(allowed)).all()
            assert (info.rows_scored == len(allowed)).all()


@pytest.mark.parametrize("parts", [1, 5])
def test_what_says_it_is_complete_is_exact_at_the_default_effort(any_key, trained, rows, queries, parts):
    index = filled(trained(any_key), rows, parts)
    index.nprobe = min(2, index.spec.nlist)
    for text, holds in SELECTIONS.values():
        allowed = index.ids[holds(index.ids)]
        scores, ids, info = index.search(queries, 10, filter=text, return_info=True)
        assert ids.shape[1] == min(10, len(allowed))
        assert (ids >= 0).all() and np.isin(ids, allowed).all()
        expected = brute(index, queries, 10, allowed)
        np.testing.assert_array_equal(ids[info.complete], expected[1][info.complete])
        np.testing.assert_array_equal(scores[info.complete], expected[0][info.complete])
        if len(allowed) < len(index) / 8:
            assert info.complete.all()


def test_a_filter_of_all_rows_gives_the_bits_of_a_search_without(any_key, trained, rows, queries):
    index = filled(trained(any_key), rows, 2)
    for nprobe in {1, min(3, index.spec.nlist), index.spec.nlist}:
        plain = index.search(queries, 10, nprobe=nprobe)
        for filter in ("n >= 0", index.ids, cc.Mask(np.ones(len(index), bool)), [None] * len(queries)):
            found = index.search(queries, 10, nprobe=nprobe, filter=filter)
            np.testing.assert_array_equal(found[1], plain[1])
            np.testing.assert_array_equal(found[0], plain[0])


@pytest.mark.parametrize("key", ["IVF8,PQ4x4", "SQ8", "OPQ4,IVF8,PQ4x6", "RR,IVF8,RaBitQ4"])
def test_forms_of_one_set_give_equal_bits(trained, rows, queries, key):
    index = filled(trained(key), rows, 3)
    chosen = index.ids % 3 == 0
    found = [
        index.search(queries, 10, filter=filter)
        for filter in (
            "third == 0",
            {"op": "==", "field": "third", "value": 0},
            cc.parse_filter("third == 0"),
            index.ids[chosen],
            index.ids[chosen].tolist(),
            set(index.ids[chosen].tolist()),
            np.concatenate([index.ids[chosen]] * 2),
            cc.Mask(chosen),
            [{"op": "==", "field": "third", "value": 0}] * len(queries),
        )
    ]
    for count in (1, 3):
        native.set_num_threads(count)
        found.append(index.search(queries, 10, filter="third == 0"))
    for scores, ids in found:
        np.testing.assert_array_equal(ids, found[0][1])
        np.testing.assert_array_equal(scores, found[0][0])


def test_each_query_may_have_a_filter_of_its_own(trained, rows, queries):
    index = filled(trained("IVF8,SQ8"), rows, 2)
    filters = [{"op": "==", "field": "n", "value": 5}, None, [7, 8, 10**9], cc.Mask(index.ids < 100), []]
    scores, ids, info = index.search(queries[:5], 4, filter=filters, return_info=True)
    assert ids[0].tolist() == [5, -1, -1, -1]
    assert np.isneginf(scores[0, 1:]).all()
    np.testing.assert_array_equal(ids[1], index.search(queries[1:2], 4)[1][0])
    assert sorted(ids[2, :2].tolist()) == [7, 8] and (ids[2, 2:] == -1).all()
    assert (ids[3] < 100).all()
    assert (ids[4] == -1).all()
    assert info.path.tolist()[4] == "empty"
    assert info.allowed.tolist() == [1, len(index), 2, (index.ids < 100).sum(), 0]
    assert info.unknown_ids == 1


def test_text_ids_and_short_answers(trained, rows, queries):
    names = [f"d{i}" for i in range(len(rows))]
    index = filled(trained("IVF8,SQ8"), rows, 2, names)
    _, ids = index.search(queries, 1000, filter=["d1", "d2", "d0", "nobody", ""])
    assert ids.shape == (len(queries), 2)  # d0 is deleted
    assert set(ids.ravel().tolist()) == {"d1", "d2"}
    per_query = [["d1"], ["d1", "d2"], *[None] * (len(queries) - 2)]
    assert index.search(queries, 3, filter=per_query)[1][0].tolist() == ["d1", None, None]
    with pytest.raises(DTypeError, match="str ids"):
        index.search(queries, 3, filter=[1, 2])


def test_ids_from_outside_are_passed_over(trained, rows, queries):
    index = trained("SQ8").add(rows, np.arange(len(rows)) * 2**40 - 7)
    wanted = index.ids[[3, 4]].tolist()
    outside = [-1, -(2**63), 2**63 - 1, 2**70, wanted[0] + 2**32, wanted[1] + 2**16]
    found = index.search(queries, 5, filter=wanted + outside, return_info=True)
    assert set(found[1].ravel().tolist()) == set(wanted)
    assert found[2].unknown_ids == len(outside)
    many = np.concatenate([np.array(wanted, dtype=np.uint64)] * 500_000)
    np.testing.assert_array_equal(index.search(queries, 5, filter=many)[1], found[1])


def test_what_cannot_be_a_filter_is_refused(trained, rows, queries):
    index = filled(trained("IVF8,SQ8"), rows)
    for filter, error, words in (
        ("yeer == 3", UnknownKeyError, "known are: n, third, name"),
        ("n == 'x'", UsageError, "needs a number"),
        (np.ones(len(index), bool), UsageError, r"Mask\(array\)"),
        (cc.Mask(np.ones(3, bool)), DimensionError, "3 values"),
        ([{"op": "==", "field": "n", "value": 1}], DimensionError, "9 queries, but 1 filters"),
        (3, DTypeError, "single value"),
        ([1.5], DTypeError, "integers"),
    ):
        with pytest.raises(error, match=words):
            index.search(queries, 3, filter=filter)
    for wrong, error in ((np.arange(3), DTypeError), (np.ones((2, 2), bool), DimensionError)):
        with pytest.raises(error):
            cc.Mask(wrong)
    with pytest.raises(UsageError, match="max_nprobe=9"):
        index.search(queries, 3, filter="n > 3", max_nprobe=9)


def test_filter_of_an_index_without_attributes_or_rows(trained, rows, queries):
    index = trained("IVF8,SQ8")
    assert index.search(queries, 3, filter=[1, 2])[1].shape == (len(queries), 0)
    with pytest.raises(UsageError, match="no attributes"):
        index.search(queries, 3, filter="n > 3")
    index.add(rows)
    assert index.search(queries, 3, filter=[1, 2])[1].shape == (len(queries), 2)


def test_deletion_by_filter(trained, rows):
    index = filled(trained("SQ8"), rows, 3)
    n, left = len(index), index.ids[index.ids % 3 != 1]
    assert index.delete(filter="third == 1") == n - len(left)
    np.testing.assert_array_equal(index.ids, left)
    assert index.delete(filter="third == 1") == 0
    assert index.delete(filter=cc.Mask(index.ids < 100)) == (left < 100).sum()
    for arguments in ({}, {"ids": [1], "filter": "n > 3"}):
        with pytest.raises(UsageError, match="ids or a filter"):
            index.delete(**arguments)


def test_later_rows_keep_to_the_schema(trained, rows):
    index = trained("SQ8").add(rows[:10], attributes={"year": [2020] * 10})
    with pytest.raises(InputError, match="'year' of row 1 .id 11. holds a text .*int64"):
        index.add(rows[10:12], attributes={"year": [2021, "x"]})
    with pytest.raises(InputError, match="'lang' is new"):
        index.add(rows[10:12], attributes={"lang": ["a", "b"]})
    assert len(index) == 10
    index.add(rows[10:12], attributes={"lang": ["a", None]}, new_attributes=True)
    index.add(rows[12:14])
    assert index.attributes().to_dict() == {
        "year": [2020] * 10 + [None] * 4,
        "lang": [None] * 10 + ["a", None, None, None],
    }
    assert index.attributes(["lang"]).to_dict() == {"lang": [None] * 10 + ["a", None, None, None]}
    with pytest.raises(UnknownKeyError, match="did you mean 'lang'"):
        index.attributes(["lan"])


def test_attributes_are_changed_and_replaced(trained, rows):
    index = trained("SQ8")
    index.add(rows[:4], attributes={"year": [1, 2, 3, 4], "tags": [["a"], [], None, ["b", "a"]]})
    index.add(rows[4:6], attributes={"year": [5, 6]})
    index.set_attributes([5, 0], {"year": [None, 10], "tags": [["z"], None]})
    wanted = {"year": [10, 2, 3, 4, 5, None], "tags": [None, [], None, ["b", "a"], None, ["z"]]}
    assert index.attributes().to_dict() == wanted
    with pytest.raises(InputError, match="id 77 is not in the index"):
        index.set_attributes([0, 77], {"year": [1, 1]})
    with pytest.raises(InputError, match="'lang' is new"):
        index.set_attributes([0], {"lang": ["x"]})
    assert index.attributes().to_dict() == wanted
    assert index.upsert(rows[:2], [1, 9], attributes={"year": [20, 90]}) == 1
    assert index.ids.tolist() == [0, 2, 3, 4, 5, 1, 9]
    assert index.attributes(["year"]).to_dict()["year"] == [10, 3, 4, 5, None, 20, 90]


@pytest.mark.parametrize("key", ["SQ8", "IVF8,PQ4x4", "RR,IVF8,RaBitQ"])
def test_compaction_carries_attributes(trained, rows, queries, key):
    index = filled(trained(key), rows, 4)
    before, found = (
        index.attributes().to_dict(),
        index.search(queries, 10, filter="third == 0 or name == 'r3'"),
    )
    index.compact(segments=2, dead=0)
    assert index.attributes().to_dict() == before
    again = index.search(queries, 10, filter="third == 0 or name == 'r3'")
    np.testing.assert_array_equal(again[1], found[1])
    np.testing.assert_array_equal(again[0], found[0])


def test_bits_of_a_condition_are_kept_while_there_is_room(trained, rows, queries, monkeypatch):
    asked = []
    true_bits = cache.matching_bits
    monkeypatch.setattr(cache, "matching_bits", lambda *args: asked.append(args) or true_bits(*args))
    index = filled(trained("SQ8"), rows, 2)
    for _ in range(3):
        index.search(queries, 3, filter="third == 0")
    index.delete(filter="third == 1")
    index.search(queries, 3, filter={"op": "==", "field": "third", "value": 0})
    assert len(asked) == 4  # two segments, two conditions
    index.set_attributes([3], {"third": [1]})
    assert 3 not in index.search(queries, 600, filter="third == 0")[1]
    assert len(asked) == 5
    small = cache.BitsCache(limit=len(rows) // 15)
    for text in ("n > 1", "n > 2", "n > 3"):
        small.matching(cc.parse_filter(text), index.segments[0].attributes)
    assert len(small) == 1


def test_equal_filters_of_queries_are_one():
    groups = given_filters([{"op": "is null", "field": "x"}, None, {"op": "is null", "field": "x"}, None], 4)
    assert [queries.tolist() for _, queries in groups] == [[0, 2], [1, 3]]


# ---- tenants ----


@pytest.fixture
def shared(trained, rows):
    index = trained("IVF8,SQ8")
    index.declare_attributes({"owner": cc.Field("text", tenant=True), "seen": "timestamp"})
    index.add(rows, attributes={"owner": [f"t{i % 5}" for i in range(len(rows))]})
    return index


def test_an_index_of_tenants_wants_to_know_whose_rows(shared, queries):
    with pytest.raises(UsageError, match="tenant='...'"):
        shared.search(queries, 5)
    with pytest.raises(UsageError, match="tenant='...'"):
        shared.search(queries, 5, filter="owner == 't1'")
    with pytest.raises(UsageError, match="tenant='...'"):
        shared.delete(filter="owner == 't1'")
    with pytest.raises(UsageError, match="must be a text"):
        shared.search(queries, 5, tenant=3)
    assert (shared.search(queries, 5, tenant="t3")[1] % 5 == 3).all()
    assert shared.search(queries, 5, tenant="nobody")[1].shape == (len(queries), 0)
    assert len(set((shared.search(queries, 5, tenant=None)[1] % 5).ravel().tolist())) > 1


def test_no_answer_holds_rows_of_another_tenant(shared, rows, queries):
    rng = np.random.default_rng(0)
    owner = np.arange(len(rows)) % 5
    for _ in range(30):
        moved = rng.choice(len(rows), 20, replace=False)
        owner[moved] = rng.integers(0, 5, 20)
        shared.set_attributes(moved, {"owner": [f"t{t}" for t in owner[moved]]})
        tenant = int(rng.integers(0, 5))
        filters = [None, rng.choice(len(rows), 50), cc.Mask(rng.random(len(rows)) < 0.5), "not owner == 't0'"]
        for filter in filters:
            found = shared.search(queries, 10, tenant=f"t{tenant}", filter=filter)[1]
            assert (owner[found[found >= 0]] == tenant).all()
            listed = [filter if not isinstance(filter, str) else {"op": "is null", "field": "seen"}] * len(
                queries
            )
            found = shared.search(queries, 10, tenant=f"t{tenant}", filter=listed)[1]
            assert (owner[found[found >= 0]] == tenant).all()


def test_one_tenant_that_owns_all_rows_finds_what_an_index_without_tenants_does(trained, rows, queries):
    plain, shared = trained("IVF8,PQ4").add(rows), trained("IVF8,PQ4")
    shared.declare_attributes({"owner": cc.Field("text", tenant=True)})
    shared.add(rows, attributes={"owner": ["me"] * len(rows)})
    for name in (0, 1):
        np.testing.assert_array_equal(
            shared.search(queries, 9, tenant="me")[name], plain.search(queries, 9)[name]
        )


def test_a_tenant_needs_a_tenant_column(trained, rows, queries):
    index = filled(trained("SQ8"), rows)
    with pytest.raises(UsageError, match="no attribute of the index is a tenant column"):
        index.search(queries, 3, tenant="a")
    index.search(queries, 3, tenant=None)
    with pytest.raises(InputError, match="'name' is declared"):
        index.declare_attributes({"name": cc.Field("text", tenant=True)})
    index.declare_attributes({"owner": cc.Field("text", tenant=True)})
    with pytest.raises(UsageError, match="both tenant columns"):
        index.declare_attributes({"other": cc.Field("text", tenant=True)})


# ---- faiss ----


def test_rows_that_pass_are_copied_into_faiss(trained, rows, queries):
    pytest.importorskip("faiss")
    index = filled(trained("IVF8,SQ8"), rows, 2)
    index.nprobe = 8
    copied = index.to_faiss(filter="third == 2")
    assert copied.ntotal == index.search(queries, 1, filter="third == 2", return_info=True)[2].allowed[0]
    np.testing.assert_array_equal(
        copied.search(queries, 5)[1], index.search(queries, 5, filter="third == 2")[1]
    )
    assert len(index) > copied.ntotal


def test_a_copy_of_an_index_of_tenants_says_whose_rows_it_has(shared, queries):
    pytest.importorskip("faiss")
    with pytest.raises(UsageError, match="tenant='...'"):
        shared.to_faiss()
    assert shared.to_faiss(tenant=None).ntotal == len(shared)
    assert (shared.to_faiss(tenant="t1").search(queries, 5)[1] % 5 == 1).all()


# ---- words ----


def test_words_are_searched_among_rows_that_pass():
    texts = [f"word{i % 4} leaf tree" for i in range(40)]
    index = cc.index_factory("Sparse(bm25)", 1).train(texts)
    index.add(texts, attributes={"n": list(range(40))})
    scores, ids = index.search(["word1 leaf", "tree"], 50, filter="n between 4 and 9")
    assert ids.shape == (2, 6) and set(ids[0].tolist()) == set(range(4, 10))
    assert set(ids[0, :2].tolist()) == {5, 9}
    others = copy.copy(index)
    others.delete(np.setdiff1d(np.arange(40), np.arange(4, 10)))
    np.testing.assert_array_equal(others.search(["word1 leaf", "tree"], 6)[0], scores)
    again, names, info = index.search(
        ["word1 leaf", "tree"], 50, filter="n between 4 and 9", return_info=True
    )
    np.testing.assert_array_equal(again, scores)
    assert info.path.tolist() == ["direct"] * 2 and info.allowed.tolist() == info.rows_scored.tolist() == [
        6,
        6,
    ]
    assert info.complete.all() and (info.probed == 0).all() and names.tolist() == ids.tolist()
    assert index.search(["nothing"], 3, return_info=True)[2].complete.all()
    index.declare_attributes({"owner": cc.Field("text", tenant=True)})
    index.set_attributes([3], {"owner": ["me"]})
    with pytest.raises(UsageError, match="tenant="):
        index.search(["leaf"], 3)
    assert index.search(["leaf"], 3, tenant="me")[1].tolist() == [[3]]
