"""Several owners of one folder: `save(merge=True)`, `writer()`, and states of older generations."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from object_bucket import fresh

from cluscomp.errors import (
    CorruptIndexError,
    DiskFullError,
    DTypeError,
    DuplicateIdError,
    IndexChangedError,
    IndexLockedError,
    IndexMissingError,
    UsageError,
)
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.storage.commit import FolderCommit
from cluscomp.indexes.storage.lock import writer_lock
from cluscomp.indexes.verify import verify_index

DIM = 16


@pytest.fixture
def saved(make_index, tmp_path) -> Path:
    make_index("IVF8,SQ8", ids=[f"r{row}" for row in range(600)]).save(tmp_path / "index")
    return tmp_path / "index"


@pytest.fixture(params=["folder", "store"])
def place(request, make_index, tmp_path, monkeypatch) -> Any:
    """The index in a folder, and in an object store."""
    if request.param == "folder":
        return request.getfixturevalue("saved")
    pytest.importorskip("obstore")
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    address = fresh("owners")
    make_index("IVF8,SQ8", ids=[f"r{row}" for row in range(600)]).save(address)
    return address


def same_answers(one: Any, two: Any, queries: np.ndarray) -> None:
    for got, wanted in zip(one.search(queries, 9), two.search(queries, 9), strict=True):
        np.testing.assert_array_equal(got, wanted)


# ---- merge ----


def test_what_both_sides_did_is_joined(place, rows, queries, make_index) -> None:
    mine, theirs = open_index(place), open_index(place)
    theirs.add(rows[:5], [f"theirs{row}" for row in range(5)])
    theirs.delete(["r1", "r2"])
    theirs.save(place)
    theirs.upsert(rows[:1], ["r9"])
    theirs.save(place)
    mine.add(rows[5:9], [f"mine{row}" for row in range(4)])
    mine.delete(["r2", "r3", "mine0"])
    mine.upsert(rows[9:10], ["r4"])
    mine.save(place, merge=True)
    assert mine.generation == 4 and not mine.has_changes
    once = make_index("IVF8,SQ8", ids=[f"r{row}" for row in range(600)])
    once.add(rows[:5], [f"theirs{row}" for row in range(5)])
    once.delete(["r1", "r2", "r3"])
    once.upsert(rows[:1], ["r9"])
    once.add(rows[5:9], [f"mine{row}" for row in range(4)])
    once.delete(["mine0"])
    once.upsert(rows[9:10], ["r4"])
    for index in (mine, open_index(place, verify=True)):
        assert index.ids.tolist() == once.ids.tolist()
        same_answers(index, once, queries)
    assert verify_index(place) == []
    assert theirs.refresh() and theirs.ids.tolist() == once.ids.tolist()


def test_deletions_reach_rows_that_another_writer_moved(place, rows) -> None:
    mine, theirs = open_index(place), open_index(place)
    theirs.delete(["r1"])
    theirs.compact(segments=1, dead=0)
    theirs.save(place)
    mine.delete(["r0", "r1", "r7"])
    mine.save(place, merge=True)
    assert mine.ids.tolist() == [f"r{row}" for row in range(600) if row not in (0, 1, 7)]
    assert open_index(place).ids.tolist() == mine.ids.tolist()


def test_an_id_that_both_added_is_refused_and_nothing_changes(saved, rows) -> None:
    mine, theirs = open_index(saved), open_index(saved)
    theirs.upsert(rows[:1], ["r5"])
    theirs.add(rows[:1], ["new"])
    theirs.save(saved)
    mine.add(rows[:2], ["other", "new"])
    before = (mine.generation, mine.ids.tolist(), {file.name for file in saved.iterdir()})
    with pytest.raises(DuplicateIdError, match=r"id 'new' was added by another writer .*\(1 of 2 ids were\)"):
        mine.save(saved, merge=True)
    assert before == (mine.generation, mine.ids.tolist(), {file.name for file in saved.iterdir()})
    with pytest.raises(IndexChangedError):
        mine.save(saved)
    mine.delete(["new"])
    mine.save(saved, merge=True)
    assert len(open_index(saved)) == 602
    late = open_index(saved, generation=1)
    late.upsert(rows[:1], ["r5"])  # both replaced r5
    with pytest.raises(DuplicateIdError, match="'r5'"):
        late.save(saved, merge=True)


def test_numbers_that_both_gave_are_such_ids(trained, rows, tmp_path) -> None:
    trained("SQ8").add(rows[:10]).save(tmp_path / "i")
    mine, theirs = open_index(tmp_path / "i"), open_index(tmp_path / "i")
    theirs.add(rows[:2]).save(tmp_path / "i")
    mine.add(rows[:2])
    with pytest.raises(DuplicateIdError, match="id 10 was added by another writer"):
        mine.save(tmp_path / "i", merge=True)
    mine = open_index(tmp_path / "i").add(rows[:2])
    mine.save(tmp_path / "i", merge=True)
    assert mine.ids.tolist() == list(range(14)) and mine.add(rows[:1]).ids[-1] == 14


def test_kinds_of_ids_of_an_empty_index(trained, rows, tmp_path) -> None:
    trained("SQ8").save(tmp_path / "i")
    mine, other, theirs = (open_index(tmp_path / "i") for _ in range(3))
    theirs.add(rows[:1], ["a"]).save(tmp_path / "i")
    with pytest.raises(DTypeError, match="the index has str ids, but these are int64"):
        mine.add(rows[:1]).save(tmp_path / "i", merge=True)
    other.add(rows[:1], ["b"]).save(tmp_path / "i", merge=True)
    assert open_index(tmp_path / "i").ids.tolist() == ["a", "b"]
    assert other.id_kind == "str"


def test_settings_and_encoder_are_joined(place) -> None:
    mine, theirs = open_index(place), open_index(place)
    theirs.nprobe, theirs.refine_factor = 3, 7
    theirs.encoder = {"name": "e"}
    theirs.save(place)
    mine.nprobe = 5
    mine.save(place, merge=True)
    found = open_index(place)
    assert (found.nprobe, found.refine_factor, found.encoder) == (5, 7, {"name": "e"})


def test_compaction_here_is_not_joined_with_changes_elsewhere(place, rows) -> None:
    mine, theirs = open_index(place), open_index(place)
    mine.delete(["r1"])
    mine.compact(segments=1, dead=0)
    theirs.add(rows[:1], ["new"]).save(place)
    with pytest.raises(IndexChangedError, match="was compacted here"):
        mine.save(place, merge=True)
    theirs.compact(segments=1)
    theirs.save(place, merge=True)  # nobody was there in between
    assert len(open_index(place)) == 601


def test_merge_where_there_is_nothing_to_join(place, rows, tmp_path) -> None:
    index = open_index(place).add(rows[:1], ["new"])
    index.save(place, merge=True)
    index.save(tmp_path / "elsewhere", merge=True)
    assert len(open_index(place)) == len(open_index(tmp_path / "elsewhere")) == 601
    with pytest.raises(UsageError, match="pass one of them"):
        index.save(place, merge=True, if_exists="replace")
    index_factory("SQ8", DIM).train(rows).add(rows).save(place, if_exists="replace")
    index.add(rows[:1], ["newer"])
    with pytest.raises(UsageError, match="holds an index of key 'SQ8' now"):
        index.save(place, merge=True)


def test_a_failed_write_after_joining_changes_nothing_in_memory(saved, rows, monkeypatch) -> None:
    mine = open_index(saved)
    open_index(saved).add(rows[:2], ["t0", "t1"]).save(saved)
    mine.add(rows[:1], ["m0"])
    mine.nprobe = 2

    def fail(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FolderCommit, "publish", fail)
    with pytest.raises(DiskFullError, match="is full"):
        mine.save(saved, merge=True)
    assert (len(mine), mine.generation, mine.nprobe) == (601, 1, 2)
    monkeypatch.undo()
    mine.save(saved, merge=True)
    assert len(open_index(saved)) == 603


def test_an_index_saved_elsewhere_joins_there_too(place, rows, tmp_path) -> None:
    index = open_index(place)
    index.save(tmp_path / "b")
    open_index(tmp_path / "b").add(rows[:1], ["b"]).save(tmp_path / "b")
    open_index(place).add(rows[:1], ["a"]).save(place)
    index.add(rows[:1], ["mine"])
    index.save(tmp_path / "b", merge=True)
    assert open_index(tmp_path / "b").ids[600:].tolist() == ["b", "mine"]
    assert len(open_index(place)) == 601


def test_a_copy_joins_as_the_original_would(place, rows) -> None:
    index = open_index(place).add(rows[:1], ["mine"])
    other = pickle.loads(pickle.dumps(index))  # noqa: S301 - made by this test
    other.delete(["r0", "mine"])
    index.save(place)
    other.save(place, merge=True)
    assert open_index(place).ids.tolist() == [*[f"r{row}" for row in range(1, 600)], "mine"]


def test_old_folders_are_joined_as_well(tmp_path) -> None:
    source = Path(__file__).with_name("format2")
    name = next(path.name for path in sorted(source.iterdir()) if path.is_dir() and path.name != "documents")
    shutil.copytree(source / name, tmp_path / "i")
    mine, theirs = open_index(tmp_path / "i"), open_index(tmp_path / "i")
    first, second, third = mine.ids[:3].tolist()
    theirs.delete([first])
    theirs.save(tmp_path / "i")
    mine.delete([first, second])
    mine.save(tmp_path / "i", merge=True)
    assert mine.generation == 2 and mine.ids[0] == third
    assert verify_index(tmp_path / "i") == []


# ---- writer ----


def test_a_writer_begins_from_the_newest_state_and_saves(saved, rows) -> None:
    index = open_index(saved)
    open_index(saved).add(rows[:1], ["other"]).save(saved)
    with index.writer() as writing:
        assert writing is index and len(index) == 601
        index.add(rows[:1], ["mine"])
        with pytest.raises(IndexLockedError):
            open_index(saved).add(rows[:1], ["late"]).save(saved, wait=0)
        index.delete(["r0"])
        index.save(saved)  # holds the lock already
        index.delete(["r1"])
    assert index.generation == 4 and len(open_index(saved)) == 600
    with index.writer():
        pass
    assert index.generation == 4


def test_an_error_inside_puts_everything_back(place, rows, queries) -> None:
    index = open_index(place)
    before = index.search(queries, 9)
    with pytest.raises(ZeroDivisionError), index.writer():
        index.add(rows[:1], ["mine"])
        index.delete(["r0"])
        index.nprobe = 1
        raise ZeroDivisionError
    assert (len(index), index.generation, index.has_changes) == (600, 1, False)
    for got, wanted in zip(index.search(queries, 9), before, strict=True):
        np.testing.assert_array_equal(got, wanted)
    with index.writer():
        index.add(rows[:1], ["mine"])
    assert len(open_index(place)) == 601


def test_a_writer_waits_and_refuses(saved, rows, trained) -> None:
    index = open_index(saved)
    with writer_lock(saved), pytest.raises(IndexLockedError, match="waited 0.05"), index.writer(wait=0.05):
        pytest.fail("not alone")
    with pytest.raises(UsageError, match="no folder yet"), trained("SQ8").writer():
        pytest.fail("no folder")
    index.add(rows[:1], ["mine"])
    open_index(saved).delete(["r0"])
    other = open_index(saved)
    other.delete(["r0"])
    other.save(saved)
    with pytest.raises(UsageError, match="were not saved"), index.writer():
        pytest.fail("unsaved changes")
    other.save(saved, wait=0)  # nobody holds the lock


# ---- older generations ----


def test_older_generations_open_while_their_files_are_there(place, rows, queries) -> None:
    index = open_index(place)
    answers = {1: index.search(queries, 9)}
    for generation in (2, 3, 4):
        index.add(rows[:3], [f"{generation}.{row}" for row in range(3)])
        index.delete([f"r{generation}"])
        if generation == 4:
            index.compact(segments=1, dead=0)
        index.save(place)
        answers[generation] = index.search(queries, 9)
    for generation, wanted in answers.items():
        opened = open_index(place, generation=generation, verify=True)
        assert opened.generation == generation
        for got, expected in zip(opened.search(queries, 9), wanted, strict=True):
            np.testing.assert_array_equal(got, expected)
    old = open_index(place, generation=2)
    old.delete(["r9"])
    with pytest.raises(IndexChangedError, match="from generation 2, and there is generation 4 now"):
        old.save(place)
    old.save(place, merge=True)
    assert old.generation == 5 and len(open_index(place)) == 605
    follower = open_index(place, generation=1)
    assert follower.refresh() and follower.generation == 5
    with pytest.raises(IndexMissingError, match="has no generation 9: it is at 5, .* there are: 1, 2, 3, 4"):
        open_index(place, generation=9)
    index = open_index(place)
    index.delete(["r10"])
    index.save(place, grace=0)
    with pytest.raises(IndexMissingError, match="has no generation 2: it is at 6, .* there are: none"):
        open_index(place, generation=2)
    for wrong in (-1, "1", 1.5):
        with pytest.raises(UsageError, match="generation"):
            open_index(place, generation=wrong)  # type: ignore[arg-type]


def test_a_manifest_of_another_generation_is_damaged(saved, rows) -> None:
    open_index(saved).add(rows[:1], ["new"]).save(saved)
    shutil.copy(saved / "manifest.json", saved / "manifest.7.json")
    with pytest.raises(CorruptIndexError, match=r"manifest\.7\.json says that it is of generation 2"):
        open_index(saved, generation=7)
