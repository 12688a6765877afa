"""merge_indexes: several index folders of one trained state become one folder; no row is encoded again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cluscomp import checks
from cluscomp.attributes import Field, Schema
from cluscomp.errors import DTypeError, DuplicateIdError, EncoderMismatchError, UsageError
from cluscomp.indexes.index import open_index
from cluscomp.indexes.segments.compacting import live_column
from cluscomp.indexes.segments.id_lookup import live_matches
from cluscomp.indexes.segments.ids import make_ids
from cluscomp.indexes.storage.lock import WAIT
from cluscomp.indexes.storage.manifest import FileEntry, Manifest
from cluscomp.indexes.storage.place import Place
from cluscomp.indexes.storage.places import place_of
from cluscomp.indexes.storage.saving import (
    Written,
    live_segments,
    new_bytes,
    stored_arrays,
    write_index,
)
from cluscomp.vocabulary import IF_TAKEN, IfTaken

if TYPE_CHECKING:
    from cluscomp.indexes.hybrid.index import HybridIndex
    from cluscomp.indexes.index import Index
    from cluscomp.indexes.multivector.index import MultiVectorIndex
    from cluscomp.indexes.sparse.index import SparseIndex


@dataclass(frozen=True)
class IndexMergeReport:
    """What `merge_indexes` wrote.

    key, dim, metric: of all indexes. rows: that can be found. deleted: that are still stored. segments: of
    all indexes together. bytes: of the array files, many of which are links. texts: whether titles and texts
    came along.
    """

    key: str
    dim: int
    metric: str
    rows: int
    deleted: int
    segments: int
    bytes: int
    texts: bool

    def to_json(self) -> dict[str, Any]:
        """Give the report as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class _Part:
    """One of the indexes, and the folder that it was opened from."""

    path: Path
    index: Index | MultiVectorIndex | SparseIndex | HybridIndex


def merge_indexes(
    paths: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    if_exists: IfTaken = "fail",
    dry_run: bool = False,
) -> IndexMergeReport:
    """Write one index that holds the rows of several.

    They must have come from one training: an index that was trained, saved and grew in several copies. The
    files of their segments are linked, or copied where links do not work; nothing is encoded again.
    `compact` makes fewer segments of them afterwards. Rows count as added in the order of `paths`, which
    decides between equal scores. Settings are those of the first index. Titles and texts come along, reports
    of builds do not.

    Args:
        paths: index folders, at least two.
        output: the folder to write, all or nothing.
        if_exists: "fail", or "replace", which replaces an index and nothing else.
        dry_run: check everything, and write nothing.

    Returns:
        An `IndexMergeReport`.

    Raises:
        UsageError: key, dim, metric or trained arrays differ; the message names both folders.
        EncoderMismatchError: the indexes were built with different encoders.
        DTypeError: one has integer ids, another text ids.
        DuplicateIdError: an id is in two of them.
        OutputExistsError: something is at `output` that is not replaced.
        IndexMissingError, CorruptIndexError, NewerFormatError, ForeignFileError: a folder cannot be opened.
        DiskFullError, IndexFolderError: the output cannot be written; what was there is untouched.
        UnknownKeyError: if_exists is unknown.

    """
    target = place_of(output)
    checks.one_of("if_exists", if_exists, IF_TAKEN)
    parts = _opened(paths)
    target.check_target(if_exists)
    for one, two in pairwise(parts):
        _require_same(one, two)
    _require_unique_ids(parts)
    _schema(parts)
    if not dry_run:
        _write(parts, target, if_exists)
    return _report(parts)


def _opened(paths: Sequence[str | os.PathLike[str]]) -> list[_Part]:
    if isinstance(paths, (str, os.PathLike)) or len(paths) < 2:
        raise UsageError(f"paths={paths!r}, but at least two index folders are merged; pass a list of them")
    folders = [checks.path("paths", path) for path in paths]
    return [_Part(folder, open_index(folder)) for folder in folders]


def _require_same(one: _Part, two: _Part) -> None:
    """Raise unless codes of both indexes mean the same."""
    for name in ("key", "dim", "metric"):
        mine, theirs = getattr(one.index, name), getattr(two.index, name)
        if mine != theirs:
            raise UsageError(
                f"{one.path} has {name} {mine!r}, {two.path} has {theirs!r}; only indexes of one training "
                "can be merged: add the rows of one to the other, or build one index of all"
            )
    if _mark(one.index.encoder) != _mark(two.index.encoder):
        raise EncoderMismatchError(
            f"{one.path} was built with {_encoder_name(one)}, {two.path} with {_encoder_name(two)}; vectors "
            "of different encoders cannot be compared"
        )
    for name, stage in one.index.pipeline.stages().items():
        theirs = two.index.pipeline.stages()[name].parameters()
        for array, values in stage.parameters().items():
            if not np.array_equal(values, theirs[array]):
                raise UsageError(
                    f"{one.path} and {two.path} were trained apart: their arrays {name}.{array} differ, so "
                    "that codes of one mean nothing to the other; add the rows of one to the other, or build "
                    "one index of all"
                )


def _mark(encoder: dict[str, Any] | None) -> Any:
    """What is equal for equal encoders."""
    if encoder is None or "fingerprint" not in encoder:
        return encoder
    return encoder["fingerprint"], encoder.get("kind")


def _encoder_name(part: _Part) -> str:
    encoder = part.index.encoder
    return "an unknown encoder" if encoder is None else f"encoder {encoder.get('name')!r}"


def _require_unique_ids(parts: Sequence[_Part]) -> None:
    """Raise DTypeError for ids of two kinds, DuplicateIdError naming both folders of an id."""
    named = [part for part in parts if part.index.segments]
    for one, two in pairwise(named):
        if one.index.id_kind != two.index.id_kind:
            raise DTypeError(
                f"{one.path} has {one.index.id_kind} ids, {two.path} has {two.index.id_kind}; ids of one "
                "index are of one kind"
            )
    if not named:
        return
    duplicate = live_column([segment for part in named for segment in part.index.segments]).first_duplicate()
    if duplicate is not None:
        raise DuplicateIdError(
            f"id {duplicate!r} is in {_owners(named, duplicate)}; delete it from one of them first"
        )


def _owners(parts: Sequence[_Part], name: Any) -> str:
    """The folders that hold an id, as text."""
    wanted = make_ids([name], 1)
    owners = [
        str(part.path)
        for part in parts
        for segment in part.index.segments
        if live_matches(segment, wanted)[0] >= 0
    ]
    return " and in ".join(owners)


def _write(parts: Sequence[_Part], target: Place, if_exists: str) -> None:
    segments, pipeline = _segments(parts), parts[0].index.pipeline
    needed = new_bytes(stored_arrays(pipeline, segments))
    with target.new_index(if_exists, needed, WAIT) as writer, writer.disk_errors():
        written = write_index(writer, pipeline, segments)
        writer.publish(_manifest(parts, written, writer.extra))


def _segments(parts: Sequence[_Part]) -> list[Any]:
    """Segments of all indexes that have rows left."""
    return [segment for part in parts for segment in live_segments(part.index.segments)]


def _manifest(parts: Sequence[_Part], written: Written, extra: dict[str, FileEntry]) -> Manifest:
    manifests = [part.index.manifest(written, extra) for part in parts]
    kinds = [part.index.id_kind for part in parts if part.index.id_kind is not None]
    return replace(
        manifests[0],
        id_kind=kinds[0] if kinds else None,
        next_id=max(manifest.next_id for manifest in manifests),
        attributes=_schema(parts).to_json(),
    )


def _schema(parts: Sequence[_Part]) -> Schema:
    """Attributes of all indexes. Raises UsageError for one that two of them know as different things."""
    fields: dict[str, tuple[_Part, Field]] = {}
    for part in parts:
        for name, field in part.index.attribute_schema.items():
            first, known = fields.setdefault(name, (part, field))
            if known != field:
                raise UsageError(
                    f"the attribute {name!r} is {known} in {first.path}, but {field} in {part.path}; set it "
                    "anew in one of them"
                )
    return Schema.of({name: field for name, (_, field) in fields.items()})


def _report(parts: Sequence[_Part]) -> IndexMergeReport:
    first = parts[0].index
    segments = _segments(parts)
    arrays = stored_arrays(first.pipeline, segments)
    return IndexMergeReport(
        key=first.key,
        dim=first.dim,
        metric=first.metric,
        rows=sum(len(part.index) for part in parts),
        deleted=sum(segment.n_deleted for segment in segments),
        segments=len(segments),
        bytes=sum(stored.file_bytes for stored in arrays),
        texts=any(segment.texts is not None for segment in segments),
    )
