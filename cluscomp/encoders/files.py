"""Small steps on files that must survive a crash, a full disk, and a second process."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from cluscomp.errors import DiskFullError

log = logging.getLogger(__name__)

LOCK_POLL_SECONDS = 0.5


def flush(file: IO[Any]) -> None:
    """Bring what was written to the disk itself."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write JSON so that a reader sees the old file or the new one, never a part."""
    sibling = path.with_name(path.name + ".new")
    with open(sibling, "w", encoding="utf-8") as file:
        json.dump(value, file)
        flush(file)
    os.replace(sibling, path)


@contextmanager
def disk_full_named(folder: Path, needed: int) -> Iterator[None]:
    """Turn "no space left" into DiskFullError with the bytes free and needed."""
    try:
        yield
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFullError(
            f"{folder} has {shutil.disk_usage(folder).free} bytes free, but the next block needs {needed}; "
            "make room and run the same command again: finished blocks are kept"
        ) from exc


@contextmanager
def open_locked(path: Path) -> Iterator[IO[bytes]]:
    """Open for reading and writing, alone: wait while another process holds it. Closing ends the lock."""
    file = _acquire(path)
    try:
        yield file
    finally:
        file.close()


def _acquire(path: Path) -> IO[bytes]:
    waited = False
    while True:
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
        if not _try_lock(file):
            file.close()
            if not waited:
                log.warning("another process writes %s; waiting for it", path)
            waited = True
            time.sleep(LOCK_POLL_SECONDS)
        elif _is_still_at(file, path):
            return file
        else:
            file.close()  # the former holder moved it to its place in the meantime


def _try_lock(file: IO[bytes]) -> bool:
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
