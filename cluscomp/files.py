"""Durable files: written beside their place, flushed, renamed: a reader sees the old one or the new one.

Also the locks, flushes and disk errors that `folders` and the writers of index folders are made of.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

from cluscomp.errors import DiskFullError, InputError, MissingInputError, OutputExistsError

log = logging.getLogger(__name__)

LOCK_POLL_SECONDS = 0.5
REMEDY = "nothing was changed; free some space or write elsewhere"
_UNSUPPORTED = {errno.EBADF, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_noted: set[tuple[str, int]] = set()


# ---- paths -----------------------------------------------------------------------------------------


def real_path(path: str | os.PathLike[str]) -> Path:
    """The absolute path of what `path` leads to: outputs replace what a link points to, never the link."""
    return Path(os.path.realpath(path))


def folder_bytes(folder: Path) -> int:
    """Bytes of all files of a folder and of the folders in it."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _is_written_through(path: Path) -> bool:
    """Whether `path` is a pipe, a device or a stream of this process, which no rename may replace."""
    if os.fspath(path.absolute()).startswith(("/dev/", "/proc/")):
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


# ---- files -----------------------------------------------------------------------------------------


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file that takes the place of `path`, on disk, when it is left without an error, and else vanishes.

    Links are followed. Pipes and devices (/dev/null, /dev/stdout) are written to directly. Raises
    MissingInputError (the folder does not exist), OutputExistsError (`path` is a folder), DiskFullError,
    InputError (the place cannot be written to).
    """
    path = Path(path)
    if _is_written_through(path):
        with refusals(path):
            file = path.open("wb")
        with file:
            yield file
        return
    with atomic_path(path) as draft:
        with refusals(path):
            file = draft.open("xb")
        with full_disk(path), file:
            yield file


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Where to write a new file that takes the place of `path`; for libraries that want a name.

    Raises as `atomic_file`, and OutputExistsError for what is no plain file.
    """
    target = real_path(path)
    is_folder = os.path.isdir(target)
    if is_folder or _is_written_through(target):
        raise OutputExistsError(f"{path} is {'a folder' if is_folder else 'no file'}; name a file")
    if not os.path.isdir(target.parent):
        raise MissingInputError(
            f"the folder {target.parent} does not exist; make it before writing {target.name}"
        )
    draft = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}.partial")
    try:
        yield draft
        with refusals(target):
            _settle(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def _settle(draft: Path, target: Path) -> None:
    with draft.open("rb") as file:
        flush(file)
    if target.exists():
        shutil.copymode(target, draft)
    os.replace(draft, target)
    sync_folder(target.parent)


def atomic_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one."""
    with atomic_file(path) as file:
        file.write((json.dumps(value, indent=2) + "\n").encode())


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file of a folder in the making, which is on disk when it is left."""
    with path.open("xb") as file:
        yield file
        flush(file)


def flush(file: IO[Any]) -> None:
    """Bring what was written to the disk itself."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush the entries of a folder to disk, so that renames in it survive a power cut.

    A file system that cannot do it gets a note in the log.
    """
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as exc:
        if exc.errno not in _UNSUPPORTED:
            raise
        _note_once("flush folders: the last output may be lost in a power cut", folder, handle)
    finally:
        os.close(handle)


def sync_renamed(folder: Path, target: Path) -> None:
    """Flush a folder in which `target` has just got its name: others see it already, so that an error is told
    in the log only.
    """
    try:
        sync_folder(folder)
    except OSError as exc:
        log.warning("%s was written, but a power cut may undo that: %s", target, exc)


# ---- what the file system refuses --------------------------------------------------------------------


@contextmanager
def full_disk(target: Path, needed: int = 0, remedy: str = REMEDY) -> Iterator[None]:
    """Turn "no space left" into DiskFullError with the bytes free and needed."""
    try:
        yield
    except OSError as exc:
        full = disk_full(exc, target, needed, remedy)
        if full is None:
            raise
        raise full from exc


@contextmanager
def refusals(target: Path) -> Iterator[None]:
    """Turn what the file system refuses about `target` into DiskFullError or InputError."""
    try:
        yield
    except OSError as exc:
        raise disk_full(exc, target, 0) or cannot_write(exc, target) from exc


def cannot_write(exc: OSError, target: Path) -> InputError:
    """The error for an output whose place cannot be written to."""
    return InputError(
        f"cannot write {target}: {exc.strerror or exc}; nothing was changed; name another place, or make "
        "this one writable"
    )


def require_free(folder: Path, needed: int, target: object, remedy: str = REMEDY) -> None:
    """Raise DiskFullError if the device of `folder` has less than `needed` bytes free for `target`."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DiskFullError(
            errno.ENOSPC,
            f"{target} needs {needed} bytes, but the device has {free} bytes free; {remedy}",
        )


def disk_full(exc: OSError, target: Path, needed: int, remedy: str = REMEDY) -> DiskFullError | None:
    """What to raise where `exc` says that the device of `target` is full, else None."""
    if isinstance(exc, DiskFullError) or exc.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    free = shutil.disk_usage(_existing(target)).free
    return DiskFullError(
        errno.ENOSPC,
        f"the device of {target} is full: {needed} bytes needed, {free} bytes free; {remedy}",
    )


def _existing(path: Path) -> Path:
    return next(parent for parent in [path, *path.parents] if parent.exists())


# ---- locks -----------------------------------------------------------------------------------------


class FolderLock:
    """A lock on a folder or file of ours. It ends with the process, so that others can tell a running writer
    from a killed one.

    held: False on a file system without locks, where nobody can tell.
    """

    def __init__(self, handle: int | None, held: bool) -> None:
        self._handle, self.held = handle, held

    def note(self, text: bytes) -> None:
        """Write into the file that is locked who holds it. What cannot be written is left out."""
        if self._handle is not None:
            with suppress(OSError):
                os.ftruncate(self._handle, 0)
                os.pwrite(self._handle, text, 0)

    def is_still_at(self, path: Path) -> bool:
        """Whether the path leads to what is locked: it may have been replaced before the lock was there."""
        if self._handle is None:
            return True
        try:
            return os.path.samestat(os.fstat(self._handle), os.stat(path))
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Give the lock back; may be called twice."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def try_lock(path: Path) -> FolderLock | None:
    """Lock a folder, or a file that is made where it is missing. None where another process holds the lock.

    On a file system without locks nothing is held, and a note goes to the log. Raises OSError where `path`
    cannot be opened.
    """
    if os.name != "posix":
        return FolderLock(None, False)
    flags = os.O_RDONLY | os.O_DIRECTORY if path.is_dir() else os.O_RDWR | os.O_CREAT
    handle = os.open(path, flags | os.O_NOFOLLOW, 0o644)
    held = _lock_handle(handle, path)
    if held is None:
        os.close(handle)
        return None
    return FolderLock(handle, held)


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Alone with the folder at `path` if there is one: wait while another writer holds its lock."""
    lock = None
    while path.is_dir() and lock is None:
        lock = try_lock(path)
        if lock is None:
            time.sleep(LOCK_POLL_SECONDS / 10)
    try:
        yield
    finally:
        if lock is not None:
            lock.close()


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
        if _lock_handle(file.fileno(), path) is None:
            file.close()
            if not waited:
                log.warning("another process writes %s; waiting for it", path)
            waited = True
            time.sleep(LOCK_POLL_SECONDS)
        elif _is_still_at(file, path):
            return file
        else:
            file.close()  # the former holder moved it to its place in the meantime


def _lock_handle(handle: int, path: Path) -> bool | None:
    """True when locked, None when another process holds the lock, False where there are no locks."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        if exc.errno in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES):
            return None
        _note_once("lock files: do not let two processes write there at the same time", path, handle)
        return False
    return True


def _is_still_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _note_once(what: str, path: Path, handle: int) -> None:
    """Log once a device what its file system cannot do."""
    device = (what, os.fstat(handle).st_dev)
    if device not in _noted:
        _noted.add(device)
        log.warning("the file system of %s cannot %s", path, what)
