"""Definitions of the running Python's standard library."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from pathlib import Path

from cluscomp.demo.definitions import Entry, definitions
from cluscomp.errors import MissingInputError

SKIPPED_FOLDERS = {
    "__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "idle_test", "lib2to3",
    "turtledemo", "ensurepip", "pydoc_data", "_pyrepl", "encodings", "lib-dynload",
}  # fmt: skip
SKIPPED_MODULES = {"this", "antigravity"}


def stdlib_folder() -> Path:
    """Where the running Python has its library."""
    return Path(sysconfig.get_paths()["stdlib"])


def stdlib_entries(folder: Path | None = None) -> Iterator[Entry]:
    """All public definitions below `folder` (default: the running Python's library), in sorted order.

    Raises MissingInputError when there are no sources (a Python that ships compiled files only).
    """
    root = stdlib_folder() if folder is None else folder
    files = stdlib_files(root)
    if not files:
        raise MissingInputError(
            f"{root} holds no Python sources to make the demo's collection from; "
            "use a Python whose standard library ships as .py files"
        )
    for path in files:
        yield from definitions(path, root)


def stdlib_files(root: Path) -> list[Path]:
    """Sources of the library below `root`, sorted: no tests, tools or other people's packages."""
    found = []
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).parts
        if not SKIPPED_FOLDERS.intersection(parts[:-1]) and path.stem not in SKIPPED_MODULES:
            found.append(path)
    return sorted(found, key=lambda path: path.relative_to(root).parts)
