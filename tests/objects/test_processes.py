"""Processes that write to one index in an object store at the same time: nothing is lost."""

from __future__ import annotations

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
