"""verify_index: what is wrong with an index folder, every fault by file and number, not only the first."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cluscomp import checks
from cluscomp.errors import CluscompError, CorruptIndexError, ForeignFileError, IndexFolderError
from cluscomp.indexes.kind import Kind
from cluscomp.indexes.segments.compacting import live_column
from cluscomp.indexes.segments.id_lookup import largest_id, live_matches
from cluscomp.indexes.segments.ids import TEXT, make_ids
from cluscomp.indexes.segments.own_lists import own_lists_fault
from cluscomp.indexes.segments.segment import list_sizes
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.storage.manifest import MANIFEST_NAME, FileEntry, Manifest
from cluscomp.indexes.storage.names import array_file, stage_file, trained_mark
from cluscomp.indexes.storage.opening import (
    MOST_READS,
    by_owner,
    key_of,
    load_stage,
    stored_segment,
    texts_of,
)
from cluscomp.indexes.storage.places import place_of
from cluscomp.indexes.storage.reading import FolderReader, MappedFile
from cluscomp.indexes.storage.stored_texts import text_faults
from cluscomp.indexes.storage.texts import DocumentStore
from cluscomp.vocabulary import VERIFY_LEVELS, VerifyLevel


@dataclass(frozen=True)
class IndexFault:
    """What is wrong with one file of an index. file: its name in the folder."""

    file: str
    message: str

    def to_json(self) -> dict[str, str]:
        """Give the fault as JSON values."""
        return asdict(self)


def verify_index(path: str | os.PathLike[str], level: VerifyLevel = "deep") -> list[IndexFault]:
    """Find all faults of an index folder.

    Nothing is changed, and the folder may be in use. A folder that somebody replaces meanwhile is read again.

    Args:
        path: the folder, or the address of an index in an object store, of which all files are then fetched
            anew.
        level: "quick" checks the manifest, sizes, headers, trained arrays, list offsets and deleted rows;
            "sums" also reads every file and compares its checksum; "deep" also checks that the lists hold
            every row once, most of 256 vectors of each segment lie in lists near to what their codes stand
            for, floats are finite, ids are different over all segments and as their keys say, and texts are
            whole and those of their rows.

    Returns:
        The faults, in the order in which the manifest lists the files; none for a whole index.

    Raises:
        IndexMissingError: no index is there.
        ForeignFileError: another tool's file or folder.
        NewerFormatError: a newer version wrote it.
        IndexFolderError: the folder cannot be read, or is replaced again and again.
        UnknownKeyError: level is unknown.
    """
    place = place_of(path)
    checks.one_of("level", level, VERIFY_LEVELS)
    for _ in range(MOST_READS):
        try:
            with place.examined() as reader:
                found = _Examination(reader).run(level)
                # a fault may come of files that others replaced or removed in the meantime
                if reader.is_current() or (not found and reader.is_same_folder()):
                    return found
        except CluscompError:
            raise
        except OSError as exc:
            raise IndexFolderError(
                exc.errno, f"cannot read the index {place}: {exc.strerror or exc}"
            ) from exc
    raise IndexFolderError(
        f"{place} was replaced {MOST_READS} times while it was being verified; verify it when fewer writers "
        "are at work"
    )


@dataclass
class _Examination:
    """The faults of one folder so far."""

    reader: FolderReader
    faults: list[IndexFault] = field(default_factory=list)

    def run(self, level: VerifyLevel) -> list[IndexFault]:
        """Examine the folder. Raises what says that this is no index of this version at all."""
        try:
            manifest = self.reader.manifest()
        except CorruptIndexError as exc:
            return [IndexFault(MANIFEST_NAME, str(exc))]
        arrays = self._files(manifest, with_sums=level != "quick")
        with self._faults_of(MANIFEST_NAME):
            kind, pipeline = key_of(self.reader.path, manifest)
            self._stages(manifest, pipeline, arrays)
            segments = self._segments(manifest, kind, pipeline, arrays)
            if level == "deep":
                self._rows(manifest, pipeline, segments)
                self._ids(manifest, segments)
                self._texts(manifest, segments)
                self._mark(manifest, pipeline)
        return self.faults

    @contextmanager
    def _faults_of(self, *names: str) -> Iterator[None]:
        """What is raised is a fault of the file that the message names, or else of the first.

        Damaged files may also be refused by the system.
        """
        try:
            yield
        except (CorruptIndexError, ForeignFileError) as exc:
            named = [name for name in names if name in str(exc)]
            self.faults.append(IndexFault((named or names)[0], str(exc)))
        except CluscompError:
            raise
        except OSError as exc:
            self.faults.append(IndexFault(names[0], f"cannot be read: {exc.strerror or exc}"))

    def _files(self, manifest: Manifest, *, with_sums: bool) -> dict[str, MappedFile]:
        """Sizes, headers and checksums of all files; returns the arrays whose size and header are right."""
        arrays: dict[str, MappedFile] = {}
        for name, entry in manifest.files.items():
            with self._faults_of(name):
                arrays[name] = self.reader.array(name, entry)
                self._sum(name, entry, with_sums)
        for name, entry in manifest.extra_files.items():
            with self._faults_of(name):
                self.reader.file(name, entry)
                self._sum(name, entry, with_sums)
        return arrays

    def _sum(self, name: str, entry: FileEntry, wanted: bool) -> None:
        if wanted:
            self.reader.verify(name, entry)

    def _stages(self, manifest: Manifest, pipeline: Pipeline, arrays: Mapping[str, MappedFile]) -> None:
        for stage_name, stage in pipeline.stages().items():
            names = [stage_file(manifest.trained, stage_name, name) for name in stage.parameter_specs]
            if names and all(name in arrays for name in names):
                with self._faults_of(*names):
                    load_stage(self.reader.path, manifest, stage_name, stage, arrays)

    def _segments(
        self, manifest: Manifest, kind: Kind, pipeline: Pipeline, arrays: Mapping[str, MappedFile]
    ) -> dict[int, StoredSegment]:
        """Segments by number, without those that lack a file or cannot be opened."""
        found: dict[int, StoredSegment] = {}
        listed, owned = by_owner({name: name for name in manifest.files}), by_owner(arrays)
        for number, entry in enumerate(manifest.segments):
            names = listed.get(entry.name, {}).values()
            if all(name in arrays for name in names):
                with self._faults_of(*names):
                    found[number] = stored_segment(entry, kind, pipeline, owned, manifest.schema)
        return found

    def _rows(self, manifest: Manifest, pipeline: Pipeline, segments: Mapping[int, StoredSegment]) -> None:
        for number, segment in segments.items():
            for name, message in segment.faults(pipeline):
                file = array_file(manifest.segments[number].name, name)
                self.faults.append(IndexFault(file, message))
        if pipeline.partition is not None and pipeline.is_trained and not self.faults:
            self._lists(manifest, pipeline, segments)

    def _lists(self, manifest: Manifest, pipeline: Pipeline, segments: Mapping[int, StoredSegment]) -> None:
        """Whether vectors lie in their lists; all values are whole."""
        sizes = list_sizes(list(segments.values()), pipeline.spec.nlist)
        for number, segment in segments.items():
            message = own_lists_fault(pipeline, segment, sizes)
            if message is not None:
                of_lists = "lists" if segment.vector_offsets() is not None else "positions"
                self.faults.append(IndexFault(array_file(manifest.segments[number].name, of_lists), message))

    def _ids(self, manifest: Manifest, segments: Mapping[int, StoredSegment]) -> None:
        """Whether live ids are different, and new rows get numbers that no row has."""
        if not segments or any(fault.file.endswith(".ids_offsets.npy") for fault in self.faults):
            return
        with self._faults_of(_id_file(next(iter(segments)), manifest)):
            twice = live_column(list(segments.values())).first_duplicate()
            if twice is not None:
                self.faults.append(_duplicate(twice, manifest, segments))
        largest = max(largest_id(segment.ids) for segment in segments.values())
        if manifest.next_id <= largest:
            self.faults.append(
                IndexFault(
                    MANIFEST_NAME,
                    f"next_id is {manifest.next_id}, but a row has id {largest}: rows that are added without "
                    "ids would get ids that are taken",
                )
            )

    def _mark(self, manifest: Manifest, pipeline: Pipeline) -> None:
        """Whether the trained arrays are those that the manifest tells by."""
        if manifest.trained and pipeline.is_trained and trained_mark(pipeline) != manifest.trained:
            self.faults.append(
                IndexFault(
                    MANIFEST_NAME,
                    f"trained is {manifest.trained}, but the trained arrays imply {trained_mark(pipeline)}",
                )
            )

    def _texts(self, manifest: Manifest, segments: Mapping[int, StoredSegment]) -> None:
        """Whether the texts of a segment are whole, and those of its rows."""
        files = texts_of(manifest)
        for number, entry in enumerate(manifest.segments):
            if entry.name not in files:
                continue
            file, segment = files[entry.name], segments.get(number)
            with self._faults_of(file), DocumentStore(Path(self.reader.path) / file) as store:
                found = store.faults() or ([] if segment is None else text_faults(store, segment.ids))
                self.faults += [IndexFault(file, message) for message in found]


def _id_file(number: int, manifest: Manifest) -> str:
    """Name of the file that holds the ids of a segment; ranges stand in the manifest."""
    entry = manifest.segments[number]
    if entry.ids == "range":
        return MANIFEST_NAME
    return array_file(entry.name, "ids_text" if entry.ids == TEXT else "ids")


def _duplicate(name: object, manifest: Manifest, segments: Mapping[int, StoredSegment]) -> IndexFault:
    """The fault of an id that more than one live row has. Rows are counted from 0."""
    wanted = make_ids([name], 1)
    rows = {number: int(live_matches(segment, wanted)[0]) for number, segment in segments.items()}
    holders = [number for number, row in rows.items() if row >= 0]
    places = " and ".join(f"row {rows[number]} of segment {number}" for number in holders)
    again = places if len(holders) > 1 else f"{places} and another row of it"
    return IndexFault(_id_file(holders[-1], manifest), f"id {name!r} is there more than once: {again}")
