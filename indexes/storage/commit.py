"""A commit: the next state of an index in the folder where it stands.

New files are written beside the old ones and flushed. Then, alone with the folder, they get their names, and
the manifest is replaced in one step. Killed at any moment, the folder holds the old state or the new one.
"""

from __future__ import annotations

import os
from dataclasses import replace

from cluscomp.files import flush, require_free, sync_folder, sync_renamed
from cluscomp.indexes.storage.identity import Version, file_identity
from cluscomp.indexes.storage.manifest import MANIFEST_NAME, Manifest
from cluscomp.indexes.storage.names import is_texts_file, manifest_file
from cluscomp.indexes.storage.place import BaseState, Lock
from cluscomp.indexes.storage.retiring import NEW_MANIFEST, left_over, remove, retired_after
from cluscomp.indexes.storage.staging import REMEDY, Staging, StoredExtras


class FolderCommit(Staging):
    """The next generation of an index folder in the making.

    base: the state that it follows. lock: makes the lock that is held while it is published. grace: seconds
    that retired files stay. needed_bytes: room to ask for beforehand; DiskFullError if the device has less.
    """

    def __init__(
        self,
        base: BaseState,
        *,
        lock: Lock,
        grace: float,
        needed_bytes: int = 0,
    ) -> None:
        super().__init__(base.folder, base.folder, base.files, needed_bytes)
        self.base, self.grace, self._lock = base, grace, lock
        self.generation = base.manifest.generation + 1
        with self.disk_errors():
            require_free(self.folder, needed_bytes, self.target, REMEDY)

    def abort(self) -> None:
        """Remove what still has a passing name."""
        remove(self.folder, self.passing)

    def take_extras(self, origin: StoredExtras | None) -> None:
        """Leave the files that are stored with the index besides its arrays."""
        for name, entry in self.base.manifest.extra_files.items():
            if not is_texts_file(name):
                self.enter_extra(name, entry)

    def publish(self, manifest: Manifest) -> tuple[Manifest, Version]:
        """Put the state in the place of the one that it follows; returns which it is.

        A state that differs in nothing is no commit. Raises IndexChangedError where another writer was
        faster, IndexLockedError, UsageError (too many segments), DiskFullError, IndexFolderError: nothing has
        changed then.
        """
        with self.disk_errors(), self._lock():
            self.base.require_unchanged()
            if self._adds_nothing(manifest):
                return self.base.manifest, self.base.version
            retired, over = retired_after(self.base.manifest, manifest.names, self.grace)
            manifest = replace(manifest, generation=self.generation, retired=retired)
            raw = self.manifest_bytes(manifest)
            known = {*manifest.names, *(entry.file for entry in retired)}
            version = self._exchange(raw, known)
            remove(self.folder, [*over, *left_over(self.folder, known, self.grace)])
        return manifest, version

    # ---- inside ----

    def _adds_nothing(self, manifest: Manifest) -> bool:
        old, over = self.base.manifest, retired_after(self.base.manifest, manifest.names, self.grace)[1]
        same = replace(manifest, generation=old.generation, retired=old.retired, created_by=old.created_by)
        return same == old and old.format_version == manifest.format_version and not over

    def _exchange(self, raw: bytes, known: set[str]) -> Version:
        """Name the files and replace the manifest; on an error, take back what the old state does not use."""
        new = self.folder / NEW_MANIFEST
        try:
            self.rename_drafts()
            self._keep_old_manifest()
            new.unlink(missing_ok=True)
            with new.open("xb") as file:
                file.write(raw)
                flush(file)
            identity = file_identity(new)
            sync_folder(self.folder)
            os.replace(new, self.folder / MANIFEST_NAME)
        except BaseException:
            if self.base.is_unchanged():
                old = self.base.manifest
                used = {*old.names, *(entry.file for entry in old.retired)}
                remove(self.folder, [NEW_MANIFEST, *(known - used)])
            raise
        sync_renamed(self.folder, self.target)
        return Version.of(raw, identity)

    def _keep_old_manifest(self) -> None:
        """Let the manifest that goes be found under its generation, as long as its files are there."""
        old, kept = self.folder / MANIFEST_NAME, self.folder / manifest_file(self.base.manifest.generation)
        kept.unlink(missing_ok=True)  # a killed writer may have come as far as this
        try:
            os.link(old, kept)
        except OSError:  # the file system has no links
            with kept.open("xb") as file:
                file.write(old.read_bytes())
                flush(file)
