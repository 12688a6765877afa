"""The marker of a shard: what its segment consists of. It is written when all files are, by one rename.

A marker holds a manifest of the segment alone, as an index folder would have it, so that it is checked field
by field as that is.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluscomp.errors import CorruptIndexError
from cluscomp.files import new_file, sync_folder
from cluscomp.indexes.storage.manifest import FileEntry, Manifest, SegmentEntry, parse_manifest

_ATTEMPT = re.compile(r"[0-9]+\.[0-9a-f]{16}")


@dataclass(frozen=True)
class Marker:
    """plan: its hash. shard: number. folder: of the attempt, in PLAN/parts. manifest: of the segment.
    seconds, peak_memory: of the step that made it.
    """

    plan: str
    shard: int
    folder: str
    manifest: Manifest
    seconds: float
    peak_memory: int

    @property
    def segment(self) -> SegmentEntry:
        """The segment."""
        return self.manifest.segments[0]

    @property
    def files(self) -> Mapping[str, FileEntry]:
        """All its files."""
        return self.manifest.files | self.manifest.extra_files

    def facts(self) -> dict[str, Any]:
        """What engines hand on: small JSON values."""
        return {
            "shard": self.shard,
            "rows": self.segment.rows,
            "seconds": self.seconds,
            "peak_memory": self.peak_memory,
        }

    def to_bytes(self) -> bytes:
        """UTF-8 JSON."""
        value = {
            "plan": self.plan,
            "shard": self.shard,
            "folder": self.folder,
            "seconds": self.seconds,
            "peak_memory": self.peak_memory,
            "manifest": json.loads(self.manifest.to_bytes()),
        }
        return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def marker_path(parts: Path, number: int) -> Path:
    """File of the marker of a shard."""
    return parts / f"{number}.json"


def publish(parts: Path, marker: Marker) -> Marker:
    """Let the marker be that of its shard, unless another attempt was first: its marker then, and the files
    of this one are gone.
    """
    attempt, target = parts / marker.folder, marker_path(parts, marker.shard)
    draft = attempt / "marker.json"
    with new_file(draft) as file:
        file.write(marker.to_bytes())
    sync_folder(attempt)
    try:
        os.link(draft, target)
    except FileExistsError:
        shutil.rmtree(attempt, ignore_errors=True)
        return read_marker(parts, marker.shard) or marker
    except OSError:  # the file system has no links
        os.replace(draft, target)
    with suppress(FileNotFoundError):
        draft.unlink()
    sync_folder(parts)
    return marker


def read_marker(parts: Path, number: int) -> Marker | None:
    """The marker of a shard, or None before it is written. Raises CorruptIndexError."""
    path = marker_path(parts, number)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        value = json.loads(raw)
        manifest = parse_manifest(json.dumps(value["manifest"]).encode(), str(path))
        marker = Marker(
            str(value["plan"]),
            int(value["shard"]),
            str(value["folder"]),
            manifest,
            float(value["seconds"]),
            int(value["peak_memory"]),
        )
    except (ValueError, KeyError, TypeError) as exc:
        raise CorruptIndexError(
            f"{path} is no marker of a shard ({exc}); remove it and encode again"
        ) from exc
    if marker.shard != number or len(manifest.segments) != 1 or not _ATTEMPT.fullmatch(marker.folder):
        raise CorruptIndexError(
            f"{path} is the marker of shard {marker.shard} in {marker.folder!r} with "
            f"{len(manifest.segments)} segments; remove it and encode again"
        )
    return marker
