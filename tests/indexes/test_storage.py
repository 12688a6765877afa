"""Save and open: bit-equal results, memory maps, segments, hard links, atomic replacement, failures of the disk."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from stored_files import file_of

from cluscomp.errors import (
    DiskFullError,
    EncoderMismatchError,
    IndexFolderError,
    NotTrainedError,
    OutputExistsError,
    UsageError,
)
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.build.writer import IndexWriter
from cluscomp.indexes.storage import staging as staging_module
from cluscomp.indexes.storage.folder import FolderWriter
from cluscomp.indexes.storage.staging import npy_header


def files_of(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def assert_same_search(one, two, queries) -> None:
    for k in (1, 12):
        for got, wanted in zip(one.search(queries, k), two.search(queries, k), strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_opened_index_gives_the_same_bits(
    make_index, any_key: str, any_metric: str, queries, tmp_path
) -> None:
    index = make_index(any_key, any_metric, [f"ü{i}" for i in range(600)])
    index.delete(["ü3", "ü77"])
    index.save(tmp_path / "index")
    opened = open_index(tmp_path / "index", verify=True)
    assert_same_search(opened, index, queries)
    assert (opened.key, opened.dim, opened.metric, opened.seed) == (index.key, 16, any_metric, 3)
    assert (len(opened), opened.n_deleted, opened.code_size) == (598, 2, index.code_size)
    assert opened.ids.tolist() == index.ids.tolist()


def test_arrays_are_plain_npy_files_without_pickle(make_index, tmp_path) -> None:
    make_index("OPQ4,IVF8,PQ4x4,RFlat", "l2", list(range(0, 1200, 2))).save(tmp_path / "index")
    manifest = json.loads((tmp_path / "index" / "manifest.json").read_text())
    assert manifest["format"] == "cluscomp-index"
    assert {
        "format_version",
        "min_reader_version",
        "key",
        "dim",
        "metric",
        "encoder",
        "seeds",
        "settings",
    } <= manifest.keys()
    names = {path.name for path in (tmp_path / "index").iterdir()}
    assert names == {*manifest["files"], "manifest.json"}
    for name, entry in manifest["files"].items():
        array = np.load(tmp_path / "index" / name, allow_pickle=False)
        assert (list(array.shape), array.dtype.str) == (entry["shape"], entry["dtype"])
        assert (tmp_path / "index" / name).stat().st_size == entry["bytes"]


def test_header_is_what_numpy_reads(tmp_path) -> None:
    for dtype, shape in (("<f4", (3,)), ("|u1", (2, 5)), ("<i8", (1,)), ("<f2", (2, 3, 4))):
        array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
        (tmp_path / "a.npy").write_bytes(npy_header(dtype, shape) + array.tobytes())
        loaded = np.load(tmp_path / "a.npy", allow_pickle=False)
        np.testing.assert_array_equal(loaded, array)
        assert loaded.dtype == array.dtype
    assert len(npy_header("<f4", (2**62, 2**24, 256))) == 128


def test_opened_arrays_are_memory_maps(make_index, tmp_path) -> None:
    make_index("IVF8,SQ8,RFlat", "ip").save(tmp_path / "index")
    segment = open_index(tmp_path / "index").segments[0]
    for array in (segment.codes["codes"], segment.positions, segment.refine["codes"]):
        assert isinstance(array.base, np.memmap)
        assert not array.flags.writeable


def test_add_after_open_makes_a_segment_and_keeps_the_maps(make_index, rows, queries, tmp_path) -> None:
    make_index("IVF8,PQ4", "ip").save(tmp_path / "index")
    index = open_index(tmp_path / "index")
    index.add(rows[:50] * 1.5)
    assert len(index.segments) == 2
    assert isinstance(index.segments[0].codes["codes"].base, np.memmap)
    assert index.ids.tolist() == list(range(650))
    index.delete([0, 620])
    index.save(tmp_path / "index")
    again = open_index(tmp_path / "index", verify=True)
    assert_same_search(again, index, queries)
    assert len(again) == 648
    assert {path.name for path in tmp_path.iterdir()} == {"index"}


def test_saving_back_links_unchanged_files_and_old_maps_stay_valid(
    make_index, rows, queries, tmp_path
) -> None:
    path = tmp_path / "index"
    make_index("Flat", "ip").save(path)
    reader, writer = open_index(path), open_index(path)
    before = reader.search(queries, 9)
    inode = file_of(path, "segment0.codes").stat().st_ino
    writer.add(rows[:10])
    writer.save(path)
    assert file_of(path, "segment0.codes").stat().st_ino == inode
    for got, wanted in zip(reader.search(queries, 9), before, strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert len(reader) == 600
    writer.add(rows[10:20])
    writer.save(path)
    assert len(open_index(path, verify=True)) == 620


def test_saving_elsewhere_leaves_the_first_folder_alone(make_index, rows, queries, tmp_path) -> None:
    make_index("SQ8", "ip").save(tmp_path / "a")
    before = files_of(tmp_path / "a")
    index = open_index(tmp_path / "a")
    index.add(rows[:5])
    index.save(tmp_path / "b" / "c")
    assert files_of(tmp_path / "a") == before
    shutil.rmtree(tmp_path / "a")
    assert_same_search(open_index(tmp_path / "b" / "c", verify=True), index, queries)


def test_save_works_when_links_do_not(make_index, rows, queries, tmp_path, monkeypatch) -> None:
    make_index("SQ8", "ip").save(tmp_path / "a")
    index = open_index(tmp_path / "a")

    def no_links(*args, **kwargs):
        raise OSError(errno.EPERM, "links are not supported")

    monkeypatch.setattr(os, "link", no_links)
    index.add(rows[:5])
    index.save(tmp_path / "a")
    assert_same_search(open_index(tmp_path / "a", verify=True), index, queries)


def test_existing_targets(make_index, rows, tmp_path) -> None:
    index = make_index("Flat", "ip")
    (tmp_path / "empty").mkdir()
    index.save(tmp_path / "empty")
    index.save(tmp_path / "index")
    for name in ("index", "empty"):
        with pytest.raises(OutputExistsError, match="if_exists='replace'"):
            make_index("Flat", "ip").save(tmp_path / name)
    index.add(rows[:1])
    index.save(tmp_path / "index", if_exists="replace")
    assert len(open_index(tmp_path / "index")) == 601
    with pytest.raises(UsageError, match="known are: fail, replace"):
        index.save(tmp_path / "other", if_exists="overwrite")


def test_only_an_index_is_ever_replaced(make_index, tmp_path) -> None:
    index = make_index("Flat", "ip")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "manifest.json").write_text('{"format": "other"}')
    for name in ("photos", "file", "foreign"):
        with pytest.raises(OutputExistsError, match="not an index"):
            index.save(tmp_path / name, if_exists="replace")
    assert files_of(tmp_path / "photos") == {"cat.jpg": b"cat"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "foreign", "photos"]


def test_change_by_somebody_else_is_not_overwritten(make_index, rows, tmp_path) -> None:
    path = tmp_path / "index"
    make_index("Flat", "ip").save(path)
    mine, other = open_index(path), open_index(path)
    other.add(rows[:7])
    other.save(path)
    mine.add(rows[:1])
    with pytest.raises(OutputExistsError, match="changed since"):
        mine.save(path)
    assert len(open_index(path)) == 607
    mine.save(path, if_exists="replace")
    assert len(open_index(path)) == 601


def test_replaced_source_file_is_not_linked(make_index, rows, queries, tmp_path) -> None:
    """The path leads to another file than the one that is mapped: its contents come from the map."""
    make_index("SQ8", "ip").save(tmp_path / "a")
    index = open_index(tmp_path / "a")
    wanted = index.search(queries, 5)
    codes = file_of(tmp_path / "a", "segment0.codes")
    (tmp_path / "new").write_bytes(bytes(codes.stat().st_size))
    os.replace(tmp_path / "new", codes)
    index.save(tmp_path / "b")
    for got, before in zip(open_index(tmp_path / "b", verify=True).search(queries, 5), wanted, strict=True):
        np.testing.assert_array_equal(got, before)


class DiskFull:
    """Makes writes fail after some bytes, as a full device does."""

    def __init__(self, monkeypatch, allowed: int, code: int = errno.ENOSPC) -> None:
        self.left, self.code = allowed, code
        original = staging_module._Hashing.write

        def write(hashing, data):
            self.left -= len(data)
            if self.left < 0:
                raise OSError(self.code, os.strerror(self.code))
            original(hashing, data)

        monkeypatch.setattr(staging_module._Hashing, "write", write)


@pytest.mark.parametrize("allowed", [0, 200, 5000, 20000])
def test_full_disk_leaves_the_old_index_and_nothing_else(
    make_index, rows, queries, tmp_path, monkeypatch, allowed
) -> None:
    path = tmp_path / "index"
    make_index("IVF8,SQ8", "ip").save(path)
    before = files_of(path)
    index = open_index(path)
    index.add(np.tile(rows, (4, 1)))
    DiskFull(monkeypatch, allowed)
    with pytest.raises(
        DiskFullError, match=r"is full: \d+ bytes needed, \d+ bytes free; nothing was changed"
    ):
        index.save(path)
    assert files_of(path) == before
    assert [item.name for item in tmp_path.iterdir()] == ["index"]
    monkeypatch.undo()
    index.save(path)
    assert_same_search(open_index(path), index, queries)


def test_too_little_room_is_known_before_writing(make_index, tmp_path, monkeypatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(staging_module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DiskFullError, match=r"needs \d+ bytes, but the device has 1000 bytes free") as caught:
        make_index("Flat", "ip").save(tmp_path / "index")
    assert caught.value.exit_code == 3
    assert isinstance(caught.value, OSError)
    assert list(tmp_path.iterdir()) == []


def test_other_disk_errors_are_typed(make_index, tmp_path, monkeypatch) -> None:
    DiskFull(monkeypatch, 0, errno.EIO)
    with pytest.raises(IndexFolderError, match="cannot write the index"):
        make_index("Flat", "ip").save(tmp_path / "index")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_forbidden_folder(make_index, tmp_path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(IndexFolderError, match="cannot write"):
        make_index("Flat", "ip").save(tmp_path / "locked" / "index")


def test_parent_that_is_a_file(make_index, tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(IndexFolderError, match="cannot write the index"):
        make_index("Flat", "ip").save(tmp_path / "file" / "index")


def test_interrupted_save_leaves_the_old_index(make_index, tmp_path, monkeypatch) -> None:
    path = tmp_path / "index"
    make_index("SQ8", "ip").save(path)
    before = files_of(path)

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(FolderWriter, "publish", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_index("Flat", "ip").save(path, if_exists="replace")
    assert files_of(path) == before
    assert [item.name for item in tmp_path.iterdir()] == ["index"]


KILLED_WRITER = """
import os, sys, numpy as np
from cluscomp.indexes import index_factory
from cluscomp.indexes.storage.folder import FolderWriter
def die(self, *arguments):
    os.kill(os.getpid(), 9)
FolderWriter.publish = die
index_factory("Flat", 4).add(np.ones((9, 4), np.float32)).save(sys.argv[1], if_exists="replace")
"""


@pytest.mark.skipif(os.name != "posix", reason="signals and locks of POSIX")
def test_killed_writer_leaves_the_old_index_and_its_remains_are_removed_later(make_index, tmp_path) -> None:
    path = tmp_path / "index"
    make_index("SQ8", "ip").save(path)
    before = files_of(path)
    done = subprocess.run([sys.executable, "-c", KILLED_WRITER, str(path)], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr
    assert files_of(path) == before
    assert len(list(tmp_path.iterdir())) == 2
    make_index("Flat", "ip").save(path, if_exists="replace")
    assert [item.name for item in tmp_path.iterdir()] == ["index"]


def test_remains_of_a_running_writer_are_left_alone(trained, make_index, tmp_path) -> None:
    with IndexWriter(trained("SQ8"), tmp_path / "index") as running:
        running.add(np.ones((3, 16), np.float32))
        make_index("Flat", "ip").save(tmp_path / "index")
        running.add(np.ones((3, 16), np.float32))
        with pytest.raises(OutputExistsError):
            running.finish()
    assert len(open_index(tmp_path / "index")) == 600


def test_untrained_index_is_not_saved_and_an_empty_one_is(trained, rows, tmp_path) -> None:
    with pytest.raises(NotTrainedError):
        index_factory("SQ8", 16).save(tmp_path / "index")
    trained("IVF8,SQ8").save(tmp_path / "index")
    opened = open_index(tmp_path / "index")
    assert len(opened) == 0
    opened.add(rows)
    assert len(opened) == 600


def test_settings_and_encoder_are_kept(make_index, tmp_path) -> None:
    index = make_index("IVF8,PQ4,RFlat", "cosine")
    index.nprobe, index.refine_factor = 5, 9
    index.encoder = {"name": "minilm", "dim": 16, "normalize": True}
    index.save(tmp_path / "index")
    opened = open_index(tmp_path / "index")
    assert (opened.nprobe, opened.refine_factor) == (5, 9)
    assert opened.encoder == {"name": "minilm", "dim": 16, "normalize": True}
    assert opened.settings["training_rows"] == 600
    for wrong in ("minilm", [1], {"a": object()}, {"a": float("nan")}):
        with pytest.raises(UsageError, match="JSON"):
            index.encoder = wrong


def test_queries_of_another_encoder_are_refused(make_index) -> None:
    base = pytest.importorskip("cluscomp.encoders.base")
    info = base.EncoderInfo(
        name="a", kind="dense", dim=16, normalize=True, query_prompt="", document_prompt="", max_seq_length=256,
        fingerprint="1",
    )  # fmt: skip
    from dataclasses import replace

    index = make_index("Flat", "ip")
    index.check_encoder(info)
    index.encoder = info
    index.check_encoder(info)
    with pytest.raises(EncoderMismatchError, match="(?s)a.*b|b.*a"):
        index.check_encoder(replace(info, name="b", fingerprint="2"))


def test_same_index_gives_the_same_bytes(trained, rows, tmp_path) -> None:
    for name in ("a", "b"):
        trained("OPQ4,IVF8,PQ4x6").add(rows).save(tmp_path / name)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_stored_files_are_shared_with_the_own_folder_and_copied_elsewhere(trained, rows, tmp_path) -> None:
    with IndexWriter(trained("SQ8"), tmp_path / "index") as writer:
        writer.add(rows)
        writer.finish(extra_files={"letter.txt": b"texts"})
    inode = (tmp_path / "index" / "letter.txt").stat().st_ino
    index = open_index(tmp_path / "index")
    index.add(rows[:3])
    index.save(tmp_path / "copy")
    index.save(tmp_path / "index")
    assert (tmp_path / "index" / "letter.txt").stat().st_ino == inode
    assert (tmp_path / "copy" / "letter.txt").stat().st_ino != inode
    for name in ("index", "copy"):
        assert open_index(tmp_path / name, verify=True).extra_file("letter.txt").read_bytes() == b"texts"
    assert index.extra_file("letter.txt").read_bytes() == b"texts"


def test_permissions_follow_the_umask(make_index, tmp_path) -> None:
    (tmp_path / "plain").mkdir()
    make_index("Flat").save(tmp_path / "index")
    assert (tmp_path / "index").stat().st_mode == (tmp_path / "plain").stat().st_mode
