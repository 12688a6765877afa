"""Reading an index folder: manifest and file sizes first, then memory maps that cost what is touched.

Nothing in the folder is trusted. The arrays that the key implies must be listed with the dtypes and shapes
that it implies; each file must have exactly the listed size and the header that its listing implies. Values
that the kernels use as addresses are checked here (list offsets, deletions) or where they are used
(positions, text ids).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cluscomp.attributes import Field
from cluscomp.errors import CluscompError, CorruptIndexError, IndexFolderError, InputError, UsageError
from cluscomp.indexes.keys.grammar import parse_key
from cluscomp.indexes.kind import Kind, kind_of
from cluscomp.indexes.segments.id_keys import KEYS, ROWS, IdKeys, key_specs
from cluscomp.indexes.segments.ids import INT, TEXT, IdColumn, IntIds, RangeIds, TextIds
from cluscomp.indexes.segments.mapped import read_at_random
from cluscomp.indexes.segments.stored import StoredRows, StoredSegment
from cluscomp.indexes.segments.tombstones import Tombstones
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters, require_finite_parameters
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.stages.stage import Stage
from cluscomp.indexes.storage.columns import attribute_specs, stored_table
from cluscomp.indexes.storage.deletions import deletions_spec, read_deletions
from cluscomp.indexes.storage.identity import Version
from cluscomp.indexes.storage.manifest import MANIFEST_NAME, NAMED_BY_CONTENTS, Manifest, SegmentEntry
from cluscomp.indexes.storage.names import (
    OLD_TEXTS,
    array_file,
    owner_of,
    stage_file,
    texts_file,
    without_mark,
)
from cluscomp.indexes.storage.place import Place
from cluscomp.indexes.storage.reading import FolderReader, MappedFile
from cluscomp.indexes.storage.sources import SourceFile
from cluscomp.indexes.storage.staging import HEADER_BYTES
from cluscomp.indexes.storage.stored_texts import StoredTexts

MOST_READS = 10  # of a folder that is replaced again and again while it is being opened
T = TypeVar("T")


@dataclass(frozen=True)
class OpenedFolder:
    """What is in an index folder. place: where the index lives. path: of the folder with its files."""

    place: Place
    path: Path
    manifest: Manifest
    pipeline: Pipeline
    segments: tuple[StoredSegment, ...]
    files: dict[str, SourceFile]
    version: Version


def open_folder(
    place: Place,
    *,
    verify: bool,
    known: Mapping[str, StoredSegment] | None = None,
    generation: int | None = None,
) -> OpenedFolder:
    """Open the index at `place`: one state of it, also while others replace it. verify: also compare the
    checksums of all files. known: segments by name that stay as they are, mapped, where the state has them.
    generation: of the state; None: the newest.

    Raises IndexMissingError, ForeignFileError, CorruptIndexError, NewerFormatError, IndexFolderError.
    """
    for _ in range(MOST_READS):
        try:
            with place.reader(generation) as folder:
                opened = _try_open(place, folder, verify, known or {})
        except CluscompError:
            raise
        except OSError as exc:
            raise IndexFolderError(
                exc.errno, f"cannot read the index {place}: {exc.strerror or exc}"
            ) from exc
        if opened is not None:
            return opened
    raise IndexFolderError(
        f"{place} was replaced {MOST_READS} times while it was being opened; open it again when fewer "
        "writers are at work"
    )


def _try_open(
    place: Place, folder: FolderReader, verify: bool, known: Mapping[str, StoredSegment]
) -> OpenedFolder | None:
    """What is in the folder, or None where it was replaced meanwhile, whereupon its files are removed."""
    try:
        manifest = folder.manifest()
        if verify:
            for name, entry in (manifest.files | manifest.extra_files).items():
                folder.verify(name, entry)
        opened = _open(place, folder, manifest, known)
    except OSError:  # all errors of index folders are OSErrors too
        if folder.is_current():
            raise
        return None
    return None if folder.mixes_states() else opened


def _open(
    place: Place, folder: FolderReader, manifest: Manifest, known: Mapping[str, StoredSegment]
) -> OpenedFolder:
    path = folder.path
    kind, pipeline = key_of(path, manifest)
    arrays = {name: folder.array(name, entry) for name, entry in manifest.files.items()}
    for name, stage in pipeline.stages().items():
        load_stage(path, manifest, name, stage, arrays)
    owned = by_owner(arrays)
    files = {name: mapped.source for name, mapped in arrays.items()}
    files |= {name: folder.file(name, entry) for name, entry in manifest.extra_files.items()}
    texts = {segment: files[name] for segment, name in texts_of(manifest).items()}
    segments = tuple(
        _with_texts(
            _same_segment(known.get(entry.name), entry, owned)
            or stored_segment(entry, kind, pipeline, owned, manifest.schema),
            texts.get(entry.name),
        )
        for entry in manifest.segments
    )
    return OpenedFolder(place, path, manifest, pipeline, segments, files, folder.version)


def texts_of(manifest: Manifest) -> dict[str, str]:
    """Name of a segment -> file of its titles and texts, for those that have one."""
    names = {entry.name: texts_file(entry.name) for entry in manifest.segments}
    found = {segment: name for segment, name in names.items() if name in manifest.extra_files}
    if OLD_TEXTS in manifest.extra_files and manifest.segments:
        found.setdefault(manifest.segments[0].name, OLD_TEXTS)  # a build made it and its rows
    return found


def _with_texts(segment: StoredSegment, source: SourceFile | None) -> StoredSegment:
    known = None if segment.texts is None else segment.texts.source
    if known == source:
        return segment
    return segment.changed(texts=None if source is None else StoredTexts(source, segment.ids))


def _same_segment(
    known: StoredSegment | None, entry: SegmentEntry, owned: Mapping[str, Mapping[str, MappedFile]]
) -> StoredSegment | None:
    """A segment that is open already, with the deleted rows that it has now; None where its files differ."""
    own = dict(owned.get(entry.name, {}))
    deleted, deletions = _deletions(entry, own)
    sources = {name: mapped.source for name, mapped in own.items()}
    if known is None or known.files != sources:
        return None
    if known.deletions == deletions and known.n_deleted == entry.deleted:
        return known
    return known.changed(deleted=deleted, deletions=deletions)


def key_of(path: Path, manifest: Manifest) -> tuple[Kind, Pipeline]:
    """Kind and stages, not trained, of the key; the manifest lists the files that it implies.

    Raises CorruptIndexError where it lists others, or names no key.
    """
    try:
        key = parse_key(manifest.key)
        if manifest.format_version < NAMED_BY_CONTENTS:
            key = key.of_old_folders()
        shapes = {without_mark(name): entry.shape or () for name, entry in manifest.files.items()}
        spec = key.bound(shapes, str(path / MANIFEST_NAME))
        kind = kind_of(spec)
        pipeline = kind.stages(spec, manifest.dim, manifest.metric, manifest.seed)
    except UsageError as exc:
        raise CorruptIndexError(
            f"{path / MANIFEST_NAME} names a key that this version cannot open ({exc}); "
            "the index is damaged, or a newer cluscomp made it: upgrade, or rebuild the index"
        ) from exc
    _require_layout(path, pipeline, manifest)
    _require_same_files(path, _expected_arrays(kind, pipeline, manifest), manifest)
    return kind, pipeline


def _require_layout(path: Path, pipeline: Pipeline, manifest: Manifest) -> None:
    """Raise CorruptIndexError for codes of an older layout than the codec reads."""
    if manifest.format_version < pipeline.codec.layout_version:
        raise CorruptIndexError(
            f"{path / MANIFEST_NAME} has format version {manifest.format_version}, whose codes of "
            f"{pipeline.codec.spec} stand in another order than version {pipeline.codec.layout_version} "
            "has them; rebuild the index"
        )


def _expected_arrays(kind: Kind, pipeline: Pipeline, manifest: Manifest) -> dict[str, ArraySpec | None]:
    """Name -> dtype and shape that the key implies; None where the length is only known from the listing."""
    expected: dict[str, ArraySpec | None] = {}
    for stage_name, stage in pipeline.stages().items():
        expected |= {
            stage_file(manifest.trained, stage_name, name): spec
            for name, spec in stage.parameter_specs.items()
        }
    owned = by_owner({name: entry.shape or () for name, entry in manifest.files.items()})
    for segment in manifest.segments:
        listed = owned.get(segment.name, {})
        arrays: dict[str, ArraySpec | None] = dict(kind.segment.listed_arrays(pipeline, segment.rows, listed))
        arrays |= _id_arrays(segment, listed)
        arrays |= attribute_specs(manifest.schema, segment.rows, listed)
        expected |= {array_file(segment.name, name): spec for name, spec in arrays.items()}
        if segment.deletions is not None:
            expected[segment.deletions] = _deletions_spec(manifest, segment)
    return expected


def _id_arrays(segment: SegmentEntry, listed: Mapping[str, Any]) -> dict[str, ArraySpec | None]:
    """Arrays of the ids of a segment; older folders list no keys, which are made when they are needed."""
    arrays: dict[str, ArraySpec | None] = {}
    if segment.ids == INT:
        arrays["ids"] = ArraySpec("<i8", (segment.rows,))
    if segment.ids == TEXT:
        arrays |= {"ids_text": None, "ids_offsets": ArraySpec("<i8", (segment.rows + 1,))}
    if arrays and not {KEYS, ROWS}.isdisjoint(listed):
        arrays |= key_specs("<i8" if segment.ids == INT else "<u8", segment.rows)
    return arrays


def _deletions_spec(manifest: Manifest, segment: SegmentEntry) -> ArraySpec:
    if manifest.format_version < NAMED_BY_CONTENTS:
        return ArraySpec("<i8", (segment.deleted,))
    return deletions_spec(segment.rows, segment.deleted)


def by_owner(files: Mapping[str, T]) -> dict[str, dict[str, T]]:
    """Segment (or another owner) -> array -> what `files` has of it."""
    found: dict[str, dict[str, T]] = {}
    for name, value in files.items():
        owner, array = owner_of(name)
        found.setdefault(owner, {})[array] = value
    return found


def _require_same_files(path: Path, expected: dict[str, ArraySpec | None], manifest: Manifest) -> None:
    where, listed = path / MANIFEST_NAME, manifest.files
    if listed.keys() != expected.keys():
        missing, surplus = sorted(expected.keys() - listed.keys()), sorted(listed.keys() - expected.keys())
        raise CorruptIndexError(
            f"{where} does not list the files of an index {manifest.key!r}: missing {missing[:5]}, not "
            f"expected {surplus[:5]}; the index is damaged; restore a copy or rebuild it"
        )
    for name, spec in expected.items():
        entry = listed[name]
        wanted = spec or ArraySpec("|u1", (entry.bytes - HEADER_BYTES,))
        size = HEADER_BYTES + wanted.nbytes
        if (entry.dtype, entry.shape, entry.bytes) != (wanted.dtype, wanted.shape, size):
            raise CorruptIndexError(
                f"{where} says that {name} is {entry.dtype} {entry.shape} of {entry.bytes} bytes, but the "
                f"key {manifest.key!r} implies {wanted.dtype} {wanted.shape} of "
                f"{size} bytes"
            )
    kinds = {INT: {"range", INT}, TEXT: {TEXT}, None: set()}[manifest.id_kind]
    if not {segment.ids for segment in manifest.segments} <= kinds:
        raise CorruptIndexError(f"{where} says that ids are {manifest.id_kind}, but its segments differ")


def load_stage(
    path: Path, manifest: Manifest, stage_name: str, stage: Stage, files: Mapping[str, MappedFile]
) -> None:
    """Read the small arrays of a trained stage, which every search uses, into memory."""
    loaded: Parameters = {}
    for name in stage.parameter_specs:
        file = stage_file(manifest.trained, stage_name, name)
        loaded[name] = np.array(files[file].array)
        require_finite_parameters(str(path / file), loaded[name])
    try:
        stage.load(loaded)
    except (UsageError, InputError) as exc:
        raise CorruptIndexError(
            f"{path}: the arrays of {stage_name} are inconsistent ({exc}); the index is damaged"
        ) from exc


def stored_segment(
    entry: SegmentEntry,
    kind: Kind,
    pipeline: Pipeline,
    owned: Mapping[str, Mapping[str, MappedFile]],
    schema: Mapping[str, Field],
) -> StoredSegment:
    """A segment of a folder. owned: as `by_owner` tells. schema: of the attributes. Raises CorruptIndexError
    for values that kernels cannot take.
    """
    own = dict(owned.get(entry.name, {}))
    deleted, deletions = _deletions(entry, own)
    arrays = {name: mapped.array for name, mapped in own.items()}
    rows = StoredRows(
        n_rows=entry.rows,
        arrays=arrays,
        ids=_ids(entry, arrays),
        deleted=deleted,
        files={name: mapped.source for name, mapped in own.items()},
        file_of=partial(array_file, entry.name),
    )
    segment = kind.segment.from_stored(pipeline, rows)
    table = stored_table(schema, entry.rows, arrays)
    return segment.changed(
        name=entry.name, deletions=deletions, statistics=entry.statistics, attributes=table
    )


def _deletions(
    entry: SegmentEntry, own: dict[str, MappedFile]
) -> tuple[Tombstones | None, SourceFile | None]:
    """The deleted rows of a segment, and their file, which is taken out of its files."""
    if entry.deletions is None:
        return None, None
    mapped = own.pop(owner_of(entry.deletions)[1])
    return read_deletions(mapped.array, entry.rows, entry.deleted, entry.deletions), mapped.source


def _ids(entry: SegmentEntry, arrays: Mapping[str, np.ndarray]) -> IdColumn:
    if entry.ids == "range":
        return RangeIds(entry.first_id, entry.rows)
    for name in {KEYS, ROWS, "ids", "ids_text", "ids_offsets"} & arrays.keys():
        read_at_random(arrays[name])  # of millions, few are looked up
    keys = IdKeys(arrays[KEYS], arrays[ROWS]) if KEYS in arrays else None
    if entry.ids == INT:
        return IntIds(arrays["ids"], keys)
    return TextIds(arrays["ids_text"], arrays["ids_offsets"], keys)
