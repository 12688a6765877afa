"""Folders of attempts: each try of a step writes into one of its own.

A repeated step meets no file of the one before, and two that run at the same time do not share any.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_attempt(parent: Path, name: str) -> Iterator[Path]:
    """A new folder NAME.HEX, which is removed on an error."""
    folder = parent / f"{name}.{secrets.token_hex(8)}"
    folder.mkdir(parents=True)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def passing_folder(parent: Path, name: str) -> Iterator[Path]:
    """A new folder NAME.HEX, which is removed in any case."""
    with new_attempt(parent, name) as folder:
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
