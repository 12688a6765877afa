"""compact(rebalance=True): the bound of balanced lists holds again after deletions, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.indexes.segments.segment import list_sizes

DIM = 16


def shrunk(rows, key="BIVF8(cap=1.2),PQ4", metric="ip", kept=40):
    """An index of three segments of which only the rows of a few lists are left."""
    index = cc.index_factory(key, DIM, metric).train(rows)
    for start in range(0, 600, 200):
        index.add(rows[start : start + 200])
    index.nprobe = 8
    order = np.argsort(_lists(index), kind="stable")
    index.delete(np.sort(order[150:]))  # whole lists, so that the others are too long
    return index


def _lists(index):
    found = [
        segment.vectors(index.pipeline).lists(np.arange(segment.list_sizes(8).sum()))
        for segment in index.segments
    ]
    return np.concatenate(found)


KEYS = (
    "BIVF8(cap=1.2),PQ4",
    "BIVF8,PQ4x4",
    "BIVF8(cap=1),SQ8",
    "OPQ4,BIVF8(cap=1.2),PQ4x4,RFlat",
    "BIVF8,Flat",
    "RR,BIVF8,RaBitQ4",
)


@pytest.mark.parametrize("metric", ["ip", "l2", "cosine"])
@pytest.mark.parametrize("key", KEYS)
def test_the_bound_holds_again(rows, key, metric):
    index, plain = (shrunk(rows, key, metric) for _ in range(2))
    before = plain.compact(segments=2, dead=0)
    bound = -(-round(1000 * index.spec.partition.cap) * 150 // 8000)
    assert before.lists.exceeded_by > 0 and before.lists.bound == bound and before.moved == 0
    report = index.compact(segments=2, dead=0, rebalance=True)
    sizes = list_sizes(index.segments, 8)
    assert report.lists.exceeded_by == 0 and sizes.max() <= bound and sizes.sum() == 150
    assert report.moved == np.maximum(list_sizes(plain.segments, 8) - bound, 0).sum()
    assert report.encoded == (report.moved if index.pipeline.uses_residuals else 0)
    assert index.ids.tolist() == plain.ids.tolist() and report.rows == 150

    # Rows that stayed keep lists and codes, and those that moved were the last of their lists.
    one, two = _lists(plain), _lists(index)
    rank = np.array([np.count_nonzero(one[:i] == one[i]) for i in range(150)])
    assert np.array_equal(one != two, rank >= bound)
    same, moved = index.ids[one == two], index.ids[one != two]
    assert np.array_equal(index.vectors(same), plain.vectors(same))
    if not report.encoded or index.spec.refine is not None:
        assert np.array_equal(index.vectors(moved), plain.vectors(moved))
    else:  # codes of the residuals, to the new centroids, of what the old codes stand for
        pipeline, lists = index.pipeline, two[one != two]
        vectors = [segment.vectors(pipeline) for segment in plain.segments]
        whole = np.concatenate([part.projected(np.arange(part.n)) for part in vectors])[one != two]
        codes = pipeline.codes(whole, lists)
        wanted = pipeline.take_back(pipeline.codec.decode(codes) + pipeline.partition.centroids[lists])
        assert np.array_equal(index.vectors(moved), wanted) and not np.array_equal(wanted, whole)
    assert index.compact(segments=2, dead=0, rebalance=True).moved == 0


def test_the_best_list_with_room(rows):
    """By plain code: rows beyond the bound are placed in order of adding, each into its best list with room."""
    index, plain = (shrunk(rows, "BIVF8(cap=1.2),Flat", "l2") for _ in range(2))
    plain.compact(segments=1, dead=0)
    index.compact(segments=1, dead=0, rebalance=True)
    lists, partition, bound = _lists(plain), plain.pipeline.partition, 23
    x = plain.vectors(plain.ids).astype(np.float64)
    cost = ((x[:, None] - partition.centroids.astype(np.float64)) ** 2).sum(axis=2) / 2 + partition.prices
    held = np.minimum(np.bincount(lists, minlength=8), bound)
    for i in range(150):
        if (
            np.count_nonzero(lists[:i] == lists[i]) >= bound
        ):  # also counts rows that moved away: they came later
            best = next(j for j in np.argsort(cost[i]) if held[j] < bound)
            held[best] += 1
            assert _lists(index)[i] == best


def test_deleted_rows_that_stay_and_saved_folders(rows, tmp_path):
    index = shrunk(rows)
    index.save(tmp_path / "a")
    opened = cc.open_index(tmp_path / "a")
    report = opened.compact(segments=2, dead=1, rebalance=True)
    assert report.deleted > 0 and report.lists.exceeded_by == 0
    assert opened.ids.tolist() == index.ids.tolist() and opened.n_deleted == report.deleted
    opened.save(tmp_path / "a")
    again = cc.open_index(tmp_path / "a", verify=True)
    assert np.array_equal(again.search(rows, 5)[0], opened.search(rows, 5)[0])
    assert cc.verify_index(tmp_path / "a") == []


def test_documents(rows):
    x = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    index = cc.index_factory("Pool(f=1),BIVF8(cap=1.2),PQ4", DIM).train(x, lengths=np.full(150, 4))
    index.add(x[:400], lengths=np.full(100, 4)).add(x[400:], lengths=np.full(50, 4))
    lists = _lists(index).reshape(150, 4)
    index.delete(np.flatnonzero(~(lists < 3).any(axis=1)))
    kept = len(index)
    assert index.compact(segments=2, dead=0).lists.exceeded_by > 0
    report = index.compact(segments=2, dead=0, rebalance=True)
    assert report.lists.exceeded_by == 0 and report.moved == report.encoded > 0 and len(index) == kept
    assert index.vectors(index.ids)[1].tolist() == [4] * kept


@pytest.mark.parametrize("key", ["IVF8,PQ4", "PQ4", "Flat"])
def test_lists_without_a_bound_are_refused(rows, key):
    index = cc.index_factory(key, DIM).train(rows).add(rows)
    segments = index.segments
    with pytest.raises(cc.UsageError, match=r"balanced lists \(BIVF\), but the key '" + key):
        index.compact(rebalance=True)
    assert index.segments is segments


def test_texts_and_attributes_stay(rows, tmp_path):
    index = cc.index_factory("BIVF8(cap=1.2),PQ4", DIM).train(rows)
    index.declare_attributes({"owner": cc.Field("text", tenant=True)})
    owners = {"owner": [f"t{i % 3}" for i in range(600)]}
    index.add(rows[:600], attributes=owners, documents=[f"text {i}" for i in range(600)])
    index.delete(np.sort(np.argsort(_lists(index), kind="stable")[150:]), tenant=None)
    assert index.compact(segments=1, dead=0, rebalance=True).moved
    index.save(tmp_path / "i")
    opened = cc.open_index(tmp_path / "i", verify=True)
    for record in opened.get(opened.ids, tenant=None):
        assert record.text == f"text {record.id}" and record.attributes == {"owner": f"t{record.id % 3}"}
    assert (opened.search(rows[:5], 9, tenant="t1")[1] % 3 == 1).all()
