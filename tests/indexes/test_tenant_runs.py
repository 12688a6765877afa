"""Rows by text, which tenants are found by: worked by hand, and equal to what a look at all rows finds."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.attributes import Attributes, make_attributes
from cluscomp.attributes.columns import joined
from cluscomp.attributes.runs import Runs
from cluscomp.errors import CorruptIndexError
from cluscomp.indexes.filters.answers import AnswerCache
from cluscomp.indexes.segments.row_sets import RowSet
from cluscomp.indexes.verify import verify_index

KEYS = ("IVF8,SQ8", "IVF8,PQ4x4,RFlat", "Flat", "Sparse(bm25)")
RUNS = ("attr.owner.rows.npy", "attr.owner.row_starts.npy")


def named(values):
    return make_attributes({"owner": values}).by_text("owner")["owner"]


def test_runs_by_hand():
    column = named(["b", None, "a", "b", "c", "a", None, "b"])
    assert column.runs.rows.tolist() == [2, 5, 0, 3, 7, 4] and column.runs.rows.dtype == np.int32
    assert column.runs.starts.tolist() == [0, 2, 5, 6]
    assert column.rows_with("b", 3).tolist() == [0, 3, 7] and column.rows_with("b", 2) is None
    assert column.rows_with("nobody", 0).tolist() == []
    assert make_attributes({"owner": ["a"]})["owner"].rows_with("a", 9) is None  # not kept by text
    taken = column.take(np.array([7, 1, -1, 2]))
    assert taken.runs.rows.tolist() == [3, 0] and taken.runs.starts.tolist() == [0, 1, 2]
    both = joined([column, named(["c", "d"])])
    assert both.runs.rows.tolist() == [2, 5, 0, 3, 7, 4, 8, 9] and both.rows_with("d", 1).tolist() == [9]
    assert named([None, None, "x"]).take(np.array([0])).runs.starts.tolist() == [0]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("rows", [2, 5, 0, 3, 6, 4]),  # of nobody
        ("rows", [2, 5, 0, 3, 2, 4]),  # of another
        ("rows", [2, 5, 3, 0, 7, 4]),  # not ascending
        ("rows", [2, 5, 0, 3, 8, 4]),  # no row
        ("rows", [2, 5, -1, 3, 7, 4]),
        ("starts", [0, 2, 7, 6]),
        ("starts", [0, -2, 5, 6]),
        ("starts", [0, 5, 2, 6]),
    ],
)
def test_runs_of_a_damaged_file_show_no_rows(name, values):
    column = named(["b", None, "a", "b", "c", "a", None, "b"])
    wrong = replace(column.runs, **{name: np.array(values, dtype=getattr(column.runs, name).dtype)})
    with pytest.raises(CorruptIndexError, match="does not hold its rows"):
        replace(column, stored_runs=wrong).rows_with("b", 100)
    assert "runs of rows are not those of the values" in replace(column, stored_runs=wrong).fault()


def test_sets_of_rows():
    rng = np.random.default_rng(0)
    for n in (1, 8, 77, 1000):
        a, b = (np.sort(rng.choice(n, rng.integers(0, n + 1), replace=False)) for _ in range(2))
        for one in (RowSet(n, positions=a), RowSet(n, bits=RowSet(n, positions=a).bits), RowSet.of(n, a)):
            assert one.count == len(a) and one.positions.tolist() == a.tolist()
            other = RowSet(n, positions=b).bits
            assert one.within(other).positions.tolist() == np.intersect1d(a, b).tolist()
            assert one.without(other).positions.tolist() == np.setdiff1d(a, b).tolist()
            assert one.within(other).is_few == one.is_few


# ---- indexes ----


def two_ways(key, n=600, dim=16):
    """An index of 40 tenants of unequal size, whose names also stand in a column without runs."""
    rng = np.random.default_rng(0)
    owners = [f"t{int(o)}" for o in rng.zipf(1.3, n) % 40]
    rows = [f"word{i % 7} leaf{i % 3}" for i in range(n)]
    index = cc.index_factory(key, dim) if not key.startswith("Sparse") else cc.index_factory(key, 1)
    if not key.startswith("Sparse"):
        rows = rng.standard_normal((n, dim)).astype("f4")
    index.train(rows).declare_attributes({"owner": cc.Field("text", tenant=True), "other": "text"})
    for part in (slice(0, n // 2), slice(n // 2, n)):
        names = owners[part]
        index.add(rows[part], attributes={"owner": names, "other": names})
    return index, rows, owners


def same_answers(index, queries):
    for tenant in [*(f"t{i}" for i in range(40)), "nobody"]:
        for extra in (None, {"op": "!=", "field": "other", "value": "t3"}):
            by_run = index.search(queries, 9, tenant=tenant, filter=extra, return_info=True)
            plain = {"op": "==", "field": "other", "value": tenant}
            condition = plain if extra is None else {"op": "and", "args": [plain, extra]}
            by_look = index.search(queries, 9, tenant=None, filter=condition, return_info=True)
            for a, b in zip(by_run[:2], by_look[:2], strict=True):
                np.testing.assert_array_equal(a, b)
            assert by_run[2].allowed.tolist() == by_look[2].allowed.tolist()
            assert by_run[2].rows_scored.tolist() == by_look[2].rows_scored.tolist()


@pytest.mark.parametrize("key", KEYS)
def test_tenants_find_what_a_look_at_all_rows_finds(key, tmp_path):
    index, rows, _ = two_ways(key)
    queries = rows[:3]
    same_answers(index, queries)
    index.delete(np.arange(0, 600, 7), tenant=None)
    moved = np.arange(1, 600, 7)
    index.set_attributes(moved, {"owner": ["t3"] * len(moved), "other": ["t3"] * len(moved)})
    same_answers(index, queries)
    index.save(tmp_path / "i")
    assert {name[18:] for name in index.origin.manifest.files} >= set(RUNS)
    opened = cc.open_index(tmp_path / "i", verify=True)
    same_answers(opened, queries)
    opened.upsert(rows[:20], np.arange(20), attributes={"owner": ["t1"] * 20, "other": ["t1"] * 20})
    same_answers(opened, queries)
    opened.compact(segments=1, dead=0.0)
    same_answers(opened, queries)
    opened.save(tmp_path / "i")
    assert verify_index(tmp_path / "i", "deep") == []
    assert sum(file.endswith(RUNS) for file in opened.origin.manifest.files) == 2
    same_answers(cc.open_index(tmp_path / "i"), queries)


def test_folders_without_runs_are_read_and_get_them_when_compacted(tmp_path):
    index, rows, _ = two_ways("IVF8,SQ8")
    index._segments = tuple(
        segment.described(
            Attributes(
                {name: replace(column, grouped=False) for name, column in segment.attributes.columns.items()},
                segment.n_rows,
            )
        )
        for segment in index.segments
    )
    index.save(tmp_path / "old")
    assert not any(file.endswith(RUNS) for file in index.origin.manifest.files)
    opened = cc.open_index(tmp_path / "old", verify=True)
    same_answers(opened, rows[:3])
    opened.save(tmp_path / "old")
    assert verify_index(tmp_path / "old", "deep") == []
    opened.compact(segments=1)
    opened.save(tmp_path / "old")
    assert sum(file.endswith(RUNS) for file in opened.origin.manifest.files) == 2
    same_answers(cc.open_index(tmp_path / "old", verify=True), rows[:3])


def test_damaged_runs_are_found(tmp_path):
    index, rows, _ = two_ways("IVF8,SQ8")
    index.save(tmp_path / "i")
    file = next(path for path in tmp_path.glob("i/*.attr.owner.rows.npy"))
    array = np.load(file, mmap_mode="r+")
    array[:] = array[::-1].copy()
    array.flush()
    faults = verify_index(tmp_path / "i", "deep")
    assert any("runs of rows" in fault.message for fault in faults)
    with pytest.raises(CorruptIndexError, match="does not hold its rows"):
        for tenant in range(40):
            cc.open_index(tmp_path / "i").search(rows[:1], 3, tenant=f"t{tenant}")
    manifest = json.loads((tmp_path / "i" / "manifest.json").read_text())
    manifest["files"] = {name: entry for name, entry in manifest["files"].items() if name != file.name}
    (tmp_path / "i" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CorruptIndexError, match=r"missing \['.*attr\.owner\.rows"):
        cc.open_index(tmp_path / "i")


def test_many_small_answers_are_kept_and_few_large_ones():
    index, rows, _ = two_ways("IVF8,SQ8")
    for tenant in range(40):
        index.search(rows[:1], 3, tenant=f"t{tenant}")
    assert len(index._answers) == 40
    few = AnswerCache(some=3, limit=0)
    index._answers = few
    for tenant in range(40):
        index.search(rows[:1], 3, tenant=f"t{tenant}")
    assert len(few) == 3
    index.delete([1], tenant=None)
    index.search(rows[:1], 3, tenant="t5")
    assert len(few) == 1


def test_large_runs_are_looked_up_as_others_are():
    runs = Runs.of(np.array([0, 1, 0, 0]), np.zeros(4, bool), 2)
    assert [runs.count(0), runs.count(1)] == [3, 1]
    index, _rows, owners = two_ways("IVF8,SQ8")
    most = max(set(owners), key=owners.count)
    allowed = index._allowed_by(index._together, None, most)
    assert [rows.is_few for rows in allowed.rows] == [False, False] and allowed.n == owners.count(most)
    least = min(set(owners), key=owners.count)
    assert any(one.is_few for one in index._allowed_by(index._together, None, least).rows)
