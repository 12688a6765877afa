"""Keys of the files of an index in an object store.

Each file stands under the first 16 digits of its SHA-256 and its name, so that no object is ever written
twice with different contents, by whichever writer. Manifests have their names alone.

    <prefix>/manifest.json            the newest state
    <prefix>/manifest.G.json          the state of generation G, while its files are kept
    <prefix>/<16 digits>.<name>       a file that a manifest lists as <name>
"""

from __future__ import annotations

import re

from cluscomp.indexes.storage.manifest import MANIFEST_NAME, FileEntry, Manifest
from cluscomp.indexes.storage.names import is_object_name

_OLD_MANIFEST = re.compile(r"manifest\.[0-9]+\.json")


def object_name(name: str, entry: FileEntry) -> str:
    """Last part of the key of a file that a manifest lists."""
    return f"{entry.sha256[:16]}.{name}"


def object_names(manifest: Manifest) -> set[str]:
    """Last parts of the keys of all files of a state."""
    entries = manifest.files | manifest.extra_files
    return {object_name(name, entry) for name, entry in entries.items()}


def is_ours(name: str) -> bool:
    """Whether a writer of ours gives such names."""
    return name == MANIFEST_NAME or is_left_over(name)


def is_left_over(name: str) -> bool:
    """Whether an object of this name that no manifest tells of was left by a writer that did not commit."""
    return is_object_name(name) or _OLD_MANIFEST.fullmatch(name) is not None or name.startswith(".probe-")
