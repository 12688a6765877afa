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
from typing import TypeVar

import numpy as np

from cluscomp.errors import CluscompError, CorruptIndexError, IndexFolderError, InputError, UsageError
from cluscomp.indexes.keys.grammar import parse_key
from cluscomp.indexes.kind import Kind, kind_of
from cluscomp.indexes.segments.ids import INT, TEXT, IdColumn, IntIds, RangeIds, TextIds
from cluscomp.indexes.segments.stored import StoredRows, StoredSegment
from cluscomp.indexes.segments.tombstones import Tombstones, stored_fault
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters, require_finite_parameters
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.stages.stage import Stage
from cluscomp.indexes.storage.folder import HEADER_BYTES
from cluscomp.indexes.storage.identity import Version
from cluscomp.indexes.storage.manifest import MANIFEST_NAME, Manifest, SegmentEntry
from cluscomp.indexes.storage.reading import FolderReader, MappedFile
from cluscomp.indexes.storage.saving import SourceFile, segment_file

MOST_READS = 10  # of a folder that is replaced again and again while it is being opened
T = TypeVar("T")


@dataclass(frozen=True)
class OpenedFolder:
    """What is in an index folder."""

    path: Path
    manifest: Manifest
    pipeline: Pipeline
    segments: tuple[StoredSegment, ...]
    extra_files: dict[str, SourceFile]
    version: Version


def open_folder(path: Path, *, verify: bool) -> OpenedFolder:
    """Open the index at `path`: one state of it, also while others replace it. verify: also compare the
    checksums of all files.

    Raises IndexMissingError, ForeignFileError, CorruptIndexError, NewerFormatError, IndexFolderError.
    """
    for _ in range(MOST_READS):
        try:
            with FolderReader(path) as folder:
                opened = _try_open(folder, verify)
        except CluscompError:
            raise
        except OSError as exc:
            raise IndexFolderError(exc.errno, f"cannot read the index {path}: {exc.strerror or exc}") from exc
        if opened is not None:
            return opened
    raise IndexFolderError(
        f"{path} was replaced {MOST_READS} times while it was being opened; open it again when fewer writers "
        "are at work"
    )


def _try_open(folder: FolderReader, verify: bool) -> OpenedFolder | None:
    """What is in the folder, or None where it was replaced meanwhile, whereupon its files are removed."""
    try:
        manifest = folder.manifest()
        if verify:
            for name, entry in (manifest.files | manifest.extra_files).items():
                folder.verify(name, entry)
        opened = _open(folder, manifest)
    except OSError:  # all errors of index folders are OSErrors too
        if folder.is_current():
            raise
        return None
    return None if folder.mixes_states() else opened


def _open(folder: FolderReader, manifest: Manifest) -> OpenedFolder:
    path = folder.path
    kind, pipeline = key_of(path, manifest)
    files = {name: folder.array(name, entry) for name, entry in manifest.files.items()}
    for name, stage in pipeline.stages().items():
        load_stage(path, name, stage, files)
    segments = tuple(
        stored_segment(i, entry, kind, pipeline, files) for i, entry in enumerate(manifest.segments)
    )
    extra = {name: folder.file(name, entry) for name, entry in manifest.extra_files.items()}
    return OpenedFolder(path, manifest, pipeline, segments, extra, folder.version)


def key_of(path: Path, manifest: Manifest) -> tuple[Kind, Pipeline]:
    """Kind and stages, not trained, of the key; the manifest lists the files that it implies.

    Raises CorruptIndexError where it lists others, or names no key.
    """
    try:
        key = parse_key(manifest.key)
        shapes = {name: entry.shape or () for name, entry in manifest.files.items()}
        spec = key.codec.bind(key, shapes, str(path / MANIFEST_NAME))
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
        expected |= {f"{stage_name}.{name}.npy": spec for name, spec in stage.parameter_specs.items()}
    for number, segment in enumerate(manifest.segments):
        listed = of_segment(number, {name: entry.shape or () for name, entry in manifest.files.items()})
        arrays: dict[str, ArraySpec | None] = dict(kind.segment.listed_arrays(pipeline, segment.rows, listed))
        if segment.ids == INT:
            arrays["ids"] = ArraySpec("<i8", (segment.rows,))
        if segment.ids == TEXT:
            arrays |= {"ids_text": None, "ids_offsets": ArraySpec("<i8", (segment.rows + 1,))}
        if segment.deleted:
            arrays["deleted"] = ArraySpec("<i8", (segment.deleted,))
        expected |= {segment_file(number, name): spec for name, spec in arrays.items()}
    return expected


def of_segment(number: int, files: Mapping[str, T]) -> dict[str, T]:
    """What `files` has of one segment, by the names of its arrays."""
    prefix, suffix = segment_file(number, "\0").split("\0")
    return {
        name.removeprefix(prefix).removesuffix(suffix): value
        for name, value in files.items()
        if name.startswith(prefix) and name.endswith(suffix)
    }


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


def load_stage(path: Path, stage_name: str, stage: Stage, files: Mapping[str, MappedFile]) -> None:
    """Read the small arrays of a trained stage, which every search uses, into memory."""
    loaded: Parameters = {}
    for name in stage.parameter_specs:
        loaded[name] = np.array(files[f"{stage_name}.{name}.npy"].array)
        require_finite_parameters(str(path / f"{stage_name}.{name}.npy"), loaded[name])
    try:
        stage.load(loaded)
    except (UsageError, InputError) as exc:
        raise CorruptIndexError(
            f"{path}: the arrays of {stage_name} are inconsistent ({exc}); the index is damaged"
        ) from exc


def stored_segment(
    number: int, entry: SegmentEntry, kind: Kind, pipeline: Pipeline, files: Mapping[str, MappedFile]
) -> StoredSegment:
    """Segment `number` of a folder. Raises CorruptIndexError for values that kernels cannot take."""
    own = of_segment(number, files)
    arrays = {name: mapped.array for name, mapped in own.items()}
    rows = StoredRows(
        n_rows=entry.rows,
        arrays=arrays,
        ids=_ids(entry, arrays),
        deleted=_deleted(number, entry, arrays.get("deleted")),
        files={name: mapped.source for name, mapped in own.items() if name != "deleted"},
        file_of=partial(segment_file, number),
    )
    return kind.segment.from_stored(pipeline, rows)


def _ids(entry: SegmentEntry, arrays: dict[str, np.ndarray]) -> IdColumn:
    if entry.ids == "range":
        return RangeIds(entry.first_id, entry.rows)
    return IntIds(arrays["ids"]) if entry.ids == INT else TextIds(arrays["ids_text"], arrays["ids_offsets"])


def _deleted(number: int, entry: SegmentEntry, positions: np.ndarray | None) -> Tombstones | None:
    if positions is None:
        return None
    fault = stored_fault(entry.rows, positions)
    if fault is not None:
        raise CorruptIndexError(f"{segment_file(number, 'deleted')}: {fault}; the index is damaged")
    return Tombstones.from_stored(entry.rows, positions)
