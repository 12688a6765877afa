"""What an index writes: arrays of its stages and segments, under names that come from their contents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np

from cluscomp.indexes.segments.ids import IdColumn, RangeIds
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.segments.texts import RowTexts
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.storage.deletions import deletions_spec
from cluscomp.indexes.storage.manifest import FileEntry, SegmentEntry
from cluscomp.indexes.storage.names import (
    SEGMENT,
    TEXTS,
    array_file,
    deletions_file,
    segment_name,
    stage_file,
    texts_file,
    trained_mark,
)
from cluscomp.indexes.storage.sources import SourceFile
from cluscomp.indexes.storage.staging import HEADER_BYTES, Draft, Staging
from cluscomp.indexes.storage.stored_texts import StoredTexts, write_row_texts

Segment = TypeVar("Segment", bound=StoredSegment)
DELETED = "deleted"
"""Name of the deleted rows among the arrays of a segment."""


@dataclass(frozen=True)
class StoredArray:
    """One array of the index: stage that it belongs to (None: a segment), its name there, dtype and shape,
    what gives its values, and the file that it is mapped from, if any.
    """

    stage: str | None
    name: str
    spec: ArraySpec
    values: Callable[[], np.ndarray]
    source: SourceFile | None = None

    @property
    def entry(self) -> FileEntry:
        """What the manifest lists of its file, but for the checksum."""
        return FileEntry(self.file_bytes, "0" * 64, self.spec.dtype, self.spec.shape)

    @property
    def file_bytes(self) -> int:
        """Size of its file."""
        return HEADER_BYTES + self.spec.nbytes


@dataclass(frozen=True)
class Written:
    """What the manifest says of the arrays: mark of the trained ones, segments, files, generation."""

    trained: str
    segments: tuple[SegmentEntry, ...]
    files: Mapping[str, FileEntry]
    generation: int = 1


def parameter_arrays(pipeline: Pipeline) -> Iterator[StoredArray]:
    """Arrays of the trained stages."""
    for stage_name, stage in pipeline.stages().items():
        specs = stage.parameter_specs
        for name, array in stage.parameters().items():
            yield StoredArray(stage_name, name, specs[name], _given(array))


def row_arrays(segment: StoredSegment) -> Iterator[StoredArray]:
    """Arrays of one segment: what it stores of its rows, ids, attributes, and the keys of ids."""
    for name, array in (segment.arrays() | segment.ids.arrays() | segment.attribute_arrays()).items():
        spec = ArraySpec(array.dtype.str, array.shape)
        yield StoredArray(None, name, spec, _given(array), segment.files.get(name))
    for name, spec in segment.ids.key_specs().items():
        yield StoredArray(None, name, spec, partial(_key_array, segment, name), segment.files.get(name))


def deletion_array(segment: StoredSegment) -> StoredArray | None:
    """The deleted rows of a segment, or None without any."""
    deleted = segment.deleted
    if deleted is None or not deleted.count:
        return None
    return StoredArray(None, DELETED, deletions_spec(deleted.n, deleted.count), deleted.stored)


def _given(array: np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: array


def _key_array(segment: StoredSegment, name: str) -> np.ndarray:
    """Keys of ids, which may have to be made of all of them."""
    return segment.ids.keys.arrays()[name]


def live_segments(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Those that a folder keeps: a segment without a row that is left is dropped."""
    return tuple(segment for segment in segments if segment.n_deleted < segment.n_rows)


def stored_arrays(pipeline: Pipeline, segments: Sequence[StoredSegment]) -> list[StoredArray]:
    """All arrays of an index in the order in which they are written."""
    found = list(parameter_arrays(pipeline))
    for segment in live_segments(segments):
        found.extend(row_arrays(segment))
        deleted = deletion_array(segment)
        found.extend([] if deleted is None else [deleted])
    return found


def planned(pipeline: Pipeline, segments: Sequence[StoredSegment]) -> Written:
    """What a save to a new folder will write, but for the checksums and the names that come from them."""
    mark, files, entries = "0" * 16, {}, []
    for stored in parameter_arrays(pipeline):
        files[stage_file(mark, stored.stage or "", stored.name)] = stored.entry
    for number, segment in enumerate(live_segments(segments)):
        name = f"s{number:016x}"
        files |= {array_file(name, stored.name): stored.entry for stored in row_arrays(segment)}
        deleted = deletion_array(segment)
        file = None if deleted is None else deletions_file(name, 1)
        if file is not None and deleted is not None:
            files[file] = deleted.entry
        entries.append(
            replace(
                segment_entry(segment.n_rows, segment.ids),
                name=name,
                deleted=segment.n_deleted,
                deletions=file,
                statistics=dict(segment.statistics),
            )
        )
    return Written(mark, tuple(entries), files)


def new_bytes(arrays: Sequence[StoredArray]) -> int:
    """Bytes that have to be written for arrays that cannot be linked."""
    return sum(item.file_bytes for item in arrays if item.source is None)


# ---- into a folder ----


def write_index(staging: Staging, pipeline: Pipeline, segments: Sequence[StoredSegment]) -> Written:
    """Write what the folder lacks of the trained stages and of segments that have rows left.

    Arrays are immutable by rule: a file of the folder stays, one of another folder is linked where that
    works.
    """
    mark = write_stages(staging, pipeline)
    found: dict[str, SegmentEntry] = {}
    for segment in segments:
        entry = _write_segment(staging, segment, found)
        found[entry.name] = entry
    return Written(mark, tuple(found.values()), staging.entries, staging.generation)


def write_stages(staging: Staging, pipeline: Pipeline) -> str:
    """Write the arrays of the trained stages, unless they are there; returns their mark."""
    mark = trained_mark(pipeline)
    for stored in parameter_arrays(pipeline):
        _put(staging, stage_file(mark, stored.stage or "", stored.name), stored)
    return mark


def named_segment(
    staging: Staging, entry: SegmentEntry, drafts: Mapping[str, Draft], taken: Mapping[str, SegmentEntry]
) -> SegmentEntry:
    """The entry of a segment whose arrays are drafts, with the name that these give it. taken: segments that
    are in the folder already.
    """
    checksums, copy = {name: draft.entry.sha256 for name, draft in drafts.items()}, 0
    while (name := segment_name(checksums, entry.ids, entry.first_id, copy)) in taken:
        copy += 1
    for array, draft in drafts.items():
        file = texts_file(name) if array == TEXTS else array_file(name, array)
        if not staging.keeps(file):
            staging.settle(file, draft)
    return replace(entry, name=name)


def segment_entry(n_rows: int, ids: IdColumn) -> SegmentEntry:
    """What the manifest says about a segment that has no name yet."""
    if isinstance(ids, RangeIds):
        return SegmentEntry("", n_rows, "range", ids.start)
    return SegmentEntry("", n_rows, ids.kind)


def _write_segment(
    staging: Staging, segment: StoredSegment, taken: Mapping[str, SegmentEntry]
) -> SegmentEntry:
    entry = segment_entry(segment.n_rows, segment.ids)
    arrays = list(row_arrays(segment))
    is_named = segment.name is not None and SEGMENT.fullmatch(segment.name) is not None
    if segment.name and is_named and segment.name not in taken and all(stored.source for stored in arrays):
        entry = replace(entry, name=segment.name)
        for stored in arrays:
            _put(staging, array_file(segment.name, stored.name), stored)
        if segment.texts is not None and not staging.keeps(texts_file(segment.name)):
            staging.settle(texts_file(segment.name), texts_draft(staging, segment.texts, segment.ids))
    else:
        drafts = {stored.name: _draft(staging, stored) for stored in arrays}
        if segment.texts is not None:
            drafts[TEXTS] = texts_draft(staging, segment.texts, segment.ids)
        entry = named_segment(staging, entry, drafts, taken)
    return replace(
        entry,
        deleted=segment.n_deleted,
        deletions=_write_deletions(staging, segment, entry.name),
        statistics=dict(segment.statistics),
    )


def _write_deletions(staging: Staging, segment: StoredSegment, name: str) -> str | None:
    if not segment.n_deleted:
        return None
    source = segment.deletions
    if source is not None and source.path.name.startswith(f"{name}.") and staging.keeps(source.path.name):
        return str(source.path.name)
    stored = deletion_array(segment)
    assert stored is not None
    file = deletions_file(name, staging.generation)
    staging.settle(file, staging.write_array(stored.values(), stored.spec.dtype))
    return file


def _put(staging: Staging, name: str, stored: StoredArray) -> None:
    if not staging.keeps(name):
        staging.settle(name, _draft(staging, stored))


def _draft(staging: Staging, stored: StoredArray) -> Draft:
    linked = None if stored.source is None else staging.link(stored.source)
    return linked or staging.write_array(stored.values(), stored.spec.dtype)


def texts_draft(staging: Staging, texts: RowTexts, ids: IdColumn) -> Draft:
    """The file of the texts of a segment on its way."""
    linked = None if texts.source is None else staging.link(texts.source)
    return linked or staging.write_file(lambda path: write_row_texts(path, texts, ids))


# ---- what segments learn of it ----


def segment_at_home(segment: Segment, entry: SegmentEntry, files: Mapping[str, SourceFile]) -> Segment:
    """A segment that was just written, with its name and its files. files: of the folder."""
    names = {stored.name for stored in row_arrays(segment)}
    own = {name: files[array_file(entry.name, name)] for name in names}
    deletions = None if entry.deletions is None else files[entry.deletions]
    texts = None if segment.texts is None else StoredTexts(files[texts_file(entry.name)], segment.ids)
    old = segment.name, segment.files, segment.deletions, segment.texts and segment.texts.source
    if old == (entry.name, own, deletions, texts and texts.source):
        return segment
    return segment.changed(name=entry.name, files=own, deletions=deletions, texts=texts)
