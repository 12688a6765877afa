"""Remembers where an index was loaded from and detects that another process changed it since."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cluscomp.errors import CorruptIndexError, UsageError
from cluscomp.files import real_path
from cluscomp.indexes.storage.identity import Version
from cluscomp.indexes.storage.manifest import Manifest
from cluscomp.indexes.storage.opening import OpenedFolder
from cluscomp.indexes.storage.place import Place, changed_since
from cluscomp.indexes.storage.sources import SourceFile


class Origin:
    """An opened index. place: where it lives. folder: of this machine, where its files can be read. manifest:
    as it was read. files: those that it lists. version: the state that this is. segments: that the index had
    of it then.
    """

    def __init__(
        self,
        place: Place,
        folder: Path,
        manifest: Manifest,
        files: Mapping[str, SourceFile],
        version: Version,
        segments: tuple[Any, ...] = (),
    ) -> None:
        self.place, self.folder = place, real_path(folder)
        self.manifest, self.files = manifest, files
        self.version, self.segments = version, segments

    @classmethod
    def of(cls, opened: OpenedFolder) -> Origin:
        """What was just opened."""
        return cls(opened.place, opened.path, opened.manifest, opened.files, opened.version, opened.segments)

    def is_unchanged(self) -> bool:
        """Whether nobody replaced or changed the index since it was opened or saved."""
        return self.place.is_at(self.version)

    def require_unchanged(self) -> None:
        """Raise IndexChangedError where somebody changed the index since: saving would undo that change."""
        raw = self.place.raw_manifest()
        if hashlib.sha256(raw or b"").hexdigest() != self.version.digest:
            raise changed_since(self.place, self.manifest.generation, raw)

    def says(self, manifest: Manifest) -> bool:
        """Whether an index with this manifest is what was opened."""
        return replace(manifest, created_by=self.manifest.created_by) == self.manifest

    def manifest_bytes(self) -> int:
        """Size of manifest.json as it was read."""
        return self.version.identity[2]

    def extra_file(self, name: str) -> Path:
        """Path of a file that was stored with the index."""
        if name not in self.manifest.extra_files:
            known = ", ".join(self.manifest.extra_files) or "none"
            raise UsageError(f"the index has no file {name!r}; it has: {known}")
        source = self.files[name]
        if not source.is_unchanged():
            raise CorruptIndexError(
                f"{source.path} was removed or changed since the index was opened; open it again"
            )
        return source.path
