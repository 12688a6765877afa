"""Files of a saved index by what they hold: their names come from their contents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

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


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def rewrite(folder: Path, name: str, change: Callable[[np.ndarray], Any]) -> None:
    """Change an array in its file and tell the manifest its new checksum, as a faulty writer would."""
    name = file_name(folder, name)
    raw = (folder / name).read_bytes()
    array = np.load(folder / name)
    change(array)
    (folder / name).write_bytes(raw[:128] + array.tobytes())
    sign(folder, name)


def sign(folder: Path, name: str) -> None:
    raw = (folder / name).read_bytes()

    def change(manifest: dict[str, Any]) -> None:
        files = "files" if name in manifest["files"] else "extra_files"
        manifest[files][name] |= {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}

    change_manifest(folder, change)


def manifest_of(folder: Path) -> Any:
    """The manifest as JSON."""
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the lock, which holds nothing once it is free."""
    assert not (folder / ".lock").exists() or (folder / ".lock").stat().st_size == 0
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != ".lock"}
