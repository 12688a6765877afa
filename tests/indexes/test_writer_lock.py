"""The lock of the one writer: who holds it is named, who waits gets it, and a killed holder frees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from cluscomp.errors import IndexFolderError, IndexLockedError, UsageError
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.storage.lock import writer_lock

pytestmark = pytest.mark.skipif(os.name != "posix", reason="locks of POSIX")

HOLDER = """
    import sys, time
    from pathlib import Path
    from cluscomp.indexes.storage.lock import writer_lock
    with writer_lock(Path(sys.argv[1])):
        print("held", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def saved(make_index, tmp_path) -> Path:
    make_index("SQ8").save(tmp_path / "index")
    return tmp_path / "index"


@pytest.fixture
def holder(saved):
    """A process that holds the lock of `saved`."""
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), str(saved)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_taken_lock_names_its_holder_and_nothing_is_written(saved, rows, holder) -> None:
    index = open_index(saved).add(rows[:1])
    before = {file.name for file in saved.iterdir()}
    with pytest.raises(
        IndexLockedError, match=rf"process {holder.pid} on \S+ since 2.*'-c .*; waited 0.1 seconds"
    ) as caught:
        index.save(saved, wait=0.1)
    assert caught.value.exit_code == 5 and isinstance(caught.value, IndexFolderError)
    assert {file.name for file in saved.iterdir()} == before
    told = json.loads((saved / ".lock").read_text())
    assert told.keys() == {"pid", "host", "user", "command", "since"} and told["pid"] == holder.pid
    with pytest.raises(IndexLockedError):
        index_factory("Flat", 16).add(rows).save(saved, if_exists="replace", wait=0)
    assert len(open_index(saved)) == 600  # readers take no lock
    for wrong in (-1, float("nan"), None):
        with pytest.raises(UsageError, match="wait"):
            index.save(saved, wait=wrong)  # type: ignore[arg-type]


def test_a_killed_holder_frees_the_lock(saved, rows, holder) -> None:
    holder.kill()
    holder.wait()
    open_index(saved).add(rows[:1]).save(saved, wait=0)
    assert len(open_index(saved)) == 601
    assert (saved / ".lock").read_bytes() == b""


def test_a_waiting_writer_goes_on_when_the_other_ends(saved, rows) -> None:
    released = threading.Event()

    def hold() -> None:
        with writer_lock(saved):
            held.set()
            time.sleep(0.3)
            released.set()

    held = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    open_index(saved).add(rows[:1]).save(saved, wait=60)
    assert released.is_set()
    thread.join()


def test_what_a_lock_says_is_not_trusted(saved, rows) -> None:
    for text in (b"", b"{", b"[]", b'{"pid": 1}', b"\xff" * 9999, b"[" * 9999):
        with writer_lock(saved):
            (saved / ".lock").write_bytes(text)
            with pytest.raises(IndexLockedError, match="being written by another process"):
                open_index(saved).add(rows[:1]).save(saved, wait=0)


def test_a_lock_is_no_link_to_elsewhere(saved, rows, tmp_path) -> None:
    (tmp_path / "precious").write_bytes(b"text")
    (saved / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(IndexFolderError, match="cannot write the index"):
        open_index(saved).add(rows[:1]).save(saved)
    assert (tmp_path / "precious").read_bytes() == b"text"


def test_the_lock_of_a_folder_that_was_replaced_is_not_enough(saved, rows, monkeypatch) -> None:
    """A writer that gets the lock of a folder which is no longer at the path asks for that of the new one."""
    from cluscomp.indexes.storage import lock as module

    taken, try_lock = [], module.try_lock

    def replaced_before(path: Path):
        found = try_lock(path)
        taken.append(path)
        if len(taken) == 1:
            monkeypatch.setattr(module, "try_lock", try_lock)
            os.rename(saved, saved.with_name("old"))
            index_factory("Flat", 16).add(np.ones((3, 16), np.float32)).save(saved)
            monkeypatch.setattr(module, "try_lock", replaced_before)
        return found

    monkeypatch.setattr(module, "try_lock", replaced_before)
    with writer_lock(saved, wait=0):
        assert len(taken) == 2
        assert (saved / ".lock").read_bytes().startswith(b"{")
