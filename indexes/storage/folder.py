"""Writing an index folder: into a sibling, flushed, then renamed: a reader sees all or nothing.

An error, a full disk or a killed process leaves whatever was at the target untouched. Arrays are .npy files
with a header of exactly 128 bytes, so that they can be streamed before their length is known and mapped
without parsing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from cluscomp.errors import CluscompError, IndexFolderError, UsageError
from cluscomp.files import disk_full, flush, locked_folder, new_file, real_path
from cluscomp.folders import check_target, draft_folder, put_in_place
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.storage.identity import Identity, Version, file_identity
from cluscomp.indexes.storage.manifest import FILE_NAME, FORMAT, MANIFEST_NAME, FileEntry, Manifest

HEADER_BYTES = 128
COPY_BYTES = 8 << 20
FLUSH_BYTES = 64 << 20
REMEDY = "nothing was changed; free some space, write elsewhere, or use a key with smaller codes"


def npy_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """Header of a .npy file (format 1.0) for a C-ordered array, padded to HEADER_BYTES."""
    lengths = f"({shape[0]},)" if len(shape) == 1 else "(" + ", ".join(map(str, shape)) + ")"
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {lengths}, }}".encode("ascii")
    return (
        b"\x93NUMPY\x01\x00"
        + (HEADER_BYTES - 10).to_bytes(2, "little")
        + text.ljust(HEADER_BYTES - 11)
        + b"\n"
    )


class FolderWriter:
    """A folder in the making. Use as a context manager: leaving it without `publish` removes what was
    written.

    target: where the folder shall stand. if_exists: "fail" (OutputExistsError) or "replace" (only an index of
    ours is ever replaced). needed_bytes: room to ask for beforehand; DiskFullError if the device has less.
    """

    def __init__(self, target: Path, *, if_exists: str = "fail", needed_bytes: int = 0) -> None:
        self.target = real_path(target)
        self.if_exists = if_exists
        self.needed_bytes = needed_bytes
        self.entries: dict[str, FileEntry] = {}
        self.identities: dict[str, Identity] = {}
        check_index_target(self.target, if_exists)
        with self.disk_errors():
            self.folder, self._lock = draft_folder(self.target, needed_bytes, remedy=REMEDY)

    def __enter__(self) -> FolderWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def write_array(self, name: str, array: np.ndarray, dtype: str) -> None:
        """Write one array as `dtype`."""
        array = np.ascontiguousarray(array, dtype=dtype)
        with self.create(name) as file:
            hashing = _Hashing(file)
            hashing.write(npy_header(dtype, array.shape))
            flat = memoryview(array.reshape(-1).view(np.uint8))
            for start in range(0, array.nbytes, COPY_BYTES):
                hashing.write(flat[start : start + COPY_BYTES])
        self.entries[name] = FileEntry(HEADER_BYTES + array.nbytes, hashing.hexdigest(), dtype, array.shape)

    def register_array(self, name: str, spec: ArraySpec) -> None:
        """Enter a file that was streamed into the folder under `name`; it is read once for its checksum."""
        entry = self._digest(name)
        self.entries[name] = FileEntry(entry.bytes, entry.sha256, spec.dtype, spec.shape)

    def link(self, name: str, source: Path) -> bool:
        """Link an unchanged file of another index folder; False where links do not work."""
        try:
            os.link(source, self.folder / name)
        except OSError:
            return False
        return True

    def copy(self, name: str, source: Path) -> FileEntry:
        """Copy a file into the folder."""
        with self.disk_errors(), source.open("rb") as incoming, self.create(name) as file:
            shutil.copyfileobj(incoming, file, COPY_BYTES)
        return self._digest(name)

    def digest_extra(self, name: str) -> FileEntry:
        """Entry of a file that somebody else wrote into the folder."""
        entry = self._digest(name)
        with (self.folder / name).open("rb") as file:
            flush(file)
        return entry

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """Open a new file of the folder for writing; it is flushed to disk when left without an error."""
        check_file_name(name)
        with self.disk_errors(), new_file(self.folder / name) as file:
            yield file

    @contextmanager
    def disk_errors(self) -> Iterator[None]:
        """Turn a full or forbidden device into an error of ours."""
        try:
            yield
        except CluscompError:
            raise
        except OSError as exc:
            full = disk_full(exc, self.target, self.needed_bytes, REMEDY)
            raise full or IndexFolderError(
                exc.errno,
                f"cannot write the index {self.target}: {exc.strerror or exc}; nothing was changed; name "
                "another place, or make this one writable",
            ) from exc

    def publish(self, manifest: Manifest, check: Callable[[], None] | None = None) -> Version:
        """Write the manifest and put the folder in its place. Returns the state that it is in then, and
        leaves the identities of its files in `identities`: another writer may replace them at any time.

        check: raises where the folder that would be replaced is not the one that this one follows. No other
        writer replaces it between the check and the exchange.
        """
        raw = manifest.to_bytes()
        with self.create(MANIFEST_NAME) as file:
            file.write(raw)
        with self.disk_errors():
            self.identities = {file.name: file_identity(file) for file in self.folder.iterdir()}
        with self.disk_errors(), locked_folder(self.target):
            check_index_target(self.target, self.if_exists)
            if check is not None:
                check()
            put_in_place(self.folder, self.target)
        self.abort()  # after an exchange, the old index lies under the temporary name
        return Version.of(raw, self.identities[MANIFEST_NAME])

    def abort(self) -> None:
        """Remove what was written and has not been published; may be called twice."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def _digest(self, name: str) -> FileEntry:
        digest, size = hashlib.sha256(), 0
        with self.disk_errors(), (self.folder / name).open("rb") as file:
            while chunk := file.read(COPY_BYTES):
                digest.update(chunk)
                size += len(chunk)
        return FileEntry(size, digest.hexdigest())


class SteadyFile:
    """Writes to a file and flushes it to disk now and then.

    Nothing interrupts a flush, and one of a whole large file takes many seconds on slow disks.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._waiting = 0

    def write(self, data: bytes | memoryview) -> None:
        """Write bytes behind the others."""
        self._file.write(data)
        self._waiting += len(data)
        if self._waiting >= FLUSH_BYTES:
            flush(self._file)
            self._waiting = 0


class _Hashing:
    """Writes bytes and hashes them on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest = SteadyFile(file), hashlib.sha256()

    def write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._digest.update(data)

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def check_index_target(target: Path, if_exists: str) -> None:
    """Raise OutputExistsError unless `target` is free, an empty folder, or an index that may be replaced."""
    check_target(target, if_exists, "an index", _is_our_index)


def _is_our_index(target: Path) -> bool:
    try:
        manifest = json.loads((target / MANIFEST_NAME).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and manifest.get("format") == FORMAT


def check_file_name(name: str) -> None:
    """Raise UsageError for a file name that an index folder cannot hold."""
    if not FILE_NAME.fullmatch(name) or len(name) > 128:
        raise UsageError(
            f"file name {name!r} cannot stand in an index folder; use letters, digits, '_', '-' and '.'"
        )
