"""Files on their way into an index folder: written under passing names, flushed, then named by contents."""

from __future__ import annotations

import hashlib
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, TypeVar

import numpy as np

from cluscomp.errors import CluscompError, IndexFolderError, UsageError
from cluscomp.files import disk_full, flush, new_file
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.storage.identity import Identity, Version, file_identity
from cluscomp.indexes.storage.manifest import MAX_MANIFEST_BYTES, MAX_SEGMENTS, FileEntry, Manifest
from cluscomp.indexes.storage.names import draft_name
from cluscomp.indexes.storage.sources import SourceFile

Self = TypeVar("Self", bound="Staging")
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


@contextmanager
def disk_errors(target: Path, needed_bytes: int = 0) -> Iterator[None]:
    """Turn a full or forbidden device into an error of ours, which names the index."""
    try:
        yield
    except CluscompError:
        raise
    except OSError as exc:
        full = disk_full(exc, target, needed_bytes, REMEDY)
        raise full or IndexFolderError(
            exc.errno,
            f"cannot write the index {target}: {exc.strerror or exc}; nothing was changed; name another "
            "place, or make this one writable",
        ) from exc


class StoredExtras(Protocol):
    """An index whose further files can be copied."""

    manifest: Manifest

    def extra_file(self, name: str) -> Path:
        """Path of such a file."""
        ...


@dataclass(frozen=True)
class Draft:
    """A file of the folder under a passing name, and what the manifest will list of it."""

    name: str
    entry: FileEntry


class Staging(ABC):
    """The files of one state of an index, on their way into `folder`; they shall stand at `target`. Use as a
    context manager: leaving it without `publish` removes what was written.

    generation: of the state. kept: files of the folder that the state may go on using, by name. entries,
    extra: what the manifest lists of arrays and of other files. passing: all passing names that were given.
    """

    generation = 1

    def __init__(self, target: Path, folder: Path, kept: Mapping[str, SourceFile], needed_bytes: int) -> None:
        self.target, self.folder, self.needed_bytes = target, folder, needed_bytes
        self.entries: dict[str, FileEntry] = {}
        self._kept = kept
        self.extra: dict[str, FileEntry] = {}
        self.passing: list[str] = []
        self._drafts: dict[str, str] = {}  # name by contents -> passing name
        self._identities: dict[str, Identity] = {}

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    @abstractmethod
    def publish(self, manifest: Manifest) -> tuple[Manifest, Version]:
        """Let the state be the newest one of its place; returns what it is then."""

    @abstractmethod
    def abort(self) -> None:
        """Remove what was written and has not been published; may be called twice."""

    @abstractmethod
    def take_extras(self, origin: StoredExtras | None) -> None:
        """Take over the files that are stored with an index besides its arrays, those of texts aside. origin:
        the index, where it is not the one that this state follows.
        """

    def take_extra(self, name: str) -> None:
        """List a file that somebody else wrote into the folder."""
        with self.disk_errors(), (self.folder / name).open("rb") as file:
            flush(file)
        self.enter_extra(name, self.digest(name))

    def keeps(self, name: str) -> bool:
        """Whether the folder has the file of this name already; then it is one of this state."""
        source = self._kept.get(name)
        if source is None or not source.is_unchanged():
            return False
        self._enter(name, source.entry, source.identity)
        return True

    def settle(self, name: str, draft: Draft) -> None:
        """Let a draft be the file of this name."""
        self._drafts[name] = draft.name
        self._enter(name, draft.entry, file_identity(self.folder / draft.name))

    def _enter(self, name: str, entry: FileEntry, identity: Identity) -> None:
        (self.extra if entry.dtype is None else self.entries)[name] = entry
        self._identities[name] = identity

    def write_array(self, array: np.ndarray, dtype: str) -> Draft:
        """Write one array as `dtype`."""
        array, name = np.ascontiguousarray(array, dtype=dtype), self.passing_name()
        with self.create(name) as file:
            hashing = _Hashing(file)
            hashing.write(npy_header(dtype, array.shape))
            flat = memoryview(array.reshape(-1).view(np.uint8))
            for start in range(0, array.nbytes, COPY_BYTES):
                hashing.write(flat[start : start + COPY_BYTES])
        return Draft(name, FileEntry(HEADER_BYTES + array.nbytes, hashing.hexdigest(), dtype, array.shape))

    def streamed(self, name: str, spec: ArraySpec) -> Draft:
        """The draft of an array that was streamed into the folder; it is read once for its checksum."""
        entry = self.digest(name)
        return Draft(name, FileEntry(entry.bytes, entry.sha256, spec.dtype, spec.shape))

    def write_file(self, write: Callable[[Path], object]) -> Draft:
        """A file that is no array. write: makes it at a path."""
        name = self.passing_name()
        with self.disk_errors():
            write(self.folder / name)
            with (self.folder / name).open("rb") as file:
                flush(file)
        return Draft(name, self.digest(name))

    def link(self, source: SourceFile) -> Draft | None:
        """Link a file of an index folder if it still is the one that was opened; None where links do not
        work.
        """
        if not source.is_unchanged():
            return None
        name = self.passing_name()
        try:
            os.link(source.path, self.folder / name)
        except OSError:
            return None
        if file_identity(self.folder / name)[:2] == source.identity[:2]:
            return Draft(name, source.entry)
        (self.folder / name).unlink()  # somebody replaced the file in between
        return None

    def copy_extra(self, name: str, source: Path) -> None:
        """Copy a file that is no array into the folder."""
        with self.disk_errors(), source.open("rb") as incoming, self.create(name) as file:
            shutil.copyfileobj(incoming, file, COPY_BYTES)
        self.enter_extra(name, self.digest(name))

    def enter_extra(self, name: str, entry: FileEntry) -> None:
        """List a file of the folder that is no array."""
        self._enter(name, entry, file_identity(self.folder / name))

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """Open a new file of the folder for writing; it is flushed to disk when left without an error."""
        with self.disk_errors(), new_file(self.folder / name) as file:
            yield file

    def disk_errors(self) -> AbstractContextManager[None]:
        """Turn a full or forbidden device into an error of ours."""
        return disk_errors(self.target, self.needed_bytes)

    def digest(self, name: str) -> FileEntry:
        """Size and checksum of a file of the folder."""
        digest, size = hashlib.sha256(), 0
        with self.disk_errors(), (self.folder / name).open("rb") as file:
            while chunk := file.read(COPY_BYTES):
                digest.update(chunk)
                size += len(chunk)
        return FileEntry(size, digest.hexdigest())

    def sources(self) -> dict[str, SourceFile]:
        """The files of the state as they lie at `target` once it is published."""
        return {
            name: SourceFile(self.target / name, entry, self._identities[name])
            for name, entry in (self.entries | self.extra).items()
        }

    def manifest_bytes(self, manifest: Manifest) -> bytes:
        """The manifest as it is written. Raises UsageError where no reader would take it."""
        raw, n_segments = manifest.to_bytes(), len(manifest.segments)
        if n_segments > MAX_SEGMENTS or len(raw) > MAX_MANIFEST_BYTES:
            raise UsageError(
                f"{self.target} would have {n_segments} segments and a manifest of {len(raw)} bytes; at most "
                f"{MAX_SEGMENTS} segments and {MAX_MANIFEST_BYTES} bytes are written: merge segments with "
                "index.compact() or `cluscomp compact` first"
            )
        return raw

    def rename_drafts(self) -> None:
        """Give the files their names."""
        for name, draft in self._drafts.items():
            os.replace(self.folder / draft, self.folder / name)
            with suppress(FileNotFoundError):  # a rename to a link of the same file does nothing
                (self.folder / draft).unlink()

    def passing_name(self) -> str:
        """A new name for a file that is being written; what still has it in the end is removed."""
        self.passing.append(draft_name())
        return self.passing[-1]


def link_or_copy(source: Path, target: Path) -> None:
    """Let a file be found under another name, too; a copy of it where links do not work."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


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
