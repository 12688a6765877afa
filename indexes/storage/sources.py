"""Files that arrays were mapped from, so that a later save links them, or leaves them where they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cluscomp.indexes.storage.identity import Identity, file_identity
from cluscomp.indexes.storage.manifest import FileEntry


@dataclass(frozen=True)
class SourceFile:
    """A file of an index folder, and its identity on disk when it was opened or written."""

    path: Path
    entry: FileEntry
    identity: Identity

    def is_unchanged(self) -> bool:
        """Whether the path still leads to the file that was opened."""
        try:
            return file_identity(self.path) == self.identity
        except OSError:
            return False
