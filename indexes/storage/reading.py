"""One state of an index folder: its manifest and its files, of which none comes from another state.

A build puts another folder at the path in one step. So the folder is opened once, and its files are opened
relative to that handle: what stands at the path later changes nothing that is read here. A save replaces the
manifest in the folder, and the files that only the old manifest lists are removed some time later.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from cluscomp.errors import CluscompError, CorruptIndexError, ForeignFileError, IndexMissingError
from cluscomp.files import real_path
from cluscomp.indexes.storage.identity import Identity, Version, file_identity, identity_of
from cluscomp.indexes.storage.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    FileEntry,
    Manifest,
    parse_manifest,
)
from cluscomp.indexes.storage.names import is_of_contents, manifest_file
from cluscomp.indexes.storage.sniff import describe_file, describe_folder, is_lfs_pointer, read_head
from cluscomp.indexes.storage.sources import SourceFile
from cluscomp.indexes.storage.staging import COPY_BYTES, HEADER_BYTES, npy_header

HAS_HANDLES = os.open in os.supports_dir_fd and hasattr(os, "O_DIRECTORY")
_HEAD_BYTES = 64
# Opening a pipe must not wait for its writer; Windows has to be told that bytes are no text.
_OPEN = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True)
class MappedFile:
    """An array in a file, and which file it is."""

    array: np.ndarray
    source: SourceFile


class FolderReader:
    """An open index folder. Use as a context manager; memory maps stay valid when it is left.

    generation: the state to read; None: the newest.

    Raises IndexMissingError or ForeignFileError where no folder is at the path.
    """

    def __init__(self, path: Path, generation: int | None = None) -> None:
        self.path, self._generation = path, generation
        self._manifest_name = MANIFEST_NAME
        self._version: Version | None = None
        if not path.is_dir():
            raise _not_a_folder(path)
        self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY) if HAS_HANDLES else None

    def __enter__(self) -> FolderReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            os.close(self._handle)

    @property
    def version(self) -> Version:
        """The state that `manifest` has read."""
        assert self._version is not None
        return self._version

    def is_current(self) -> bool:
        """Whether the path still leads to the state that was read: otherwise a fault may come of that."""
        try:
            if self._handle is not None and not self.is_same_folder():
                return False
            return self._version is None or self._manifest_identity() == self._version.identity
        except FileNotFoundError:
            return False

    def is_same_folder(self) -> bool:
        """Whether the path still leads to the folder that is open."""
        try:
            return self._handle is None or os.path.samestat(os.fstat(self._handle), os.stat(self.path))
        except FileNotFoundError:
            return False

    def mixes_states(self) -> bool:
        """Whether files of another state may have been read, since this system has no handles of folders."""
        return self._handle is None and not self.is_current()

    def manifest(self) -> Manifest:
        """Read and check the manifest of the newest generation, or of the one that was asked for."""
        try:
            newest = self._read_manifest(MANIFEST_NAME)
        except FileNotFoundError:
            raise self._no_manifest() from None
        if self._generation in (None, newest.generation):
            return newest
        try:
            found = self._read_manifest(manifest_file(self._generation or 0))
        except FileNotFoundError:
            raise self._no_generation(newest.generation) from None
        if found.generation != self._generation:
            raise CorruptIndexError(
                f"{self.path / self._manifest_name} says that it is of generation {found.generation}; the "
                "index is damaged"
            )
        return found

    def file(self, name: str, entry: FileEntry) -> SourceFile:
        """Which file it is, once its size has been checked."""
        with self._checked(name, entry) as file:
            return self._source(name, entry, file)

    def array(self, name: str, entry: FileEntry) -> MappedFile:
        """Map a .npy file after its size and header have been checked."""
        assert entry.dtype is not None and entry.shape is not None
        with self._checked(name, entry) as file:
            head = file.read(HEADER_BYTES)
            if head != npy_header(entry.dtype, entry.shape):
                raise CorruptIndexError(
                    f"{self.path / name} does not begin with the header of a {entry.dtype} array of shape "
                    f"{entry.shape}; it looks like {describe_file(head[:_HEAD_BYTES])}; restore a copy or "
                    "rebuild the index"
                )
            source = self._source(name, entry, file)
            if 0 in entry.shape:  # an empty file part cannot be mapped
                return MappedFile(np.empty(entry.shape, entry.dtype), source)
            mapped = np.memmap(file, entry.dtype, "r", HEADER_BYTES, entry.shape)
            return MappedFile(mapped.view(np.ndarray), source)

    def verify(self, name: str, entry: FileEntry) -> None:
        """Read a whole file; CorruptIndexError where its checksum is not the one listed."""
        digest = hashlib.sha256()
        with self._checked(name, entry) as file:
            while chunk := file.read(COPY_BYTES):
                digest.update(chunk)
        if digest.hexdigest() != entry.sha256:
            raise CorruptIndexError(
                f"{self.path / name} has checksum {digest.hexdigest()}, but the manifest says "
                f"{entry.sha256}: its contents were altered; restore a copy or rebuild the index"
            )

    # ---- inside ----

    def _open(self, name: str) -> BinaryIO:
        if self._handle is None:
            return os.fdopen(os.open(self.path / name, _OPEN), "rb")
        return os.fdopen(os.open(name, _OPEN, dir_fd=self._handle), "rb")

    @contextmanager
    def _checked(self, name: str, entry: FileEntry) -> Iterator[BinaryIO]:
        """A listed file, open, of the size that is listed."""
        path = self.path / name
        try:
            file = self._open(name)
        except FileNotFoundError as exc:
            raise CorruptIndexError(
                f"{path} is missing, but the manifest lists it with {entry.bytes} bytes"
            ) from exc
        with file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise CorruptIndexError(f"{path} is not a regular file")
            if status.st_size != entry.bytes:
                raise _wrong_size(path, file.read(_HEAD_BYTES), status.st_size, entry.bytes)
            yield file

    def _read_manifest(self, name: str) -> Manifest:
        self._manifest_name = name
        with self._open(name) as file:
            raw = self._manifest_bytes(file)
            self._version = Version.of(raw, identity_of(os.fstat(file.fileno())))
        return parse_manifest(raw, str(self.path / name))

    def _manifest_identity(self) -> Identity:
        if self._handle is None:
            return file_identity(self.path / self._manifest_name)
        return identity_of(os.stat(self._manifest_name, dir_fd=self._handle))

    def _source(self, name: str, entry: FileEntry, file: BinaryIO) -> SourceFile:
        return SourceFile(real_path(self.path) / name, entry, identity_of(os.fstat(file.fileno())))

    def _manifest_bytes(self, file: BinaryIO) -> bytes:
        path, size = self.path / self._manifest_name, os.fstat(file.fileno()).st_size
        if size > MAX_MANIFEST_BYTES:
            raise CorruptIndexError(
                f"{path} has {size} bytes, more than the {MAX_MANIFEST_BYTES} that a manifest may have"
            )
        is_file = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        raw = file.read(MAX_MANIFEST_BYTES) if is_file else b""
        if is_lfs_pointer(raw):
            raise ForeignFileError(f"{path} is {describe_file(raw)}")
        return raw

    def _no_generation(self, newest: int) -> IndexMissingError:
        self._manifest_name = MANIFEST_NAME  # which decides whether this is the state of now
        return no_generation(self.path, self._generation, newest, os.listdir(self.path))

    def _no_manifest(self) -> CluscompError:
        known = describe_folder(self.path)
        if known is not None:
            return ForeignFileError(
                f"{self.path} has no {MANIFEST_NAME}; it looks like {known}, not like an index of cluscomp"
            )
        return IndexMissingError(
            f"{self.path} has no {MANIFEST_NAME}: it is no index, or one that was not copied as a whole"
        )


def no_generation(place: object, wanted: int | None, newest: int, names: Iterable[str]) -> IndexMissingError:
    """The error for a state that is not there any more. names: of the files that are."""
    found = [name.split(".")[1] for name in names if name.startswith("manifest.") and is_of_contents(name)]
    older = ", ".join(map(str, sorted(map(int, found)))) or "none"
    return IndexMissingError(
        f"{place} has no generation {wanted}: it is at {newest}, and of older ones there are: {older}"
    )


def _wrong_size(path: Path, head: bytes, size: int, listed: int) -> CluscompError:
    if is_lfs_pointer(head):
        return ForeignFileError(f"{path} is {describe_file(head)}")
    return CorruptIndexError(
        f"{path} has {size} bytes, but the manifest says {listed}: it is truncated or altered; restore a "
        "copy or rebuild the index"
    )


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
