"""Commits that are killed, or meet a full disk, at each write, flush, rename, link and removal: tests/support."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SUPPORT = Path(__file__).resolve().parents[1] / "support"
USUAL = {("kill", "add"), ("kill", "delete"), ("full", "delete"), ("full", "join")}
TRIALS = [
    pytest.param(action, change, marks=() if (action, change) in USUAL else pytest.mark.slow)
    for action in ("kill", "full")
    for change in ("add", "upsert", "delete", "compact", "join", "replace", "merge")
]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and forks of POSIX")


def trials(action: str, change: str, folder: Path) -> Any:
    done = subprocess.run(
        [sys.executable, str(SUPPORT / "crash_trials.py"), action, change, str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "CLUSCOMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize(("action", "change"), TRIALS)
def test_a_commit_that_fails_leaves_the_old_state_or_the_new_one(action, change, tmp_path) -> None:
    """After a kill, another writer goes on; after a full disk, the same one saves once there is room."""
    found = trials(action, change, tmp_path)
    assert found["trials"] >= 15
    if action == "full":
        assert found["trials"] == len(found["names"]) and {"open", "write", "fsync"} <= {*found["names"]}
