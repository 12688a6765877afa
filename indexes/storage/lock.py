"""The lock of the one writer of an index folder: `.lock` in it, which says who holds it.

It ends with the process, so that a killed writer holds nothing. Readers never take it. It binds the writers
of one machine, and those of one folder on NFS version 4.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cluscomp.errors import IndexLockedError
from cluscomp.files import FolderLock, try_lock

LOCK_NAME = ".lock"
WAIT = 5.0
"""Seconds that a save waits for another writer unless told otherwise."""
_POLL_SECONDS = 0.02
_MOST_BYTES = 4096


@contextmanager
def writer_lock(folder: Path, wait: float = WAIT) -> Iterator[None]:
    """Be the only writer of an index folder.

    wait: seconds to wait while another writer is at work. Raises IndexLockedError naming it when they are
    over, OSError where the folder cannot be written.
    """
    lock = _acquired(folder / LOCK_NAME, wait)
    try:
        lock.note(json.dumps(_holder()).encode())
        yield
    finally:
        lock.note(b"")
        lock.close()


def _acquired(path: Path, wait: float) -> FolderLock:
    until = time.monotonic() + wait
    while True:
        lock = try_lock(path)
        if lock is not None and lock.is_still_at(path):
            return lock
        if lock is not None:
            lock.close()  # the folder was replaced meanwhile
        elif time.monotonic() >= until:
            raise _locked(path, wait)
        else:
            time.sleep(_POLL_SECONDS)


def _holder() -> dict[str, Any]:
    user = None
    with suppress(KeyError, OSError, ImportError):  # no such user is known to the system
        user = getpass.getuser()
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "user": user,
        "command": " ".join(sys.argv)[:1000],
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _locked(path: Path, wait: float) -> IndexLockedError:
    return IndexLockedError(
        f"{path.parent} is being written by {_told(path)}; waited {wait:g} seconds; try again, or wait longer"
    )


def _told(path: Path) -> str:
    """Who holds a lock, by what it says of itself."""
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(_MOST_BYTES))
        since, command = value["since"], value["command"]
        return f"process {value['pid']} on {value['host']} since {since} ({command!r:.200})"
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return "another process"
