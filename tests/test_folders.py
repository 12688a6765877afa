"""Folders appear whole or not at all, also through links and where locks do not work."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from cluscomp.errors import InputError, OutputExistsError, UnknownKeyError
from cluscomp.folders import check_target, new_folder

KILLED = """
import os, pathlib, signal, sys
from cluscomp.folders import new_folder
with new_folder(pathlib.Path(sys.argv[1])) as draft:
    (draft / "a").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def fill(target, text="new"):
    with new_folder(target) as draft:
        (draft / "a").write_text(text)


def test_what_stood_there_is_replaced_whole(tmp_path):
    target = tmp_path / "out"
    fill(target, "old")
    (target / "b").write_text("old")
    with new_folder(target) as draft:
        (draft / "a").write_text("new")
        assert (target / "a").read_text() == "old"
    assert os.listdir(target) == ["a"]
    assert (target / "a").read_text() == "new"
    assert os.listdir(tmp_path) == ["out"]


def test_an_error_leaves_nothing_behind(tmp_path):
    with pytest.raises(KeyError), new_folder(tmp_path / "out") as draft:
        (draft / "a").write_text("half")
        raise KeyError
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", ["empty", "ours", "missing"])
def test_links_are_followed(tmp_path, content):
    real, link = tmp_path / "real", tmp_path / "link"
    link.symlink_to(real)
    if content != "missing":
        real.mkdir()
    if content == "ours":
        (real / "a").write_text("old")
    fill(link)
    assert link.is_symlink()
    assert (real / "a").read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == ["link", "real"]


def test_a_loop_of_links_is_an_error_of_ours(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(InputError, match="cannot write"):
        fill(tmp_path / "a" / "out")


def test_what_a_killed_writer_left_goes_with_the_next_one(tmp_path):
    target = tmp_path / "o[u]t"  # brackets mean something in patterns
    killed = subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
    assert killed.returncode == -9
    assert len(os.listdir(tmp_path)) == 1
    assert not target.exists()
    fill(target)
    assert os.listdir(tmp_path) == ["o[u]t"]


def test_without_locks_folders_are_written_and_nothing_is_taken_for_stale(tmp_path, monkeypatch):
    def refuse(handle, operation):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with new_folder(tmp_path / "out") as draft:
        fill(tmp_path / "out", "of another writer")
        assert draft.is_dir()
    assert (tmp_path / "out").is_dir()


def test_targets(tmp_path):
    def ours(folder):
        return (folder / "a").is_file()

    taken, foreign, empty = (tmp_path / name for name in ("taken", "foreign", "empty"))
    fill(taken)
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("years of work")
    empty.mkdir()
    (tmp_path / "link").symlink_to(foreign)
    for free in (empty, tmp_path / "missing"):
        check_target(free, "fail", "an index", ours)
    check_target(taken, "replace", "an index", ours)
    with pytest.raises(OutputExistsError, match="exists already; .*if_exists='replace'"):
        check_target(taken, "fail", "an index", ours)
    for path in (foreign, tmp_path / "link"):
        with pytest.raises(OutputExistsError, match="is not an index of cluscomp"):
            check_target(path, "replace", "an index", ours)
    with pytest.raises(UnknownKeyError, match="known are: fail, replace"):
        check_target(taken, "resume", "an index", ours)
