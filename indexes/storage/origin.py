"""Remembers which folder an index was loaded from and detects that another process changed it since."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cluscomp.errors import CluscompError, CorruptIndexError, IndexChangedError, UsageError
from cluscomp.files import real_path
from cluscomp.indexes.storage.identity import Version, file_identity
from cluscomp.indexes.storage.manifest import MANIFEST_NAME, Manifest, parse_manifest
from cluscomp.indexes.storage.opening import OpenedFolder
from cluscomp.indexes.storage.sources import SourceFile


class Origin:
    """An opened folder. manifest: as it was read. files: those that it lists. version: the state of the
    folder that this is. segments: that the index had of it then.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        files: Mapping[str, SourceFile],
        version: Version,
        segments: tuple[Any, ...] = (),
    ) -> None:
        self.folder, self.manifest, self.files = real_path(folder), manifest, files
        self.version, self.segments = version, segments

    @classmethod
    def of(cls, opened: OpenedFolder) -> Origin:
        """What was just opened."""
        return cls(opened.path, opened.manifest, opened.files, opened.version, opened.segments)

    def is_unchanged(self) -> bool:
        """Whether nobody replaced or changed the folder since it was opened or saved."""
        try:
            return file_identity(self.folder / MANIFEST_NAME) == self.version.identity
        except OSError:
            return False

    def is_at(self, target: Path) -> bool:
        """Whether `target` is this folder, and an index is there."""
        return self.folder == real_path(target) and (target / MANIFEST_NAME).is_file()

    def require_unchanged(self) -> None:
        """Raise IndexChangedError where somebody changed the folder since: saving would undo that change."""
        try:
            raw = (self.folder / MANIFEST_NAME).read_bytes()
        except OSError:
            raw = b""
        if hashlib.sha256(raw).hexdigest() != self.version.digest:
            raise IndexChangedError(
                f"{self.folder} was changed since this index was opened from it or saved to it: this index "
                f"began from generation {self.manifest.generation}, and there is {_generation(raw)} now; "
                "open it again, or save with if_exists='replace' to overwrite that change"
            )

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


def _generation(raw: bytes) -> str:
    """The generation that a manifest tells of, for a message."""
    try:
        return f"generation {parse_manifest(raw, MANIFEST_NAME).generation}"
    except CluscompError:
        return "no index of this version"
