"""manifest.json: what an index folder says about itself, checked field by field when read.

The file is not trusted. Every value has its type and range checked here; whether the listed files are what
the key implies is checked in opening.py.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

from cluscomp.errors import CorruptIndexError, ForeignFileError, NewerFormatError
from cluscomp.indexes.segments.ids import INT, TEXT
from cluscomp.indexes.stages.parameters import DTYPES

FORMAT = "cluscomp-index"
FORMAT_VERSION = 2
MIN_READER_VERSION = 2
# format_version counts layouts of the folder, min_reader_version is the oldest reader of the features in use.
# 2: the rows of 4-bit codes left over at the end of a list are transposed too (`Codec.layout_version`).
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 64 << 20
MAX_BYTES = 2**62
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
    """rows stored; ids: "range" (from first_id), "int64" or "str"; deleted: rows marked as deleted."""

    rows: int
    ids: str
    first_id: int = 0
    deleted: int = 0


@dataclass(frozen=True)
class Manifest:
    """Contents of manifest.json."""

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
    format_version: int = field(default=FORMAT_VERSION, compare=False)

    def to_bytes(self) -> bytes:
        """UTF-8 JSON, equal for equal contents."""
        head = {"format": FORMAT, "format_version": FORMAT_VERSION, "min_reader_version": MIN_READER_VERSION}
        body = asdict(self)
        del body["format_version"]  # a folder is written in the newest format
        body["seeds"] = {"train": body.pop("seed")}
        for entry in body["extra_files"].values():
            del entry["dtype"], entry["shape"]
        return (json.dumps(head | body, indent=1, ensure_ascii=False) + "\n").encode("utf-8")


def parse_manifest(raw: bytes, where: str) -> Manifest:
    """Read and check manifest.json. where: its path, for messages.

    Raises CorruptIndexError, NewerFormatError, ForeignFileError.
    """
    value = _load_json(raw, where)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ForeignFileError(f"{where} does not say format {FORMAT!r}: the folder belongs to another tool")
    reader = _Reader(value, where)
    version = _checked_version(reader, where)
    return Manifest(
        format_version=version,
        created_by=reader.text("created_by"),
        key=reader.text("key"),
        dim=reader.integer("dim", 1, MAX_DIM),
        metric=reader.choice("metric", ("ip", "l2", "cosine")),
        seed=_Reader(reader.mapping("seeds"), where).integer("train", 0, 2**128),
        id_kind=reader.choice("id_kind", (INT, TEXT, None)),
        next_id=reader.integer("next_id", -(2**63), 2**63),
        encoder=None if value.get("encoder") is None else reader.mapping("encoder"),
        settings=reader.mapping("settings"),
        segments=tuple(_segment(_Reader(item, where)) for item in reader.sequence("segments")),
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


def _checked_version(reader: _Reader, where: str) -> int:
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


def _segment(reader: _Reader) -> SegmentEntry:
    rows = reader.integer("rows", 1, MAX_BYTES)
    return SegmentEntry(
        rows=rows,
        ids=reader.choice("ids", ("range", INT, TEXT)),
        first_id=reader.integer("first_id", -(2**63), 2**63 - rows),
        deleted=reader.integer("deleted", 0, rows),
    )


def _files(entries: dict[str, Any], where: str, *, arrays: bool) -> dict[str, FileEntry]:
    files = {}
    for name, value in entries.items():
        if not FILE_NAME.fullmatch(name) or len(name) > 128 or name == MANIFEST_NAME:
            raise CorruptIndexError(
                f"{where} lists the file name {name!r:.80}, which is not allowed in an index"
            )
        files[name] = _file(_Reader(value, f"{where}, file {name}"), arrays)
    return files


def _file(reader: _Reader, is_array: bool) -> FileEntry:
    size, checksum = reader.integer("bytes", 0, MAX_BYTES), reader.text("sha256")
    if not SHA256.fullmatch(checksum):
        raise reader.fault("sha256", "64 hexadecimal digits")
    if not is_array:
        return FileEntry(size, checksum)
    shape = reader.sequence("shape")
    if not 1 <= len(shape) <= 3 or not all(type(n) is int and 0 <= n <= MAX_BYTES for n in shape):
        raise reader.fault("shape", "a list of 1 to 3 lengths")
    return FileEntry(size, checksum, reader.choice("dtype", DTYPES), tuple(shape))


class _Reader:
    """Typed access to the fields of one JSON object; every fault becomes a CorruptIndexError."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise CorruptIndexError(
                f"{where}: an object is needed where {value!r:.60} stands; the index is damaged"
            )
        self.value, self.where = value, where

    def fault(self, name: str, wanted: str) -> CorruptIndexError:
        got = self.value.get(name, "nothing")
        return CorruptIndexError(
            f"{self.where}: {name!r} must be {wanted}, but is {got!r:.60}; the index is damaged"
        )

    def integer(self, name: str, low: int, high: int) -> int:
        got = self.value.get(name)
        if type(got) is not int or not low <= got <= high:
            raise self.fault(name, f"an integer from {low} to {high}")
        return got

    def text(self, name: str) -> str:
        got = self.value.get(name)
        if not isinstance(got, str):
            raise self.fault(name, "a text")
        return got

    def choice(self, name: str, allowed: tuple[Any, ...]) -> Any:
        got = self.value.get(name)
        if not (got is None or isinstance(got, str)) or got not in allowed:
            raise self.fault(name, f"one of {allowed}")
        return got

    def mapping(self, name: str) -> dict[str, Any]:
        got = self.value.get(name)
        if not isinstance(got, dict):
            raise self.fault(name, "an object")
        return got

    def sequence(self, name: str) -> list[Any]:
        got = self.value.get(name)
        if not isinstance(got, list):
            raise self.fault(name, "a list")
        return got
