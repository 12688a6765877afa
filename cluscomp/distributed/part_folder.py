"""The folder of one attempt at a shard: files of a segment, without a manifest of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

from cluscomp.files import sync_folder
from cluscomp.indexes.storage.identity import Version, file_identity
from cluscomp.indexes.storage.manifest import Manifest
from cluscomp.indexes.storage.staging import Staging, StoredExtras


class PartFolder(Staging):
    """Files that the commit of a plan takes into the index. plan: folder of the plan, for messages."""

    def __init__(self, plan: Path, folder: Path) -> None:
        super().__init__(plan, folder, {}, 0)
        self._is_whole = False

    def publish(self, manifest: Manifest) -> tuple[Manifest, Version]:
        """Give the files their names; the marker of the shard says that they are whole."""
        with self.disk_errors():
            self.rename_drafts()
            sync_folder(self.folder)
            self._is_whole = True
            return manifest, Version.of(manifest.to_bytes(), file_identity(self.folder))

    def abort(self) -> None:
        if not self._is_whole:
            shutil.rmtree(self.folder, ignore_errors=True)

    def take_extras(self, origin: StoredExtras | None) -> None:
        """A segment has no other files."""
