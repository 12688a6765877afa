"""Where an index is written: behind links, and on file systems without locks or flushes of folders."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

import numpy as np
import pytest

from cluscomp import errors
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.build import build_index


@pytest.fixture
def rows():
    return np.random.default_rng(2).standard_normal((50, 8)).astype(np.float32)


@pytest.fixture
def link(tmp_path):
    """A link to an empty folder."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    return tmp_path / "link"


def entries(folder):
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("saves", [True, False])
def test_a_link_to_an_empty_folder(rows, link, tmp_path, saves):
    if saves:
        index_factory("Flat", 8).train(rows).add(rows).save(link)
    else:
        build_index(rows, index_key="Flat", output=link)
    assert link.is_symlink()
    assert len(open_index(tmp_path / "real")) == 50
    assert entries(tmp_path) == ["link", "real"]


@pytest.mark.parametrize("saves", [True, False])
def test_a_link_to_an_index_replaces_that_index(rows, link, tmp_path, saves):
    build_index(rows[:10], index_key="Flat", output=tmp_path / "real")
    if saves:
        index_factory("Flat", 8).train(rows).add(rows).save(link, if_exists="replace")
    else:
        build_index(rows, index_key="Flat", output=link, if_exists="replace")
    assert link.is_symlink()
    assert len(open_index(tmp_path / "real")) == 50
    assert entries(tmp_path) == ["link", "real"]


def test_a_link_to_something_else_is_not_replaced(rows, link, tmp_path):
    (tmp_path / "real" / "thesis.txt").write_text("years of work")
    for policy in ("fail", "replace"):
        with pytest.raises(errors.OutputExistsError):
            build_index(rows, index_key="Flat", output=link, if_exists=policy)
    assert entries(tmp_path / "real") == ["thesis.txt"]


def test_an_index_opened_through_a_link_is_saved_back_through_it(rows, link, tmp_path):
    build_index(rows, index_key="Flat", output=link)
    for path in (link, tmp_path / "real"):
        index = open_index(link)
        index.add(rows[:1])
        n = len(index)
        index.save(path)
        assert len(open_index(link)) == n
    assert link.is_symlink()


def test_an_interrupted_build_through_a_link_goes_on_at_its_target(rows, link, tmp_path):
    def stop(stage, done, total):
        if stage == "add":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_index(rows, index_key="PQ2x4", output=link, progress=stop)
    assert (tmp_path / ".real.partial").is_dir()
    report = build_index(rows, index_key="PQ2x4", output=tmp_path / "real", if_exists="resume")
    assert "train" in report.resumed


def test_without_locks_a_build_goes_on_with_a_note(rows, tmp_path, monkeypatch, caplog):
    def refuse(handle, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr("cluscomp.files._noted", set())
    build_index(rows, index_key="PQ2x4", output=tmp_path / "out")
    assert len(open_index(tmp_path / "out")) == 50
    assert caplog.text.count("cannot lock files") == 1


def test_a_lock_that_is_taken_still_stops_a_second_build(rows, tmp_path):
    (tmp_path / ".out.partial").mkdir()
    with open(tmp_path / ".out.partial" / "lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(errors.OutputExistsError, match="another process is building this index"):
            build_index(rows, index_key="Flat", output=tmp_path / "out")


def test_without_flushes_of_folders_a_build_goes_on_with_a_note(rows, tmp_path, monkeypatch, caplog):
    real = os.fsync

    def fsync(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.ENOSYS, "Function not implemented")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr("cluscomp.files._noted", set())
    build_index(rows, index_key="PQ2x4", output=tmp_path / "out")
    assert len(open_index(tmp_path / "out")) == 50
    assert caplog.text.count("cannot flush folders") == 1
