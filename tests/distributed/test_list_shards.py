"""Segments cut by lists: what they hold, that searches find the same, and which shards are asked."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.distributed import open as open_sharded
from cluscomp.errors import ShardUnavailableError, UsageError
from cluscomp.indexes.segments.by_list import SLACK, list_parts
from tests.distributed.conftest import DIM, contents, same_hits

KEYS = (
    "IVF8,SQ8", "OPQ4,IVF8,PQ4x4,RFlat", "RR,IVF8,RaBitQ,Refine(SQ8)", "BIVF8(cap=1.1),SQ8,RFlat", "IVF8,Flat",
)  # fmt: skip


def make(vectors, key, metric="ip", ids=None, **kinds):
    """An index of 7 segments with attributes, equal rows and deleted ones."""
    x = np.load(vectors)
    index = cc.index_factory(key, DIM, metric=metric).train(x)
    for start in range(0, 2000, 300):
        rows = np.arange(start, min(start + 300, 2000))
        named = rows * 3 if ids is None else [ids[row] for row in rows]
        years = [f"y{row % 40}" if kinds else int(row % 40) for row in rows]
        index.add(x[rows], named, attributes={"year": years, "half": rows // 1000}, **kinds)
    gone = np.arange(0, 2000, 7)
    index.delete(gone * 3 if ids is None else [ids[row] for row in gone])
    return index


@pytest.mark.filterwarnings("ignore::cluscomp.errors.IncompleteResultsWarning")
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_searches_find_the_same_by_any_shards(tmp_path, vectors, queries, key, metric):
    index = make(vectors, key, metric)
    report = index.compact(by_list=5)
    assert report.segments_after == 5 and report.deleted == index.n_deleted == 0
    index.save(tmp_path / "i")
    one = cc.open_index(tmp_path / "i", verify=True)
    assert cc.verify_index(tmp_path / "i", "deep") == []
    held = np.array([segment.list_sizes(8) > 0 for segment in one.segments])
    assert (held.sum(axis=0) <= 1).all()
    for shards in (1, 3, 5):
        with open_sharded(tmp_path / "i", shards=shards) as many:
            for options in (
                {}, {"k": 1}, {"nprobe": 1}, {"nprobe": 8, "refine_factor": 7}, {"k": 3000, "k_beyond": "clip"},
                {"filter": "year < 5"}, {"filter": "year == 3 and half == 1", "nprobe": 2},
                {"filter": [3, 6, 9, 5, -7, 3001]}, {"filter": "half == 0", "max_nprobe": 3, "nprobe": 2},
                {"filter": "year > 99"}, {"filter": [None, {"field": "half", "op": "==", "value": 1}] * 20},
            ):  # fmt: skip
                same_hits(many, one, queries, **{"k": 10} | options)
            if "RaBitQ" in key:
                same_hits(many, one, queries, refine_factor="bound")
                same_hits(many, one, queries, refine_factor="bound(3)", filter="half == 1")


@pytest.mark.filterwarnings("ignore::cluscomp.errors.IncompleteResultsWarning")
@pytest.mark.parametrize("key", KEYS)
def test_compaction_changes_no_score_and_only_the_order_of_equal_ones(vectors, queries, key):
    """Codes are moved and not made again: rows have their bits, and equal scores their rows in some order."""
    index = make(vectors, key)
    live = np.setdiff1d(np.arange(2000), np.arange(0, 2000, 7)) * 3
    before, decoded = index.search(queries, 30, nprobe=3), index.vectors(live)
    index.compact(by_list=4)
    after = index.search(queries, 30, nprobe=3)
    assert len(index) == len(live)
    np.testing.assert_array_equal(index.vectors(live), decoded)
    np.testing.assert_array_equal(after[0], before[0])
    for scores, ids, others in zip(after[0], after[1], before[1], strict=True):
        for score in np.unique(scores)[1:]:  # the lowest may be cut off at different rows
            assert set(ids[scores == score]) == set(others[scores == score])
    assert [record.attributes["year"] for record in index.get(live[:5])] == [
        int(row // 3) for row in live[:5]
    ]


def test_once_more_changes_nothing_and_new_rows_are_taken_in(tmp_path, vectors, queries):
    index = make(vectors, "IVF8,PQ4")
    assert index.compact(by_list=3).segments_after == 3
    index.save(tmp_path / "a")
    again = cc.open_index(tmp_path / "a")
    assert again.compact(by_list=3).rewritten == 0
    again.add(np.load(vectors)[:100], np.arange(100) + 10_000)
    again.save(tmp_path / "b")
    with open_sharded(tmp_path / "b") as many:  # a segment of all lists beside those of some
        assert len(many.shards) == 4
        same_hits(many, again, queries, nprobe=2)
    assert again.compact(by_list=3).segments_after == 3
    again.compact(segments=1)
    assert len(again.segments) == 1 and len(again) == 2000 - 286 + 100


def test_text_ids_texts_and_attributes_go_with_their_rows(tmp_path, vectors, queries):
    names = [f"row {number}" for number in range(2000)]
    index = make(vectors, "IVF8,SQ8", ids=names)
    index.compact(by_list=4)
    index.save(tmp_path / "i")
    one = cc.open_index(tmp_path / "i")
    found = one.get(["row 1", "row 1999", "row 1000"])
    assert [record.attributes["year"] for record in found] == [1, 39, 0]
    with open_sharded(tmp_path / "i") as many:
        same_hits(many, one, queries, filter=["row 3", "row 1999", "nobody"])


def test_health_does_not_take_parts_for_rows_that_were_added(vectors):
    x = np.load(vectors)
    index = cc.index_factory("IVF8,PQ4", DIM).train(x).add(x)
    before = {item.name: item.value for item in index.health().items}
    index.compact(by_list=4)
    after = index.health()
    assert after.state == "ok"
    values = {item.name: item.value for item in after.items}
    for name in ("occupancy", "cost", "code error"):
        assert values[name] == pytest.approx(before[name], rel=1e-6)
    index.add(x[:600] + 6, np.arange(5000, 5600))  # rows of another kind
    changed = {item.name: item for item in index.health().items}
    assert changed["occupancy"].state == "retrain" and "(23.1% of all)" in changed["occupancy"].sentence


def test_only_owners_are_asked(tmp_path, vectors, queries, monkeypatch):
    index = make(vectors, "IVF8,SQ8")
    index.compact(by_list=4)
    index.save(tmp_path / "i")
    with open_sharded(tmp_path / "i") as many:
        asked = np.zeros(4, dtype=int)

        def counting(number, answer):
            def answered(method, *arguments):
                if method in ("scan", "scan_passing"):
                    asked[number] += len(arguments[1 if method == "scan" else 2])
                return answer(method, *arguments)

            return answered

        for number, reader in enumerate(many._group._readers):
            monkeypatch.setattr(reader, "answer", counting(number, reader.answer))
        partition = index.pipeline.partition
        lists = partition.probe(index.pipeline.project_queries(index.pipeline.base_rows(queries)), 2).lists
        held = np.array([segment.list_sizes(8) > 0 for segment in index.segments])
        wanted = [int(held[part][lists].any(axis=1).sum()) for part in range(4)]
        many.search(queries, 10, nprobe=2)
        assert asked.tolist() == wanted and 0 < sum(wanted) <= 2 * len(queries)
        asked[:] = 0
        many.search(queries, 10, nprobe=2, filter="half == 1")
        assert 0 < asked.sum() < 4 * len(queries)
        owner = int(np.flatnonzero(held[:, lists[0, 0]])[0])
        other = (owner + 1) % 4

        def broken(*arguments):
            raise OSError("the disk is gone")

        monkeypatch.setattr(many._group._readers[other], "answer", broken)
        many.search(queries[0], 3, nprobe=1)  # which that shard is not asked about
        with pytest.raises(ShardUnavailableError, match=f"shard {other}"):
            many.search(queries, 3, nprobe=8)


def test_parts_by_hand():
    """Two groups of lists far apart; a list that finds its part full goes to the other."""
    centroids = np.float32([[0, 0], [0, 1], [9, 9], [9, 8]])
    near = list_parts(centroids, np.array([5, 5, 5, 5]), 2)
    assert near[0] == near[1] != near[2] == near[3]
    full = list_parts(centroids, np.array([100, 100, 1, 1]), 2)
    assert full[0] != full[1]


@pytest.mark.parametrize("seed", range(5))
def test_parts_are_of_similar_size(seed):
    rng = np.random.default_rng(seed)
    centroids, sizes = rng.standard_normal((200, 8)), rng.integers(0, 50, size=200)
    parts = list_parts(centroids, sizes, 7)
    rows = np.bincount(parts, weights=sizes, minlength=7)
    assert rows.max() <= SLACK * sizes.sum() / 7 + 50 and rows.sum() == sizes.sum()


def test_the_same_bytes_for_any_cut_of_the_same_rows(tmp_path, vectors):
    x = np.load(vectors)
    for number, cuts in enumerate(((0, 2000), (0, 700, 701, 2000))):
        index = cc.index_factory("IVF8,PQ4x4,RFlat", DIM).train(x)
        for start, stop in pairwise(cuts):
            index.add(x[start:stop])
        index.compact(by_list=3)
        index.save(tmp_path / str(number))
    assert contents(tmp_path / "0") == contents(tmp_path / "1")


def test_what_cannot_be_cut(vectors):
    x = np.load(vectors)
    flat = cc.index_factory("SQ8", DIM).train(x).add(x)
    with pytest.raises(UsageError, match="rows lie in one list each"):
        flat.compact(by_list=2)
    documents = cc.index_factory("Pool4(ward),IVF8,SQ8", DIM).train(x, lengths=[20] * 100)
    with pytest.raises(UsageError, match="searched by shards as they are"):
        documents.compact(by_list=2)
    index = cc.index_factory("BIVF8(cap=1.1),SQ8", DIM).train(x)
    assert index.compact(by_list=2).segments_after == 0
    with pytest.raises(UsageError, match="by_list=9, but there are 8 lists"):
        index.compact(by_list=9)
    with pytest.raises(UsageError, match="rebalance first"):
        index.compact(by_list=2, rebalance=True)
    with pytest.raises(UsageError, match="by_list"):
        index.compact(by_list=0)
