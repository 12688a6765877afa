"""Remembers which folder an index was loaded from and detects that another process changed it since."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cluscomp.errors import CorruptIndexError, OutputExistsError, UsageError
from cluscomp.files import real_path
from cluscomp.indexes.storage.folder import FolderWriter
from cluscomp.indexes.storage.identity import Version, file_identity
from cluscomp.indexes.storage.manifest import MANIFEST_NAME, FileEntry, Manifest
from cluscomp.indexes.storage.saving import SourceFile, link_unchanged


class Origin:
    """An opened folder. manifest: as it was read. extra_files: files stored with the index, such as
    docs.sqlite. version: the state of the folder that this is.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, extra_files: dict[str, SourceFile], version: Version
    ) -> None:
        self.folder, self.manifest, self.extra_files = real_path(folder), manifest, extra_files
        self.version = version

    def is_unchanged(self) -> bool:
        """Whether nobody replaced or changed the folder since it was opened or saved."""
        try:
            return file_identity(self.folder / MANIFEST_NAME) == self.version.identity
        except OSError:
            return False

    def is_at(self, target: Path) -> bool:
        """Whether `target` is this folder and nobody changed it since it was opened.

        Raises OutputExistsError where somebody did: saving would undo that change.
        """
        if self.folder != real_path(target) or not (target / MANIFEST_NAME).is_file():
            return False
        self.require_unchanged(target)
        return True

    def require_unchanged(self, target: Path) -> None:
        """Raise OutputExistsError where somebody changed the folder since: saving would undo that change."""
        if not self.is_unchanged():
            raise OutputExistsError(
                f"{target} was changed since this index was opened from it or saved to it; open it again, or "
                "save with if_exists='replace' to overwrite that change"
            )

    def says(self, manifest: Manifest) -> bool:
        """Whether an index with this manifest is what was opened."""
        return replace(manifest, created_by=self.manifest.created_by) == self.manifest

    def manifest_bytes(self) -> int:
        """Size of manifest.json as it was read."""
        return self.version.identity[2]

    def extra_file(self, name: str) -> Path:
        """Path of a file that was stored with the index."""
        if name not in self.extra_files:
            known = ", ".join(self.extra_files) or "none"
            raise UsageError(f"the index has no file {name!r}; it has: {known}")
        source = self.extra_files[name]
        if not source.is_unchanged():
            raise CorruptIndexError(
                f"{source.path} was removed or changed since the index was opened; open it again"
            )
        return source.path


def write_extra(writer: FolderWriter, origin: Origin | None, *, share: bool) -> dict[str, FileEntry]:
    """Take over the files stored with an index. share: link them, since the old folder goes away."""
    if origin is None:
        return {}
    entries = {}
    for name, source in origin.extra_files.items():
        is_linked = share and link_unchanged(writer, name, source)
        entries[name] = source.entry if is_linked else writer.copy(name, origin.extra_file(name))
    return entries
