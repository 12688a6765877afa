"""The output folder: written as a sibling, then renamed, so that a reader sees all of it or nothing."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from cluscomp.errors import DiskFullError, InputError, OutputExistsError, UsageError
from cluscomp.indexes.swap import lock_folder, put_in_place, remove_stale

REPORT_NAME = "cluscomp_merge.json"
IF_EXISTS = ("fail", "replace")


def check_output(target: Path, if_exists: str, sources: Sequence[Path]) -> None:
    """Raise OutputExistsError unless `target` is free, empty, or a merge of ours that may be replaced."""
    if if_exists not in IF_EXISTS:
        raise UsageError(f"if_exists={if_exists!r} is unknown; valid are 'fail' and 'replace'")
    if not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir())):
        return
    if any(os.path.samefile(target, source) for source in sources):
        raise OutputExistsError(f"{target} is one of the adapters to merge; choose another output")
    if if_exists == "fail":
        raise OutputExistsError(
            f"{target} exists already; choose another path, or replace it (--if-exists replace, in Python "
            "if_exists='replace')"
        )
    if not (target / REPORT_NAME).is_file():
        raise OutputExistsError(f"{target} was not made by a merge and is not replaced; choose another path")


@contextmanager
def new_folder(target: Path, needed_bytes: int) -> Iterator[Path]:
    """A folder in the making that stands at `target` when left without an error, and else is removed."""
    target = target.absolute()
    prefix = f".{target.name}.cluscomp-partial-"
    folder = target.parent / (prefix + secrets.token_hex(8))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(target.parent, prefix)
        _require_free(target, needed_bytes)
        folder.mkdir()
        lock = lock_folder(folder)
        try:
            yield folder
            put_in_place(folder, target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # after an exchange, what stood there before
            lock.close()
    except OSError as exc:
        raise _disk_error(exc, target) from exc


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that is on disk when left."""
    with path.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, value: Any) -> None:
    """A JSON file that is on disk when this returns."""
    with new_file(path) as file:
        file.write((json.dumps(value, indent=2) + "\n").encode())


def _require_free(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise DiskFullError(
            errno.ENOSPC,
            f"{target} needs {needed} bytes, but the device has {free} bytes free; write elsewhere",
        )


def _disk_error(exc: OSError, target: Path) -> Exception:
    from cluscomp.errors import CluscompError

    if isinstance(exc, CluscompError):
        return exc
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(errno.ENOSPC, f"the device of {target} is full; nothing was changed")
    return InputError(f"cannot write {target}: {exc.strerror or exc}; nothing was changed")
