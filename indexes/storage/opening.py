"""Reading an index folder: manifest and file sizes first, then memory maps that cost what is touched.

Nothing in the folder is trusted. The arrays that the key implies must be listed with the dtypes and shapes
that it implies; each file must have exactly the listed size and the header that its listing implies. Values
that the kernels use as addresses are checked here (list offsets, deletions) or where they are used
(positions, text ids).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from cluscomp.errors import (
    CluscompError,
    CorruptIndexError,
    ForeignFileError,
    IndexFolderError,
    IndexMissingError,
    InputError,
    UsageError,
)
from cluscomp.indexes.keys.grammar import parse_key
from cluscomp.indexes.kind import Kind, kind_of
from cluscomp.indexes.segments.ids import INT, TEXT, IdColumn, IntIds, RangeIds, TextIds
from cluscomp.indexes.segments.stored import StoredRows, StoredSegment
from cluscomp.indexes.stages.parameters import ArraySpec, Parameters, require_finite_parameters
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.stages.stage import Stage
from cluscomp.indexes.storage.folder import COPY_BYTES, HEADER_BYTES, npy_header
from cluscomp.indexes.storage.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    FileEntry,
    Manifest,
    SegmentEntry,
    parse_manifest,
)
from cluscomp.indexes.storage.saving import SourceFile, file_identity, segment_file
from cluscomp.indexes.storage.sniff import describe_file, describe_folder, is_lfs_pointer, read_head

T = TypeVar("T")


@dataclass(frozen=True)
class OpenedFolder:
    """What is in an index folder."""

    path: Path
    manifest: Manifest
    pipeline: Pipeline
    segments: tuple[StoredSegment, ...]
    extra_files: dict[str, SourceFile]


def open_folder(path: Path, *, verify: bool) -> OpenedFolder:
    """Open the index at `path`. verify: also compare the checksums of all files.

    Raises IndexMissingError, ForeignFileError, CorruptIndexError, NewerFormatError, IndexFolderError.
    """
    try:
        manifest = read_manifest(path)
        if verify:
            for name, entry in (manifest.files | manifest.extra_files).items():
                _verify_checksum(path / name, entry)
        return _open(path, manifest)
    except CluscompError:
        raise
    except OSError as exc:
        raise IndexFolderError(exc.errno, f"cannot read the index {path}: {exc.strerror or exc}") from exc


def read_manifest(path: Path) -> Manifest:
    """Read and check manifest.json of the folder `path`."""
    if not path.is_dir():
        raise _not_a_folder(path)
    file = path / MANIFEST_NAME
    if not file.exists():
        known = describe_folder(path)
        if known is not None:
            raise ForeignFileError(
                f"{path} has no {MANIFEST_NAME}; it looks like {known}, not like an index of cluscomp"
            )
        raise IndexMissingError(
            f"{path} has no {MANIFEST_NAME}: it is no index, or one that was not copied as a whole"
        )
    size = file.stat().st_size
    if size > MAX_MANIFEST_BYTES:
        raise CorruptIndexError(
            f"{file} has {size} bytes, more than the {MAX_MANIFEST_BYTES} that a manifest may have"
        )
    raw = read_head(file, MAX_MANIFEST_BYTES)
    if is_lfs_pointer(raw):
        raise ForeignFileError(f"{file} is {describe_file(raw)}")
    return parse_manifest(raw, str(file))


def _not_a_folder(path: Path) -> CluscompError:
    if not path.exists():
        return IndexMissingError(
            f"there is no index at {path}; check the path, or build one with build-index"
        )
    if path.name == MANIFEST_NAME:
        return ForeignFileError(f"{path} is the manifest of an index; pass its folder {path.parent}")
    return ForeignFileError(
        f"{path} is a file, not an index folder; it looks like {describe_file(read_head(path))}"
    )


def _open(path: Path, manifest: Manifest) -> OpenedFolder:
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
    expected = _expected_arrays(kind, pipeline, manifest)
    _require_same_files(path, expected, manifest)
    files = {name: _map_array(path / name, entry) for name, entry in manifest.files.items()}
    for name, stage in pipeline.stages().items():
        _load_stage(path, name, stage, files)
    segments = tuple(_segment(i, entry, kind, pipeline, files) for i, entry in enumerate(manifest.segments))
    extra = {name: _checked_file(path / name, entry) for name, entry in manifest.extra_files.items()}
    return OpenedFolder(path, manifest, pipeline, segments, extra)


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
        listed = _of_segment(number, {name: entry.shape or () for name, entry in manifest.files.items()})
        arrays: dict[str, ArraySpec | None] = dict(kind.segment.listed_arrays(pipeline, segment.rows, listed))
        if segment.ids == INT:
            arrays["ids"] = ArraySpec("<i8", (segment.rows,))
        if segment.ids == TEXT:
            arrays |= {"ids_text": None, "ids_offsets": ArraySpec("<i8", (segment.rows + 1,))}
        if segment.deleted:
            arrays["deleted"] = ArraySpec("<i8", (segment.deleted,))
        expected |= {segment_file(number, name): spec for name, spec in arrays.items()}
    return expected


def _of_segment(number: int, files: Mapping[str, T]) -> dict[str, T]:
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


@dataclass(frozen=True)
class _Mapped:
    array: np.ndarray
    source: SourceFile


def _map_array(path: Path, entry: FileEntry) -> _Mapped:
    """Map a .npy file after its size and header have been checked."""
    source = _checked_file(path, entry)
    assert entry.dtype is not None and entry.shape is not None
    if read_head(path, HEADER_BYTES) != npy_header(entry.dtype, entry.shape):
        raise CorruptIndexError(
            f"{path} does not begin with the header of a {entry.dtype} array of shape {entry.shape}; it "
            f"looks like {describe_file(read_head(path))}; restore a copy or rebuild the index"
        )
    if 0 in entry.shape:  # an empty file part cannot be mapped
        return _Mapped(np.empty(entry.shape, entry.dtype), source)
    mapped = np.memmap(path, entry.dtype, "r", HEADER_BYTES, entry.shape)
    return _Mapped(mapped.view(np.ndarray), source)


def _checked_file(path: Path, entry: FileEntry) -> SourceFile:
    try:
        status = os.stat(path)
    except FileNotFoundError as exc:
        raise CorruptIndexError(
            f"{path} is missing, but the manifest lists it with {entry.bytes} bytes"
        ) from exc
    if not stat.S_ISREG(status.st_mode):
        raise CorruptIndexError(f"{path} is not a regular file")
    if status.st_size != entry.bytes:
        if is_lfs_pointer(read_head(path)):
            raise ForeignFileError(f"{path} is {describe_file(read_head(path))}")
        raise CorruptIndexError(
            f"{path} has {status.st_size} bytes, but the manifest says {entry.bytes}: it is truncated or "
            "altered; restore a copy or rebuild the index"
        )
    return SourceFile(path.absolute(), entry, file_identity(path))


def _load_stage(path: Path, stage_name: str, stage: Stage, files: dict[str, _Mapped]) -> None:
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


def _segment(
    number: int, entry: SegmentEntry, kind: Kind, pipeline: Pipeline, files: dict[str, _Mapped]
) -> StoredSegment:
    own = _of_segment(number, files)
    arrays = {name: mapped.array for name, mapped in own.items()}
    rows = StoredRows(
        n_rows=entry.rows,
        arrays=arrays,
        ids=_ids(entry, arrays),
        deleted=_deleted_mask(number, entry, arrays.get("deleted")),
        files={name: mapped.source for name, mapped in own.items() if name != "deleted"},
        file_of=partial(segment_file, number),
    )
    return kind.segment.from_stored(pipeline, rows)


def _ids(entry: SegmentEntry, arrays: dict[str, np.ndarray]) -> IdColumn:
    if entry.ids == "range":
        return RangeIds(entry.first_id, entry.rows)
    return IntIds(arrays["ids"]) if entry.ids == INT else TextIds(arrays["ids_text"], arrays["ids_offsets"])


def _deleted_mask(number: int, entry: SegmentEntry, positions: np.ndarray | None) -> np.ndarray | None:
    if positions is None:
        return None
    if int(positions.min()) < 0 or int(positions.max()) >= entry.rows or (np.diff(positions) <= 0).any():
        raise CorruptIndexError(
            f"{segment_file(number, 'deleted')}: deleted rows must rise within 0 to {entry.rows - 1}; "
            "the index is damaged"
        )
    mask = np.zeros(entry.rows, dtype=np.uint8)
    mask[positions] = 1
    return mask


def _verify_checksum(path: Path, entry: FileEntry) -> None:
    _checked_file(path, entry)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(COPY_BYTES):
            digest.update(chunk)
    if digest.hexdigest() != entry.sha256:
        raise CorruptIndexError(
            f"{path} has checksum {digest.hexdigest()}, but the manifest says {entry.sha256}: "
            "its contents were altered; restore a copy or rebuild the index"
        )
