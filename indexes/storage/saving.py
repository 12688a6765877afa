"""What an index writes: names of the arrays, the manifest, links to files that did not change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cluscomp.indexes.segments.ids import IdColumn, RangeIds
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.storage.folder import HEADER_BYTES, FolderWriter
from cluscomp.indexes.storage.identity import Identity, file_identity
from cluscomp.indexes.storage.manifest import FileEntry, Manifest, SegmentEntry


@dataclass(frozen=True)
class SourceFile:
    """A file that an array is mapped from, and its identity on disk when it was opened."""

    path: Path
    entry: FileEntry
    identity: Identity

    def is_unchanged(self) -> bool:
        """Whether the path still leads to the file that was opened."""
        try:
            return file_identity(self.path) == self.identity
        except OSError:
            return False


def source_files(
    folder: Path, entries: Mapping[str, FileEntry], identities: Mapping[str, Identity]
) -> dict[str, SourceFile]:
    """Files of a folder that was just written. identities: of its files, by name."""
    folder = folder.absolute()
    return {name: SourceFile(folder / name, entry, identities[name]) for name, entry in entries.items()}


def segment_sources(
    folder: Path, manifest: Manifest, number: int, identities: Mapping[str, Identity]
) -> dict[str, SourceFile]:
    """Files of the arrays of one segment of a folder that was just written, without its deletions."""
    prefix = segment_file(number, "")[: -len(".npy")]
    own = {name: entry for name, entry in manifest.files.items() if name.startswith(prefix)}
    found = source_files(folder, own, identities)
    names = {name: name[len(prefix) : -len(".npy")] for name in own}
    return {names[name]: source for name, source in found.items() if names[name] != "deleted"}


@dataclass(frozen=True)
class StoredArray:
    """One array of the index: file name, values, dtype, and the file that it is mapped from, if any."""

    name: str
    array: np.ndarray
    dtype: str
    source: SourceFile | None = None

    @property
    def file_bytes(self) -> int:
        """Size of its file."""
        return HEADER_BYTES + self.array.size * np.dtype(self.dtype).itemsize


def parameter_arrays(pipeline: Pipeline) -> Iterator[StoredArray]:
    """Arrays of the trained stages: STAGE.NAME.npy."""
    for stage_name, stage in pipeline.stages().items():
        specs = stage.parameter_specs
        for name, array in stage.parameters().items():
            yield StoredArray(f"{stage_name}.{name}.npy", array, specs[name].dtype)


def segment_file(number: int, name: str) -> str:
    """File name of an array of segment `number`."""
    return f"segment{number}.{name}.npy"


def segment_stored(number: int, segment: StoredSegment) -> Iterator[StoredArray]:
    """Arrays of one segment: what it stores of its rows, ids, deleted."""
    for name, array in (segment.arrays() | segment.ids.arrays()).items():
        source = segment.files.get(name)
        yield StoredArray(segment_file(number, name), array, array.dtype.str, source)
    if segment.deleted is not None:
        yield StoredArray(segment_file(number, "deleted"), segment.deleted.positions(), "<i8")


def stored_arrays(pipeline: Pipeline, segments: Sequence[StoredSegment]) -> list[StoredArray]:
    """All arrays of an index in the order in which they are written."""
    found = list(parameter_arrays(pipeline))
    for number, segment in enumerate(segments):
        found.extend(segment_stored(number, segment))
    return found


def segment_entry(n_rows: int, ids: IdColumn, n_deleted: int) -> SegmentEntry:
    """What the manifest says about a segment."""
    if isinstance(ids, RangeIds):
        return SegmentEntry(n_rows, "range", ids.start, n_deleted)
    return SegmentEntry(n_rows, ids.kind, 0, n_deleted)


def write_stored(writer: FolderWriter, stored: StoredArray) -> None:
    """Put an array into the folder: by a link where its file is unchanged, else by writing it.

    Arrays are immutable by rule, so two folders may share a file.
    """
    if stored.source is not None and link_unchanged(writer, stored.name, stored.source):
        writer.entries[stored.name] = stored.source.entry
    else:
        writer.write_array(stored.name, stored.array, stored.dtype)


def link_unchanged(writer: FolderWriter, name: str, source: SourceFile) -> bool:
    """Link a file of another folder into this one, if it still is the one that was opened."""
    if not source.is_unchanged() or not writer.link(name, source.path):
        return False
    if file_identity(writer.folder / name)[:2] == source.identity[:2]:
        return True
    (writer.folder / name).unlink()  # somebody replaced the file in between
    return False


def new_bytes(arrays: Sequence[StoredArray]) -> int:
    """Bytes that have to be written for arrays that cannot be linked."""
    return sum(item.file_bytes for item in arrays if item.source is None)
