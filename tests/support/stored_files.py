"""Files of a saved index by what they hold: their names come from their contents."""

from __future__ import annotations

import json
from pathlib import Path

from cluscomp.indexes.storage.manifest import MANIFEST_NAME, parse_manifest
from cluscomp.indexes.storage.names import array_file, stage_file


def file_name(folder: Path, what: str) -> str:
    """Name of the file of "segment0.codes" (array of the first segment), "segment0.deleted", or
    "partition.centroids" (of a trained stage).
    """
    owner, array = what.removesuffix(".npy").split(".")
    manifest = parse_manifest((folder / MANIFEST_NAME).read_bytes(), str(folder))
    if not owner.startswith("segment"):
        return stage_file(manifest.trained, owner, array)
    entry = manifest.segments[int(owner.removeprefix("segment"))]
    return entry.deletions or "" if array == "deleted" else array_file(entry.name, array)


def file_of(folder: Path, what: str) -> Path:
    """Path of the same."""
    return folder / file_name(folder, what)


def arrays_of(folder: Path, number: int) -> set[str]:
    """Names of the arrays of a segment, its deleted rows aside."""
    manifest = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    segment = manifest["segments"][number]
    return {
        name.split(".")[1]
        for name in manifest["files"]
        if name.startswith(segment["name"]) and name != segment["deletions"]
    }


def what_of(folder: Path, name: str) -> str:
    """The inverse of `file_name`, with ".npy"; other names as they are."""
    manifest = parse_manifest((folder / MANIFEST_NAME).read_bytes(), str(folder))
    for number, entry in enumerate(manifest.segments):
        if name == entry.deletions:
            return f"segment{number}.deleted.npy"
        if name.startswith(f"{entry.name}."):
            return f"segment{number}.{name.partition('.')[2]}"
    return name.removeprefix(f"p{manifest.trained}.")
