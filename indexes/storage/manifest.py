"""manifest.json: what an index folder says about itself, checked field by field when read.

The file is not trusted. Every value has its type and range checked here; whether the listed files are what
the key implies is checked in opening.py.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

from cluscomp.attributes import Schema
from cluscomp.errors import CorruptIndexError, ForeignFileError, NewerFormatError, UsageError
from cluscomp.indexes.segments.ids import INT, TEXT
from cluscomp.indexes.stages.parameters import DTYPES
from cluscomp.indexes.stages.tally import are_figures
from cluscomp.indexes.storage.fields import Fields
from cluscomp.indexes.storage.names import (
    MARK,
    SEGMENT,
    array_file,
    is_deletions_file,
    may_be_retired,
)

FORMAT = "cluscomp-index"
FORMAT_VERSION = 3
MIN_READER_VERSION = 3
# format_version counts layouts of the folder, min_reader_version is the oldest reader of the features in use.
# 2: the rows of 4-bit codes left over at the end of a list are transposed too (`Codec.layout_version`).
# 3: files are named by their contents (names.py), and a commit replaces the manifest alone.
NAMED_BY_CONTENTS = 3
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 64 << 20
MAX_SEGMENTS = 4096
MAX_BYTES = 2**62
MAX_GENERATION = 2**53
MAX_DIM = 2**24
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileEntry:
    """One file of the folder. dtype and shape are None for files that are no arrays (docs.sqlite,
    report.json).
    """

    bytes: int
    sha256: str
    dtype: str | None = None
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class SegmentEntry:
    """One segment. name: its files begin so. rows: stored. ids: "range" (from first_id), "int64" or "str".
    deleted: rows marked as deleted. deletions: the file that says which, or None. statistics: JSON values
    about its rows.
    """

    name: str
    rows: int
    ids: str
    first_id: int = 0
    deleted: int = 0
    deletions: str | None = None
    statistics: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RetiredEntry:
    """A file that no longer belongs to the index. generation: the last one that it belonged to. time: when it
    was retired, in seconds since 1970 (UTC).
    """

    file: str
    generation: int
    time: int


@dataclass(frozen=True)
class Manifest:
    """Contents of manifest.json. generation: commits so far, 0 in formats 1 and 2. trained: mark of the
    trained arrays (names.py), empty there. training: JSON values about the rows that they were learned from,
    empty where nothing was learned, and there. attributes: the schema of the attributes as JSON. commit:
    digits by which a writer to an object store knows its own manifest again; empty in folders.
    """

    created_by: str
    key: str
    dim: int
    metric: str
    seed: int
    id_kind: str | None
    next_id: int
    encoder: dict[str, Any] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    segments: tuple[SegmentEntry, ...] = ()
    files: dict[str, FileEntry] = field(default_factory=dict)
    extra_files: dict[str, FileEntry] = field(default_factory=dict)
    retired: tuple[RetiredEntry, ...] = ()
    generation: int = 1
    trained: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    commit: str = field(default="", compare=False)
    format_version: int = field(default=FORMAT_VERSION, compare=False)

    @property
    def schema(self) -> Schema:
        """Kinds of the attributes."""
        return Schema.from_json(self.attributes)

    @property
    def names(self) -> set[str]:
        """Names of all files that belong to the index."""
        return {*self.files, *self.extra_files}

    def to_bytes(self) -> bytes:
        """UTF-8 JSON, equal for equal contents."""
        head = {"format": FORMAT, "format_version": FORMAT_VERSION, "min_reader_version": MIN_READER_VERSION}
        head |= {"generation": self.generation, "trained": self.trained}
        body = asdict(self)
        for name in (*head, "retired"):  # a folder is written in the newest format
            body.pop(name, None)
        for name in ("attributes", "commit"):
            if not body[name]:
                del body[name]
        body["seeds"] = {"train": body.pop("seed")}
        for entry in body["extra_files"].values():
            del entry["dtype"], entry["shape"]
        body["retired"] = [asdict(entry) for entry in self.retired]
        return (json.dumps(head | body, indent=1, ensure_ascii=False) + "\n").encode("utf-8")


def parse_manifest(raw: bytes, where: str) -> Manifest:
    """Read and check manifest.json. where: its path, for messages.

    Raises CorruptIndexError, NewerFormatError, ForeignFileError.
    """
    value = _load_json(raw, where)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ForeignFileError(f"{where} does not say format {FORMAT!r}: the folder belongs to another tool")
    reader = Fields(value, where)
    version = _checked_version(reader, where)
    by_contents = version >= NAMED_BY_CONTENTS
    return Manifest(
        format_version=version,
        generation=reader.integer("generation", 1, MAX_GENERATION) if by_contents else 0,
        trained=reader.matching("trained", MARK, "16 hexadecimal digits") if by_contents else "",
        training=_figures(reader, "training") if "training" in value else {},
        retired=_retired(reader, where) if by_contents else (),
        commit=reader.matching("commit", MARK, "16 hexadecimal digits") if "commit" in value else "",
        created_by=reader.text("created_by"),
        key=reader.text("key"),
        dim=reader.integer("dim", 1, MAX_DIM),
        metric=reader.choice("metric", ("ip", "l2", "cosine")),
        seed=Fields(reader.mapping("seeds"), where).integer("train", 0, 2**128),
        id_kind=reader.choice("id_kind", (INT, TEXT, None)),
        next_id=reader.integer("next_id", -(2**63), 2**63),
        encoder=None if value.get("encoder") is None else reader.mapping("encoder"),
        settings=reader.mapping("settings"),
        segments=_segments(reader, where, by_contents),
        attributes=_attributes(reader) if "attributes" in value else {},
        files=_files(reader.mapping("files"), where, arrays=True),
        extra_files=_files(reader.mapping("extra_files"), where, arrays=False),
    )


def _load_json(raw: bytes, where: str) -> Any:
    try:
        return json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as exc:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise CorruptIndexError(
            f"{where} is not valid JSON ({exc}): the index is damaged; restore a copy"
        ) from exc


def _checked_version(reader: Fields, where: str) -> int:
    """The version of the layout; NewerFormatError for a layout (format_version) or features
    (min_reader_version) that this reader does not know.
    """
    version = reader.integer("format_version", 1, 2**31)
    oldest_reader = reader.integer("min_reader_version", 1, 2**31)
    if max(version, oldest_reader) > FORMAT_VERSION:
        raise NewerFormatError(
            f"{where} has format version {version} and needs a reader of version {oldest_reader}, but "
            f"this cluscomp reads version {FORMAT_VERSION}; upgrade it (pip install -U cluscomp) or "
            "rebuild the index"
        )
    return version


def _segments(reader: Fields, where: str, by_contents: bool) -> tuple[SegmentEntry, ...]:
    readers = [Fields(item, where) for item in reader.sequence("segments")]
    if not by_contents:
        return tuple(_old_segment(number, item) for number, item in enumerate(readers))
    found = tuple(_segment(item) for item in readers)
    if len({entry.name for entry in found}) < len(found):
        raise CorruptIndexError(f"{where} names two segments alike; the index is damaged")
    return found


def _segment(reader: Fields) -> SegmentEntry:
    name = reader.matching("name", SEGMENT, "'s' and 16 hexadecimal digits")
    rows, deletions = reader.integer("rows", 1, MAX_BYTES), reader.value.get("deletions")
    deleted = reader.integer("deleted", 0, rows)
    is_file = isinstance(deletions, str) and is_deletions_file(deletions, name)
    if not (is_file if deleted else deletions is None):
        raise reader.fault("deletions", "a file of the segment, or null where no row is deleted")
    return SegmentEntry(name, rows, *_ids(reader, rows), deleted, deletions, _figures(reader, "statistics"))


def _figures(reader: Fields, name: str) -> dict[str, Any]:
    """What is known of the costs of rows; `health` and `compact` calculate with it."""
    found = dict(reader.mapping(name))
    if not are_figures(found):
        raise reader.fault(name, "figures about rows, as stages/tally.py makes them")
    return found


def _old_segment(number: int, reader: Fields) -> SegmentEntry:
    name, rows = f"segment{number}", reader.integer("rows", 1, MAX_BYTES)
    deleted = reader.integer("deleted", 0, rows)
    return SegmentEntry(
        name, rows, *_ids(reader, rows), deleted, array_file(name, "deleted") if deleted else None
    )


def _ids(reader: Fields, rows: int) -> tuple[str, int]:
    first = reader.integer("first_id", -(2**63), 2**63 - rows)
    return reader.choice("ids", ("range", INT, TEXT)), first


def _attributes(reader: Fields) -> dict[str, Any]:
    value = reader.mapping("attributes")
    try:
        return Schema.from_json(value).to_json()
    except UsageError as exc:
        raise reader.fault("attributes", f"a schema of attributes ({exc})") from exc


def _retired(reader: Fields, where: str) -> tuple[RetiredEntry, ...]:
    found = []
    for item in reader.sequence("retired"):
        entry = Fields(item, f"{where}, retired")
        if not may_be_retired(entry.text("file")):
            raise entry.fault("file", "a file that an index may have had")
        found.append(
            RetiredEntry(
                entry.text("file"),
                entry.integer("generation", 0, MAX_GENERATION),
                entry.integer("time", 0, 2**62),
            )
        )
    return tuple(found)


def _files(entries: dict[str, Any], where: str, *, arrays: bool) -> dict[str, FileEntry]:
    files = {}
    for name, value in entries.items():
        if not FILE_NAME.fullmatch(name) or len(name) > 128 or name == MANIFEST_NAME:
            raise CorruptIndexError(
                f"{where} lists the file name {name!r:.80}, which is not allowed in an index"
            )
        files[name] = _file(Fields(value, f"{where}, file {name}"), arrays)
    return files


def _file(reader: Fields, is_array: bool) -> FileEntry:
    size, checksum = reader.integer("bytes", 0, MAX_BYTES), reader.text("sha256")
    if not SHA256.fullmatch(checksum):
        raise reader.fault("sha256", "64 hexadecimal digits")
    if not is_array:
        return FileEntry(size, checksum)
    shape = reader.sequence("shape")
    if not 1 <= len(shape) <= 3 or not all(type(n) is int and 0 <= n <= MAX_BYTES for n in shape):
        raise reader.fault("shape", "a list of 1 to 3 lengths")
    return FileEntry(size, checksum, reader.choice("dtype", DTYPES), tuple(shape))
