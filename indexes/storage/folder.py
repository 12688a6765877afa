"""Writing a new index folder: into a sibling, flushed, then renamed: a reader sees all or nothing.

An error, a full disk or a killed process leaves whatever was at the target untouched. Arrays are .npy files
with a header of exactly 128 bytes, so that they can be streamed before their length is known and mapped
without parsing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from cluscomp.errors import UsageError
from cluscomp.files import locked_folder, real_path
from cluscomp.folders import check_target, draft_folder, put_in_place
from cluscomp.indexes.storage.identity import Version, file_identity
from cluscomp.indexes.storage.lock import WAIT, writer_lock
from cluscomp.indexes.storage.manifest import FILE_NAME, FORMAT, MANIFEST_NAME, Manifest
from cluscomp.indexes.storage.names import is_of_contents, is_texts_file
from cluscomp.indexes.storage.staging import REMEDY, Staging, StoredExtras

COPY_MARK = "hub.json"
"""File that marks a folder as the copy of a repository of the hub; nothing is committed to it."""


class FolderWriter(Staging):
    """A folder in the making.

    target: where the folder shall stand. if_exists: "fail" (OutputExistsError) or "replace" (only an index of
    ours is ever replaced). needed_bytes: room to ask for beforehand; DiskFullError if the device has less.
    wait: seconds to wait for a writer of the index that is replaced; IndexLockedError then.
    """

    def __init__(
        self, target: Path, *, if_exists: str = "fail", needed_bytes: int = 0, wait: float = WAIT
    ) -> None:
        target = real_path(target)
        super().__init__(target, target, {}, needed_bytes)
        self.if_exists, self.wait = if_exists, wait
        check_index_target(target, if_exists)
        with self.disk_errors():
            self.folder, self._lock = draft_folder(target, needed_bytes, remedy=REMEDY)

    def take_extras(self, origin: StoredExtras | None) -> None:
        """Copy the files that are stored with an index besides its arrays."""
        if origin is not None:
            for name in origin.manifest.extra_files:
                if not is_texts_file(name):
                    self.copy_extra(name, origin.extra_file(name))

    def publish(self, manifest: Manifest) -> tuple[Manifest, Version]:
        """Write the manifest and put the folder in its place; returns the state that it is in then."""
        raw = self.manifest_bytes(manifest)
        with self.create(MANIFEST_NAME) as file:
            file.write(raw)
        with self.disk_errors():
            self.rename_drafts()
            identity = file_identity(self.folder / MANIFEST_NAME)
        with self.disk_errors(), locked_folder(self.target), self._without_writers():
            check_index_target(self.target, self.if_exists)
            put_in_place(self.folder, self.target)
        self.abort()  # after an exchange, the old index lies under the temporary name
        return manifest, Version.of(raw, identity)

    def abort(self) -> None:
        """Remove what was written and has not been published; may be called twice."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    @contextmanager
    def _without_writers(self) -> Iterator[None]:
        """Alone with an index that is to be replaced."""
        with ExitStack() as held:
            if (self.target / MANIFEST_NAME).is_file():
                with suppress(PermissionError):  # then nobody can commit to it, but it can be replaced
                    held.enter_context(writer_lock(self.target, self.wait))
            yield


def check_index_target(target: Path, if_exists: str) -> None:
    """Raise OutputExistsError unless `target` is free, an empty folder, or an index that may be replaced."""
    check_target(target, if_exists, "an index", _is_our_index)


def _is_our_index(target: Path) -> bool:
    try:
        manifest = json.loads((target / MANIFEST_NAME).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and manifest.get("format") == FORMAT


def require_own(folder: Path) -> None:
    """Raise UsageError for a folder of the cache that is the copy of a repository."""
    if (folder / COPY_MARK).is_file():
        raise UsageError(
            f"{folder} is the copy of an index of the hub; save the index to a folder of your own"
        )


def check_file_name(name: str) -> None:
    """Raise UsageError for a file name that an index folder cannot hold, or that has a meaning of its own."""
    if is_of_contents(name) or is_texts_file(name):
        raise UsageError(f"file name {name!r} is one of those that cluscomp gives; choose another name")
    if not FILE_NAME.fullmatch(name) or len(name) > 128:
        raise UsageError(
            f"file name {name!r} cannot stand in an index folder; use letters, digits, '_', '-' and '.'"
        )
