"""Folders that appear all at once: written as a sibling, flushed, then renamed or exchanged in one step."""

from __future__ import annotations

import ctypes
import glob
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cluscomp import checks
from cluscomp.errors import CluscompError, OutputExistsError
from cluscomp.files import (
    FolderLock,
    cannot_write,
    disk_full,
    real_path,
    require_free,
    sync_folder,
    sync_renamed,
    try_lock,
)
from cluscomp.vocabulary import IF_TAKEN

_MARK = "cluscomp-partial-"  # of a folder in the making, in its name
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # linux/fs.h
_RENAME_SWAP = 2  # macOS sys/stdio.h


def is_free(target: Path) -> bool:
    """Whether nothing is at `target`, or an empty folder."""
    return not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir()))


def exists_already(target: object) -> OutputExistsError:
    """The error for an output that is taken, where replacing it was not asked for."""
    return OutputExistsError(
        f"{target} exists already; choose another path, or replace it with if_exists='replace'"
    )


def check_target(target: Path, if_exists: str, what: str, is_ours: Callable[[Path], bool]) -> None:
    """Raise OutputExistsError unless `target` is free, an empty folder, or `what` (is_ours) to be replaced.

    Links are followed. Raises UnknownKeyError for an `if_exists` other than "fail" and "replace".
    """
    checks.one_of("if_exists", if_exists, IF_TAKEN)
    target = real_path(target)
    if is_free(target):
        return
    if if_exists == "fail":
        raise exists_already(target)
    if not is_ours(target):
        raise OutputExistsError(
            f"{target} is not {what} of cluscomp and is not replaced; remove it or choose another path"
        )


@contextmanager
def new_folder(target: Path, needed_bytes: int = 0) -> Iterator[Path]:
    """A folder in the making that stands at `target` when left without an error, and else is removed.

    What stands at `target` is replaced: the caller checks beforehand whether it may be. Where `target` is a
    link, that is what it points to. needed_bytes: room to ask for. Raises DiskFullError, InputError (the
    place cannot be written to).
    """
    target = real_path(target)
    try:
        folder, lock = draft_folder(target, needed_bytes)
        try:
            yield folder
            put_in_place(folder, target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # after an exchange, what stood there before
            lock.close()
    except CluscompError:
        raise
    except OSError as exc:
        raise disk_full(exc, target, needed_bytes) or cannot_write(exc, target) from exc


def draft_folder(target: Path, needed_bytes: int, **options: str) -> tuple[Path, FolderLock]:
    """A new, locked sibling of `target` to write into; what killed writers of `target` left is removed.

    options: of `require_free`. Raises DiskFullError (less than needed_bytes are free), OSError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_stale(target.parent, glob.escape(target.name))
    require_free(target.parent, needed_bytes, target, **options)
    while True:
        folder = target.parent / f".{target.name}.{_MARK}{secrets.token_hex(8)}"
        folder.mkdir()
        try:
            lock = try_lock(folder)
        except FileNotFoundError:
            continue
        if lock is not None and folder.exists():
            return folder, lock  # else another process took it for stale before it was locked


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
    if is_free(target):
        os.rename(folder, target)
    else:
        exchange(folder, target)
    sync_renamed(target.parent, target)


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


def remove_stale(parent: Path, names: str = "*") -> None:
    """Remove what killed writers of the targets `names`, a pattern, left in `parent`, where locks tell."""
    for folder in parent.glob(f".{names}.{_MARK}*"):
        with suppress(OSError):  # it is gone, or not ours
            lock = try_lock(folder)
            if lock is not None:
                if lock.held:
                    shutil.rmtree(folder, ignore_errors=True)
                lock.close()
