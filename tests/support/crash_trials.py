"""Commits that are killed, or meet a full disk, at each of their steps. Run in a process of its own, which forks.

    python crash_trials.py kill|full CHANGE FOLDER

prints the names of the steps as JSON, and raises where a folder holds neither the old state nor the new one.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from faulty_system import failing, full, kill

import cluscomp as cc
from cluscomp.errors import DiskFullError
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.verify import verify_index

DIM = 8
ROWS = np.random.default_rng(0).standard_normal((60, DIM)).astype(np.float32)


def new_index(names: list[str]) -> Any:
    index = index_factory("IVF2,SQ8", DIM, seed=1).train(ROWS)
    return index.add(ROWS[: len(names)], names)


def prepare(folder: Path) -> None:
    """An index of several segments, generations and deleted rows, and another one to merge it with."""
    index = new_index([f"r{row}" for row in range(30)])
    index.save(folder / "index")
    index.add(ROWS[30:40], [f"s{row}" for row in range(10)])
    index.delete(["r1", "s2"])
    index.save(folder / "index")
    index.delete(["r2"])
    index.save(folder / "index")
    open_index(folder / "index", generation=1).save(folder / "other")
    other = open_index(folder / "other")
    other.upsert(ROWS[:5], [f"t{row}" for row in range(5)])
    other.delete([f"r{row}" for row in range(30)])
    other.save(folder / "other")


def changed(name: str, folder: Path) -> Callable[[], None]:
    """A change of the index in the folder, up to the commit, which is what the returned function does."""
    path = folder / "index"
    index = open_index(path)
    if name == "add":
        index.add(ROWS[40:50], [f"new{row}" for row in range(10)])
    elif name == "upsert":
        index.upsert(ROWS[40:50], [f"r{row}" for row in range(10)])
    elif name == "delete":
        index.delete([f"r{row}" for row in range(5, 25)])
    elif name == "compact":
        index.compact(segments=1, dead=0)
    elif name == "join":
        open_index(path).add(ROWS[50:55], [f"u{row}" for row in range(5)]).save(path)
        index.add(ROWS[40:50], [f"new{row}" for row in range(10)])
        return lambda: index.save(path, merge=True)
    elif name == "replace":
        index = new_index(["only"])
        return lambda: index.save(path, if_exists="replace")
    elif name == "merge":
        return lambda: cc.merge_indexes([path, folder / "other"], path, if_exists="replace") and None
    return lambda: index.save(path)


def state(path: Path) -> tuple[Any, ...]:
    """What an index answers, once every part of its folder has been found whole."""
    index = open_index(path, verify=True)
    faults = verify_index(path)
    assert not faults, faults
    scores, ids = index.search(ROWS[:4], 20, nprobe=2, k_beyond="clip")
    return index.ids.tolist(), scores.tobytes(), ids.tolist()


def stray_files(path: Path) -> list[str]:
    """Files beside those that the newest manifest lists."""
    manifest = json.loads((path / "manifest.json").read_text())
    known = {"manifest.json", ".lock", *manifest["files"], *manifest["extra_files"]}
    return sorted({file.name for file in path.iterdir()} - known)


def next_commit(path: Path) -> None:
    """Another writer goes on from whatever is there, and clears away what was left."""
    index = open_index(path)
    index.nprobe = 1 if index.settings.get("nprobe") != 1 else 2
    index.save(path, grace=0)
    assert not stray_files(path), stray_files(path)
    assert not verify_index(path)


def trial(action: str, change: str, folder: Path, number: int) -> tuple[list[str], bool]:
    """One commit that fails at a step, and what is there afterwards. Names of the steps; whether it failed."""
    path = folder / "index"
    commit = changed(change, folder)
    before = state(path)
    if action == "kill":
        child = os.fork()
        if not child:
            with failing(number, kill) as counter:
                commit()
            os.write(1, b"")
            os._exit(0)
        failed = os.waitpid(child, 0)[1] != 0
        names: list[str] = []
    else:
        with failing(number, full) as counter:
            try:
                commit()
                raised = False
            except DiskFullError:
                raised = True
        names, failed = counter.names, counter.reached
        assert not list(path.glob(".tmp-*")), list(path.iterdir())
        if raised:
            assert state(path) == before, counter.names
            commit()  # there is room now
    now = state(path)
    if action == "full" or not failed:
        assert now != before or change == "compact"
    elif now != before:
        commit_again = changed(change, _pristine(folder))
        commit_again()
        assert now == state(folder / "pristine" / "index"), "neither the old state nor the new one"
    next_commit(path)
    return names, failed


def _pristine(folder: Path) -> Path:
    """A copy of what was there before anything failed."""
    shutil.rmtree(folder / "pristine", ignore_errors=True)
    shutil.copytree(folder / "start", folder / "pristine")
    return folder / "pristine"


def main(action: str, change: str, folder: Path) -> None:
    os.fsync = lambda handle: None  # a process that is killed needs no disk to remember what it wrote
    prepare(folder / "start")
    number, failed, names = 0, True, []
    while failed:
        work = folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(folder / "start", work)
        shutil.copytree(folder / "start", work / "start")
        names, failed = trial(action, change, work, number)
        number += 1
    sys.stdout.write(json.dumps({"trials": number - 1, "names": names}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
