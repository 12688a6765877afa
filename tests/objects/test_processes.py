"""Processes that write to one index in an object store at the same time: nothing is lost."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest
from object_bucket import IN_MEMORY, fresh

import cluscomp as cc

pytest.importorskip("obstore")
pytestmark = pytest.mark.skipif(IN_MEMORY, reason="needs a store that processes share (.ci/run objects)")
PROCESSES, COMMITS = 3, 5
WRITER = """
import sys
import numpy as np
import cluscomp as cc
from cluscomp.errors import IndexChangedError

address, who, commits = sys.argv[1], sys.argv[2], int(sys.argv[3])
index = cc.open_index(address)
for number in range(commits):
    index.add(np.full((1, 4), number, np.float32), [f"{who}.{number}"])
    while True:
        try:
            index.save(address, merge=True)
            break
        except IndexChangedError:
            pass  # another one was faster: join with what it wrote
"""


def test_every_commit_of_every_process_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    address = fresh("shared.index")
    cc.index_factory("Flat", 4).save(address)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, address, f"p{number}", str(COMMITS)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    assert all(writer.wait(300) == 0 for writer in writers)
    found = cc.open_index(address, verify=True)
    names = {f"p{number}.{commit}" for number in range(PROCESSES) for commit in range(COMMITS)}
    assert set(found.ids) == names and found.generation == 1 + PROCESSES * COMMITS
    assert cc.verify_index(address) == []
    for row, name in zip(found.vectors(sorted(names)), sorted(names), strict=True):
        np.testing.assert_array_equal(row, float(name.rpartition(".")[2]))


KILLED = """
import os, signal, sys
import numpy as np
import cluscomp as cc
from cluscomp.objects.store import ObStore

address, at = sys.argv[1], int(sys.argv[2])
index = cc.open_index(address)
calls = 0

def counted(method):
    def call(self, *arguments):
        global calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return method(self, *arguments)
    return call

for name in ("upload", "put", "put_if", "delete"):
    setattr(ObStore, name, counted(getattr(ObStore, name)))
index.add(np.ones((3, 4), np.float32), ["a", "b", "c"])
index.save(address, grace=0)
"""


def test_a_process_that_is_killed_at_any_call_leaves_the_old_state_or_the_new_one(tmp_path, monkeypatch):
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    states, at, code = set(), 0, -signal.SIGKILL
    while code == -signal.SIGKILL:
        at, address = at + 1, fresh("killed.index")
        cc.index_factory("Flat", 4).add(np.zeros((2, 4), np.float32), ["x", "y"]).save(address)
        code = subprocess.run([sys.executable, "-c", KILLED, address, str(at)], check=False).returncode
        found = cc.open_index(address, verify=True)
        states.add((found.generation, *found.ids))
        found.delete(["x"])
        found.save(address)
        assert cc.verify_index(address) == []
    assert code == 0 and at > 6
    assert states == {(1, "x", "y"), (2, "x", "y", "a", "b", "c")}
