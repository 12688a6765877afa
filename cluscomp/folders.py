"""Folders that appear all at once: written as a sibling, flushed, then renamed or exchanged in one step."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from cluscomp import checks
from cluscomp.errors import CluscompError, DiskFullError, InputError, OutputExistsError
from cluscomp.vocabulary import IF_TAKEN

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # linux/fs.h
_RENAME_SWAP = 2  # macOS sys/stdio.h


REMEDY = "free some space or write elsewhere"


def check_target(target: Path, if_exists: str, what: str, is_ours: Callable[[Path], bool]) -> None:
    """Raise OutputExistsError unless `target` is free, an empty folder, or `what` (is_ours) to be replaced.

    Raises UnknownKeyError for an `if_exists` other than "fail" and "replace".
    """
    checks.one_of("if_exists", if_exists, IF_TAKEN)
    if not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir())):
        return
    if if_exists == "fail":
        raise OutputExistsError(
            f"{target} exists already; choose another path, or replace it with if_exists='replace'"
        )
    if not is_ours(target):
        raise OutputExistsError(
            f"{target} is not {what} of cluscomp and is not replaced; remove it or choose another path"
        )


@contextmanager
def new_folder(target: Path, needed_bytes: int) -> Iterator[Path]:
    """A folder in the making that stands at `target` when left without an error, and else is removed.

    What stands at `target` is replaced: the caller checks beforehand whether it may be. needed_bytes: room to
    ask for. Raises DiskFullError, InputError (the place cannot be written to).
    """
    target = target.absolute()
    prefix = f".{target.name}.cluscomp-partial-"
    folder = target.parent / (prefix + secrets.token_hex(8))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(target.parent, prefix)
        require_free(target.parent, needed_bytes, target)
        folder.mkdir()
        lock = lock_folder(folder)
        try:
            yield folder
            put_in_place(folder, target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # after an exchange, what stood there before
            lock.close()
    except CluscompError:
        raise
    except OSError as exc:
        full = disk_full(exc, target, needed_bytes)
        raise full or InputError(
            f"cannot write {target}: {exc.strerror or exc}; nothing was changed"
        ) from exc


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that is on disk when left."""
    with path.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, value: Any) -> None:
    """A new JSON file that is on disk when this returns."""
    with new_file(path) as file:
        file.write((json.dumps(value, indent=2) + "\n").encode())


def exchange(new: Path, old: Path) -> None:
    """Put `new` in the place of `old` and `old` in the place of `new`.

    One atomic step where the system has one (Linux renameat2, macOS renamex_np); otherwise two renames,
    undone if the second fails.
    """
    if _exchange_atomically(new, old):
        return
    aside = old.with_name(f".{old.name}.cluscomp-old-{os.getpid()}")
    os.rename(old, aside)
    try:
        os.rename(new, old)
    except OSError:
        os.rename(aside, old)
        raise
    os.rename(aside, new)


def put_in_place(folder: Path, target: Path) -> None:
    """Let the finished `folder` stand at `target`, on disk; what stood there has the name `folder` then, if
    anything did.
    """
    sync_folder(folder)
    if target.exists() and any(target.iterdir()):
        exchange(folder, target)
    else:
        os.rename(folder, target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Flush the entries of a folder to disk."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _exchange_atomically(new: Path, old: Path) -> bool:
    """True if done. A kernel or file system without the call is no error: the caller has another way."""
    if os.name != "posix":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    one, two = os.fsencode(new), os.fsencode(old)
    if sys.platform == "darwin" and hasattr(libc, "renamex_np"):
        return bool(libc.renamex_np(one, two, _RENAME_SWAP) == 0)
    if hasattr(libc, "renameat2"):
        return bool(libc.renameat2(_AT_FDCWD, one, _AT_FDCWD, two, _RENAME_EXCHANGE) == 0)
    return False


class FolderLock:
    """A lock that ends with the process, so that others can tell a running writer from a killed one."""

    def __init__(self, handle: int | None) -> None:
        self._handle = handle

    def close(self) -> None:
        """Give the lock back; may be called twice."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def lock_folder(folder: Path) -> FolderLock:
    """Lock a folder of our own (advisory, POSIX only)."""
    return FolderLock(_try_lock(folder))


def remove_stale(parent: Path, prefix: str) -> None:
    """Remove folders named prefix* in `parent` whose writer no longer runs."""
    if os.name != "posix":
        return
    for folder in parent.glob(f"{prefix}*"):
        handle = _try_lock(folder)
        if handle is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(handle)


def _try_lock(folder: Path) -> int | None:
    """An open handle that holds the lock, or None where another process holds it or locks do not work."""
    if os.name != "posix":
        return None
    import fcntl

    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def require_free(folder: Path, needed: int, target: Path, remedy: str = REMEDY) -> None:
    """Raise DiskFullError if the device of `folder` has less than `needed` bytes free for `target`."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DiskFullError(
            errno.ENOSPC,
            f"{target} needs {needed} bytes, but the device has {free} bytes free; {remedy}",
        )


def disk_full(exc: OSError, target: Path, needed: int, remedy: str = REMEDY) -> DiskFullError | None:
    """What to raise where `exc` says that the device of `target` is full, else None."""
    if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    free = shutil.disk_usage(_existing(target)).free
    return DiskFullError(
        errno.ENOSPC,
        f"the device of {target} is full: {needed} bytes needed, {free} bytes free; nothing was changed; "
        + remedy,
    )


def _existing(path: Path) -> Path:
    return next(parent for parent in [path, *path.parents] if parent.exists())
