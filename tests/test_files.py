"""Files appear whole or not at all, wherever they are written to."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import subprocess
import sys
import threading

import pytest

from cluscomp import files
from cluscomp.errors import DiskFullError, InputError, MissingInputError, OutputExistsError
from cluscomp.files import atomic_file, atomic_json, atomic_path, folder_bytes, open_locked, try_lock

HOLD = """
import pathlib, sys, time
from cluscomp.files import try_lock
lock = try_lock(pathlib.Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def fresh_notes(monkeypatch):
    monkeypatch.setattr(files, "_noted", set())


@pytest.fixture
def no_locks(monkeypatch):
    def refuse(handle, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.fixture
def no_folder_flush(monkeypatch):
    real = os.fsync

    def fsync(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)


def write(path, data=b"new"):
    with atomic_file(path) as file:
        file.write(data)


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "run.trec"
    path.write_bytes(b"old")
    with atomic_file(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["run.trec"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "run.trec"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), atomic_file(path) as file:
        file.write(b"half")
        raise KeyError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["run.trec"]


def test_permissions_of_the_old_file_are_kept(tmp_path):
    path = tmp_path / "run.trec"
    path.write_bytes(b"old")
    path.chmod(0o600)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_stays_a_link_and_its_target_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "run.trec", tmp_path / "link.trec"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write(link)
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path / "real") == ["run.trec"]


def test_a_link_to_nothing_makes_its_target(tmp_path):
    link = tmp_path / "link.trec"
    link.symlink_to(tmp_path / "later.trec")
    write(link)
    assert (tmp_path / "later.trec").read_bytes() == b"new"
    assert link.is_symlink()


def test_pipes_are_written_through(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write(pipe)
    reader.join(timeout=30)
    assert read == [b"new"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_devices_are_written_through():
    write("/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_standard_output_is_written_through(tmp_path):
    program = "from cluscomp.files import atomic_file\nwith atomic_file('/dev/stdout') as f: f.write(b'hits')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"hits"
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", program], stdout=out, check=True)
    assert (tmp_path / "out").read_bytes() == b"hits"


def test_places_where_no_file_can_be(tmp_path):
    with pytest.raises(OutputExistsError, match="is a folder; name a file"):
        write(tmp_path)
    with pytest.raises(MissingInputError, match="does not exist; make it before writing run.trec"):
        write(tmp_path / "missing" / "run.trec")
    with pytest.raises(InputError, match="cannot write .* name too long"):
        write(tmp_path / ("x" * 300))
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied; nothing was changed; name another place"):
        write(tmp_path / "run.trec")


def test_a_full_disk(tmp_path):
    with pytest.raises(DiskFullError, match="is full: .* bytes free"), atomic_file(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert os.listdir(tmp_path) == []


def test_libraries_get_a_name_to_write_to(tmp_path):
    with atomic_path(tmp_path / "table.parquet") as draft:
        draft.write_bytes(b"table")
        assert not (tmp_path / "table.parquet").exists()
    assert (tmp_path / "table.parquet").read_bytes() == b"table"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputExistsError, match="is no file"), atomic_path(tmp_path / "pipe"):
        pass


def test_json(tmp_path):
    atomic_json(tmp_path / "a.json", {"k": [1, 2.5]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"k": [1, 2.5]}


def test_folder_bytes_counts_all_files(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "b").write_bytes(b"678")
    assert folder_bytes(tmp_path) == 8


@pytest.mark.parametrize("is_folder", [True, False])
def test_another_process_holds_the_lock_until_it_ends(tmp_path, is_folder):
    path = tmp_path if is_folder else tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        assert try_lock(path) is None
        other.kill()
    lock = try_lock(path)
    assert lock.held
    lock.close()
    lock.close()


def test_without_locks_nothing_is_held_and_a_note_says_so_once(tmp_path, no_locks, caplog):
    for _ in range(2):
        lock = try_lock(tmp_path)
        assert not lock.held
        lock.close()
    with open_locked(tmp_path / "file") as file:
        file.write(b"rows")
    assert (tmp_path / "file").read_bytes() == b"rows"
    notes = [record.message for record in caplog.records]
    assert len(notes) == 1
    assert "cannot lock files: do not let two processes write there" in notes[0]


def test_folders_that_cannot_be_flushed_get_a_note(tmp_path, no_folder_flush, caplog):
    write(tmp_path / "a")
    write(tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"new"
    assert [record.message for record in caplog.records] == [
        f"the file system of {tmp_path} cannot flush folders: the last output may be lost in a power cut"
    ]


def test_other_errors_of_flushing_are_not_hidden(tmp_path, monkeypatch):
    def fail(handle):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match="Input/output error"):
        write(tmp_path / "a")
    assert os.listdir(tmp_path) == []
