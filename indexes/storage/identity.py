"""Which file it is, and which state of a folder: what tells a replaced one from the one that was opened."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

Identity = tuple[int, int, int, int]
"""Device, inode, size and time of change of a file: equal while nobody replaces or rewrites it."""


def identity_of(status: os.stat_result) -> Identity:
    """Identity of the file that a stat tells of."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def file_identity(path: Path) -> Identity:
    """Identity of the file at a path."""
    return identity_of(os.stat(path))


@dataclass(frozen=True)
class Version:
    """One state of a folder. identity: of its manifest. digest: SHA-256 of the manifest, which names the
    checksums of all files.
    """

    identity: Identity
    digest: str

    @classmethod
    def of(cls, manifest: bytes, identity: Identity) -> Version:
        """The state that a manifest of these bytes describes."""
        return cls(identity, hashlib.sha256(manifest).hexdigest())
