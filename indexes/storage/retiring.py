"""Files of an index folder that no longer belong to it: when they are retired, and when they are removed.

A reader that is opening an older generation still finds its files for a while, and an index that is open
holds what it has mapped for as long as it lives, except on network file systems.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from cluscomp.indexes.storage.manifest import MANIFEST_NAME, Manifest, RetiredEntry
from cluscomp.indexes.storage.names import (
    DRAFT,
    is_object_name,
    is_of_contents,
    manifest_file,
    may_be_retired,
    writer_of,
)

GRACE = 600.0
"""Seconds that retired files stay unless told otherwise."""
LONGEST_WRITING = 86_400.0
"""Seconds after which a draft is left over though a process has the number of its writer."""
NEW_MANIFEST = f"{MANIFEST_NAME}.new"


def retired_after(
    old: Manifest, names: Collection[str], grace: float
) -> tuple[tuple[RetiredEntry, ...], list[str]]:
    """What a new manifest lists as retired, and files whose time is over, older manifests first.

    old: the manifest before. names: files of the new one.
    """
    now = int(time.time())
    gone = [manifest_file(old.generation), *sorted(name for name in old.names if may_be_retired(name))]
    before = [entry for entry in old.retired if not is_object_name(entry.file)]  # which no folder has
    entries = [*before, *(RetiredEntry(name, old.generation, now) for name in gone)]
    entries = [entry for entry in entries if entry.file not in names]
    over = [entry.file for entry in entries if now - entry.time >= grace]
    stay = tuple(entry for entry in entries if entry.file not in set(over))
    return stay, sorted(over, key=lambda name: not name.startswith("manifest."))


def left_over(folder: Path, known: Collection[str], grace: float) -> list[str]:
    """Files that killed writers left. known: files that the manifest names. The caller holds the lock: no
    other writer is about to name its files, but some may be writing them.
    """
    now, found = time.time(), []
    for file in folder.iterdir():
        if is_of_contents(file.name) and file.name not in known:
            found.append(file.name)
        elif DRAFT.fullmatch(file.name):
            with suppress(OSError):  # its writer removed it
                age = now - file.stat().st_ctime
                if age >= max(grace, LONGEST_WRITING) or (age >= grace and not _is_running(file.name)):
                    found.append(file.name)
    return found


def _is_running(draft: str) -> bool:
    """Whether the writer of a draft may still be at work, as far as this machine knows it."""
    if os.name != "posix":
        return True
    try:
        os.kill(writer_of(draft), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's process
        return True
    return True


def remove(folder: Path, names: Iterable[str]) -> None:
    """Remove files; what cannot be removed now is left over for the next commit."""
    for name in names:
        with suppress(OSError):
            (folder / name).unlink()
