"""Commits into the folder where an index stands: generations, what they write, what they retire, `refresh`."""

from __future__ import annotations

import os
import pickle
import shutil
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stored_files import contents, file_of, manifest_of, what_of

from cluscomp import merge_indexes
from cluscomp.errors import (
    CorruptIndexError,
    IndexChangedError,
    IndexMissingError,
    OutputExistsError,
    UsageError,
)
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.segments.tombstones import Tombstones
from cluscomp.indexes.storage import staging
from cluscomp.indexes.storage.deletions import deletions_spec, read_deletions
from cluscomp.indexes.storage.names import segment_name, trained_mark
from cluscomp.indexes.verify import verify_index

FORMAT_2 = Path(__file__).with_name("format2")


def same_answers(one: Any, two: Any, queries: np.ndarray) -> None:
    for got, wanted in zip(one.search(queries, 9), two.search(queries, 9), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.fixture
def saved(make_index, tmp_path) -> Path:
    make_index("IVF8,PQ4").save(tmp_path / "index")
    return tmp_path / "index"


# ---- what a commit writes ----


def test_names_come_from_contents_alone(trained, rows, tmp_path) -> None:
    index = trained("IVF8,PQ4").add(rows)
    index.save(tmp_path / "a")
    manifest = manifest_of(tmp_path / "a")
    (segment,) = manifest["segments"]
    sums = {
        name.split(".")[1]: entry["sha256"]
        for name, entry in manifest["files"].items()
        if name.startswith(segment["name"])
    }
    assert segment["name"] == segment_name(sums, "range", 0)
    assert manifest["trained"] == trained_mark(open_index(tmp_path / "a").pipeline)
    # in two commits, from another folder, and at once: the same names and bytes
    other = trained("IVF8,PQ4")
    other.save(tmp_path / "b")
    other.add(rows)
    other.save(tmp_path / "b")
    open_index(tmp_path / "b").save(tmp_path / "c")
    assert contents(tmp_path / "c") == contents(tmp_path / "a")


def test_a_commit_counts_one_and_a_save_of_nothing_is_none(saved, rows) -> None:
    index = open_index(saved)
    assert index.generation == manifest_of(saved)["generation"] == 1
    before = contents(saved)
    index.save(saved)
    assert index.generation == 1 and contents(saved) == before
    index.add(rows[:3]).save(saved)
    assert index.generation == manifest_of(saved)["generation"] == 2
    index.nprobe = 3
    index.save(saved)
    assert open_index(saved).generation == 3 and open_index(saved).nprobe == 3
    assert index_factory("Flat", 16).generation is None


def test_files_of_old_segments_stay_in_place(saved, rows) -> None:
    before = {file.name: file.stat() for file in saved.glob("*.npy")}
    index = open_index(saved)
    index.add(rows[:7]).delete([5, 601])
    index.save(saved)
    index.delete([6])
    index.save(saved)
    for name, status in before.items():
        assert os.path.samestat((saved / name).stat(), status)
        assert (saved / name).stat().st_mtime_ns == status.st_mtime_ns
    assert {what_of(saved, name) for name in manifest_of(saved)["files"]} >= {
        "segment0.deleted.npy",
        "segment1.deleted.npy",
    }
    assert manifest_of(saved)["segments"][0]["deletions"].endswith(".del3.npy")
    assert manifest_of(saved)["segments"][1]["deletions"].endswith(".del2.npy")
    assert len(open_index(saved, verify=True)) == 600 + 7 - 3


def test_a_hundred_appends_write_the_bytes_of_their_rows(trained, rows, tmp_path, monkeypatch) -> None:
    """What is written is counted where it is written: 1.2 times the rows added, manifests aside."""
    index = trained("SQfp16")
    index.save(tmp_path / "index")
    written, write = [], staging.SteadyFile.write

    def count(self: Any, data: bytes | memoryview) -> None:
        written.append(len(data))
        write(self, data)

    monkeypatch.setattr(staging.SteadyFile, "write", count)
    for start in range(100):
        index.add(np.roll(rows, start, axis=0)[:200])
        index.save(tmp_path / "index")
    assert 100 * 200 * 32 <= sum(written) <= 1.2 * 100 * 200 * 32
    assert len(open_index(tmp_path / "index", verify=True)) == 20_000


def test_equal_segments_have_names_of_their_own(trained, rows, queries, tmp_path) -> None:
    """Two copies of one segment, of which other rows are deleted, come into one folder by a merge."""
    index = trained("SQ8").add(rows[:4], [3, 1, 8, 5])
    for name, gone in (("a", [3, 1]), ("b", [8, 5])):
        index.save(tmp_path / name)
        half = open_index(tmp_path / name)
        half.delete(gone)
        half.save(tmp_path / name)
    merge_indexes([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    names = [segment["name"] for segment in manifest_of(tmp_path / "all")["segments"]]
    assert names[0] == manifest_of(tmp_path / "a")["segments"][0]["name"] != names[1]
    merged = open_index(tmp_path / "all", verify=True)
    assert merged.ids.tolist() == [8, 5, 3, 1]
    merged.delete([3])
    merged.save(tmp_path / "all")
    assert open_index(tmp_path / "all", verify=True).ids.tolist() == [8, 5, 1]
    assert verify_index(tmp_path / "all") == []


def test_a_segment_without_rows_is_dropped(trained, rows, queries, tmp_path) -> None:
    index = trained("SQ8").add(rows[:10]).add(rows[10:30])
    index.delete(range(10))
    before = index.search(queries, 9)
    index.save(tmp_path / "index")
    assert len(index.segments) == len(manifest_of(tmp_path / "index")["segments"]) == 1
    for got, wanted in zip(index.search(queries, 9), before, strict=True):
        np.testing.assert_array_equal(got, wanted)
    index.delete(range(10, 30))
    index.save(tmp_path / "index")
    empty = open_index(tmp_path / "index")
    assert len(empty) == 0 and empty.add(rows[:1]).ids.tolist() == [30]


def test_too_many_segments_are_refused(trained, rows, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(staging, "MAX_SEGMENTS", 3)
    index = trained("SQ8")
    for row in range(3):
        index.add(rows[row : row + 1])
    index.save(tmp_path / "index")
    index.add(rows[:1])
    before = contents(tmp_path / "index")
    with pytest.raises(UsageError, match=r"4 segments.*at most 3.*compact"):
        index.save(tmp_path / "index")
    assert contents(tmp_path / "index") == before
    index.compact(segments=2)
    index.save(tmp_path / "index")
    assert len(open_index(tmp_path / "index")) == 4


# ---- deleted rows on disk ----


@pytest.mark.parametrize("deleted", [1, 3, 18, 19, 20, 599])
def test_deleted_rows_are_positions_while_these_are_few(make_index, queries, tmp_path, deleted) -> None:
    index = make_index("IVF8,SQ8")
    gone = np.random.default_rng(deleted).permutation(600)[:deleted]
    index.delete(gone)
    index.save(tmp_path / "index")
    stored = np.load(file_of(tmp_path / "index", "segment0.deleted"))
    if 32 * deleted < 600:
        assert stored.dtype == np.int32 and stored.tolist() == sorted(gone.tolist())
    else:
        assert stored.dtype == np.uint8 and stored.shape == (75,)
        bits = [position for position in range(600) if stored[position // 8] >> position % 8 & 1]
        assert bits == sorted(gone.tolist())
    opened = open_index(tmp_path / "index")
    assert (len(opened), opened.n_deleted) == (600 - deleted, deleted)
    if deleted < 500:
        same_answers(opened, index, queries)


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 64, 321])
def test_deleted_rows_come_back_and_wrong_ones_are_refused(rows) -> None:
    rng = np.random.default_rng(rows)
    for count in range(1, rows + 1, 7):
        gone = np.sort(rng.permutation(rows)[:count])
        stored = Tombstones.none(rows).with_deleted(gone).stored()
        spec = deletions_spec(rows, count)
        assert (stored.dtype.str, stored.shape) == (spec.dtype, spec.shape)
        read = read_deletions(stored, rows, count, "f")
        assert read.positions().tolist() == gone.tolist() and read.count == count
        with pytest.raises(CorruptIndexError, match=f"marks {count} deleted rows, not {count + 1}"):
            read_deletions(stored, rows, count + 1, "f")
    if rows % 8:
        with pytest.raises(CorruptIndexError, match="behind the last row"):
            read_deletions(np.full(-(-rows // 8), 255, dtype=np.uint8), rows, rows, "f")


# ---- other writers ----


def test_a_faster_writer_is_told_of_with_both_generations(saved, rows) -> None:
    mine, other = open_index(saved), open_index(saved)
    other.add(rows[:7]).save(saved)
    other.delete([0])
    other.save(saved)
    mine.add(rows[:1])
    before = contents(saved)
    with pytest.raises(IndexChangedError, match="generation 1, and there is generation 3 now") as caught:
        mine.save(saved)
    assert isinstance(caught.value, OutputExistsError) and caught.value.exit_code == 2
    assert contents(saved) == before and len(mine) == 601
    mine.save(saved, if_exists="replace")
    assert len(open_index(saved)) == 601 and mine.generation == 1
    mine.add(rows[:1]).save(saved)
    assert open_index(saved).generation == 2


def test_a_replaced_folder_is_another_state_though_its_generation_is_equal(saved, rows) -> None:
    mine = open_index(saved)
    index_factory("Flat", 16).add(rows[:9]).save(saved, if_exists="replace")
    mine.add(rows[:1])
    with pytest.raises(IndexChangedError, match="generation 1, and there is generation 1 now"):
        mine.save(saved)
    shutil.rmtree(saved)
    mine.save(saved)  # nothing is there any more
    assert len(open_index(saved, verify=True)) == 601


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_read_only_folder_opens_and_follows(saved, rows, queries) -> None:
    wanted = open_index(saved)
    for file in saved.iterdir():
        file.chmod(0o400)
    saved.chmod(0o500)
    try:
        opened = open_index(saved, verify=True)
        assert opened.refresh() is False
        same_answers(opened, wanted, queries)
        assert not (saved / ".lock").exists()
    finally:
        saved.chmod(stat.S_IRWXU)


# ---- refresh ----


def test_refresh_takes_up_what_others_saved_and_keeps_the_maps(saved, rows, queries) -> None:
    reader, writer = open_index(saved), open_index(saved)
    assert reader.refresh() is False
    old = reader.segments[0]
    writer.add(rows[:9]).save(saved)
    assert reader.refresh() is True and reader.refresh() is False
    assert reader.generation == 2 and reader.segments[0] is old
    same_answers(reader, writer, queries)
    writer.delete([3, 604])
    writer.nprobe = 2
    writer.save(saved)
    assert reader.refresh() and reader.nprobe == 2
    assert reader.segments[0] is not old and reader.segments[0].codes is old.codes
    same_answers(reader, writer, queries)
    writer.compact(segments=1, dead=0)
    writer.save(saved)
    assert reader.refresh() and len(reader.segments) == 1
    same_answers(reader, writer, queries)
    reader.add(rows[:1])
    assert reader.ids[-1] == 609
    reader.save(saved)  # it began from the newest generation
    assert reader.generation == 5


def test_refresh_keeps_settings_that_were_changed_here(saved, rows) -> None:
    reader, writer = open_index(saved), open_index(saved)
    reader.nprobe = 5
    writer.nprobe, writer.refine_factor = 3, 7
    writer.encoder = {"name": "e"}
    writer.save(saved)
    assert reader.refresh()
    assert (reader.nprobe, reader.refine_factor, reader.encoder) == (5, 7, {"name": "e"})


def test_refresh_refuses_what_it_would_lose_or_mix(saved, make_index, rows) -> None:
    with pytest.raises(UsageError, match="not opened from a folder"):
        make_index("SQ8").refresh()
    changed, reader = open_index(saved), open_index(saved)
    changed.add(rows[:1])
    assert changed.refresh() is False
    other = open_index(saved)
    other.delete([0])
    other.save(saved)
    with pytest.raises(UsageError, match="that were not saved"):
        changed.refresh()
    assert len(changed) == 601
    make_index("IVF8,SQ8").save(saved, if_exists="replace")
    with pytest.raises(UsageError, match="holds an index of key 'IVF8,SQ8' now, but this one has 'IVF8,PQ4'"):
        reader.refresh()
    index_factory("IVF8,PQ4", 16, seed=9).train(rows).add(rows).save(saved, if_exists="replace")
    with pytest.raises(UsageError, match="trained anew"):
        reader.refresh()
    assert len(reader) == 600 and reader.generation == 1
    make_index("IVF8,PQ4").add(rows[:5]).save(saved, if_exists="replace")
    assert reader.refresh() and len(reader) == 605  # the same training


def test_pickles_of_an_index_lead_to_its_generation(saved, rows) -> None:
    parcel = pickle.dumps(open_index(saved))
    open_index(saved).add(rows[:1]).save(saved)
    arrived = pickle.loads(parcel)  # noqa: S301 - made by this test
    assert (len(arrived), arrived.generation) == (600, 1)
    open_index(saved).add(rows[:1]).save(saved, grace=0)
    with pytest.raises(IndexMissingError, match="has no generation 1: it is at 3"):
        pickle.loads(parcel)  # noqa: S301
    index_factory("Flat", 16).add(rows).save(saved, if_exists="replace")
    with pytest.raises(OutputExistsError, match="was changed since the index opened from it was pickled"):
        pickle.loads(parcel)  # noqa: S301
