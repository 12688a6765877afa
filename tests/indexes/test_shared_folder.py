"""Readers and writers of one folder at the same time, in processes of their own (tests/support/shared_folder.py)."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shared_folder import DIM, make, read, value_of

from cluscomp.errors import IndexChangedError
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.verify import verify_index

SUPPORT = Path(__file__).resolve().parents[1] / "support"
SOAK_SECONDS = 600


def start(*arguments: Any) -> subprocess.Popen[str]:
    command = [sys.executable, str(SUPPORT / "shared_folder.py"), *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CLUSCOMP_NUM_THREADS": "1"},
    )


def told(process: subprocess.Popen[str]) -> Any:
    out, errors = process.communicate()
    assert process.returncode == 0, errors[-3000:]
    return json.loads(out)


def test_every_answer_belongs_to_one_state_while_a_process_commits(tmp_path) -> None:
    """A hundred commits, replaced folders and compactions among them, whose old files go at once."""
    make(tmp_path / "index")
    stop, found = tmp_path / "stop", []
    reader = threading.Thread(target=lambda: found.append(read(tmp_path / "index", stop)))
    writer = start("write", tmp_path / "index", 100, stop)
    reader.start()
    try:
        assert told(writer) == {"commits": 100, "value": 101}
    finally:
        stop.touch()
        reader.join()
    (counts,) = found  # the reader raised nothing
    assert counts["opened"] > 5 and counts["values"] > 5
    assert value_of(open_index(tmp_path / "index", verify=True)) == 101
    assert verify_index(tmp_path / "index") == []


def test_writers_in_processes_join_their_rows(tmp_path) -> None:
    make(tmp_path / "index")
    writers = [start("join", tmp_path / "index", name, 15) for name in ("a", "b")]
    found = [told(writer) for writer in writers]
    index = open_index(tmp_path / "index", verify=True)
    assert index.generation == 31 == max(facts["generation"] for facts in found)
    names = {f"{name} {number} {row}" for name in "ab" for number in range(15) for row in range(3)}
    assert names < set(index.ids.tolist()) and len(index) == 20 + 90
    assert verify_index(tmp_path / "index") == []


def test_of_two_writers_that_began_alike_exactly_one_is_refused(tmp_path) -> None:
    path = tmp_path / "index"
    index_factory("Flat", DIM).save(path)
    expected: set[int] = set()
    for number in range(25):
        barrier, refused, saved = threading.Barrier(2), [], []

        def write(ids: list[int], index: Any) -> None:
            index.add(np.ones((3, DIM), np.float32), ids)
            barrier.wait()  # noqa: B023 - the threads end within the loop
            try:
                index.save(path, wait=60)
                saved.extend(ids)  # noqa: B023
            except IndexChangedError:
                refused.append(ids)  # noqa: B023

        threads = [
            threading.Thread(
                target=write, args=([number * 10 + first + i for i in range(3)], open_index(path))
            )
            for first in (0, 5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(refused) == 1 and len(saved) == 3
        expected |= {*saved}
        assert set(open_index(path).ids.tolist()) == expected


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_soak(tmp_path) -> None:
    """Eight readers, and one writer at a time, which is killed within two seconds of its first commit; ten minutes."""
    folder = tmp_path / "index"
    make(folder)
    stop, rng, killed = tmp_path / "stop", random.Random(0), 0
    readers = [start("read", folder, stop) for _ in range(8)]
    until = time.monotonic() + float(os.environ.get("CLUSCOMP_SOAK_SECONDS", SOAK_SECONDS))
    try:
        while time.monotonic() < until:
            began = value_of(open_index(folder))
            writer = start("write", folder, 10**9, stop)
            while writer.poll() is None and value_of(open_index(folder)) == began:
                time.sleep(0.05)
            time.sleep(2 * rng.random())
            os.kill(writer.pid, signal.SIGKILL)
            errors = writer.communicate()[1]
            assert writer.returncode == -signal.SIGKILL, errors[-3000:]
            killed += 1
    finally:
        stop.touch()
    counts = [told(reader) for reader in readers]
    assert killed and all(facts["opened"] and facts["verified"] for facts in counts)
    assert verify_index(folder) == []
    figures = {name: sum(facts[name] for facts in counts) for name in counts[0]}
    commits = int(value_of(open_index(folder))) - 1
    sys.stdout.write(json.dumps({"commits": commits, "killed": killed, **figures}))
