"""An index below an address of an object store: read through the cache folder, written by one put.

A state is fetched as a whole into a folder of the cache, which is named by the checksum of its manifest and
never changes; its files are links to those of the cache by checksum. Whatever searches works on that folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from cluscomp import checks
from cluscomp.errors import (
    CluscompError,
    CorruptIndexError,
    IndexFolderError,
    IndexMissingError,
    OutputExistsError,
)
from cluscomp.files import disk_full
from cluscomp.folders import exists_already, new_folder, remove_stale
from cluscomp.indexes.storage.identity import Version
from cluscomp.indexes.storage.manifest import (
    FORMAT,
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    FileEntry,
    parse_manifest,
)
from cluscomp.indexes.storage.names import manifest_file
from cluscomp.indexes.storage.object_commit import ObjectCommit
from cluscomp.indexes.storage.object_names import is_ours, object_name
from cluscomp.indexes.storage.place import BaseState, Lock
from cluscomp.indexes.storage.reading import FolderReader, no_generation
from cluscomp.indexes.storage.staging import REMEDY, link_or_copy
from cluscomp.objects.address import Address
from cluscomp.objects.blobs import KEPT_SECONDS, fetch_blob, forget_blobs, objects_folder
from cluscomp.objects.store import Store, store_of
from cluscomp.vocabulary import IF_TAKEN

OBJECT_GRACE = 86_400.0
"""Seconds that retired objects stay unless told otherwise."""
MOST_READS = 10  # of an index that is replaced again and again while it is being fetched
_AT_ONCE = 4  # files that are fetched at the same time


@dataclass(frozen=True)
class ObjectPlace:
    """`Place` of a prefix in a bucket. There are no locks: of two writers the later is refused."""

    address: Address

    def __str__(self) -> str:
        return str(self.address)

    @property
    def store(self) -> Store:
        """The bucket. Raises IndexFolderError, OptionalDependencyError."""
        with self.errors("reach"):
            return store_of(self.address)

    @property
    def scratch(self) -> Path:
        return objects_folder()

    @property
    def name(self) -> str:
        return self.address.name

    def work_path(self, ending: str) -> Path:
        return objects_folder("work", self._mark()) / f".{self.name}.{ending}"

    # ---- reading ----

    def reader(self, generation: int | None) -> FolderReader:
        raw = self._state(generation)
        for _ in range(MOST_READS):
            try:
                folder = self._fetched(raw)
            except _GoneError as exc:
                newer = self._state(generation)
                if newer == raw:
                    raise CorruptIndexError(
                        f"{self.address / exc.name} is missing, but the manifest lists it with "
                        f"{exc.entry.bytes} bytes; restore a copy or rebuild the index"
                    ) from exc
                raw = newer
            else:
                if generation is None:
                    self.tidy(folder)
                return FolderReader(folder)
        raise IndexFolderError(
            f"{self} was replaced {MOST_READS} times while it was being fetched; open it again when fewer "
            "writers are at work"
        )

    @contextmanager
    def examined(self) -> Iterator[FolderReader]:
        """Everything is fetched anew, without comparing it."""
        raw, store = self._state(None), self.store
        with tempfile.TemporaryDirectory(dir=objects_folder(), prefix="examined-") as folder:
            target = Path(folder)
            (target / MANIFEST_NAME).write_bytes(raw)
            entries: dict[str, FileEntry] = {}
            with suppress(CluscompError):  # a manifest that cannot be read is a fault that is found there
                manifest = parse_manifest(raw, f"{self}/{MANIFEST_NAME}")
                entries = manifest.files | manifest.extra_files
            with self.errors("read"):
                for name, entry in entries.items():
                    self._examine(store, name, entry, target / name)
            with FolderReader(target) as reader:
                yield reader

    def raw_manifest(self) -> bytes | None:
        found = self.tagged_manifest()
        return None if found is None else found[0]

    def tagged_manifest(self) -> tuple[bytes, str] | None:
        """The newest manifest with its tag, None where there is none."""
        with self.errors("read"):
            return self._read(MANIFEST_NAME)

    def extra_file(self, name: str) -> bytes | None:
        raw = self.raw_manifest()
        entry = None if raw is None else parse_manifest(raw, str(self)).extra_files.get(name)
        if entry is None:
            return None
        with self.errors("read"):
            return self._blob(self.store, name, entry).read_bytes()

    def nbytes(self) -> int:
        with self.errors("read"):
            return sum(found.size for found in self.store.listed(self.address.key))

    def state(self) -> object:
        with self.errors("read"):
            return self.store.head((self.address / MANIFEST_NAME).key).tag

    def is_at(self, version: Version) -> bool:
        raw = self.raw_manifest()
        return raw is not None and hashlib.sha256(raw).hexdigest() == version.digest

    # ---- writing ----

    def check_target(self, if_exists: str) -> None:
        checks.one_of("if_exists", if_exists, IF_TAKEN)
        raw = self.raw_manifest()
        if raw is None:
            self._require_free()
        elif if_exists == "fail":
            raise exists_already(self)
        elif not _is_our_manifest(raw):
            raise OutputExistsError(
                f"{self} is not an index of cluscomp and is not replaced; remove it or choose another address"
            )

    def lock(self, wait: float) -> AbstractContextManager[None]:
        return nullcontext()

    def grace(self, asked: float | None) -> float:
        return OBJECT_GRACE if asked is None else asked

    def commit(self, base: BaseState, lock: Lock, grace: float, needed_bytes: int = 0) -> ObjectCommit:
        base.require_unchanged()
        return ObjectCommit(self, base=base, grace=grace, needed_bytes=needed_bytes)

    def new_index(self, if_exists: str, needed_bytes: int, wait: float) -> ObjectCommit:
        self.check_target(if_exists)
        before = self.tagged_manifest() if if_exists == "replace" else None
        return ObjectCommit(self, before=before, grace=OBJECT_GRACE, needed_bytes=needed_bytes)

    @contextmanager
    def errors(self, verb: str = "write") -> Iterator[None]:
        """Turn what the store refuses into an error of ours. verb: what is done with the index."""
        try:
            yield
        except CluscompError:
            raise
        except OSError as exc:
            changed = "; nothing was changed" if verb == "write" else ""
            text = f"cannot {verb} the index {self}: {exc.strerror or exc}{changed}"
            arguments = (text,) if exc.errno is None else (exc.errno, text)  # stores give no number
            raise disk_full(exc, objects_folder(), 0, REMEDY) or IndexFolderError(*arguments) from exc

    def snapshot(self, raw: bytes) -> Path:
        """Folder of the cache for the state with this manifest, which need not exist."""
        return objects_folder("indexes", self._mark()) / hashlib.sha256(raw).hexdigest()[:32]

    # ---- inside ----

    def _mark(self) -> str:
        return hashlib.blake2b(str(self.address).encode(), digest_size=8).hexdigest()

    def _read(self, name: str) -> tuple[bytes, str] | None:
        try:
            return self.store.read((self.address / name).key)
        except FileNotFoundError:
            return None

    def _state(self, generation: int | None) -> bytes:
        """The manifest of a generation."""
        raw = self.raw_manifest()
        if raw is None:
            raise IndexMissingError(
                f"there is no index at {self}; check the address, or build one with build-index"
            )
        if len(raw) > MAX_MANIFEST_BYTES:
            raise CorruptIndexError(
                f"{self}/{MANIFEST_NAME} has {len(raw)} bytes, more than the {MAX_MANIFEST_BYTES} that a "
                "manifest may have"
            )
        newest = parse_manifest(raw, f"{self}/{MANIFEST_NAME}").generation
        if generation in (None, newest):
            return raw
        with self.errors("read"):
            found = self._read(manifest_file(generation or 0))
            if found is None:
                raise no_generation(self, generation, newest, self._names())
        return found[0]

    def _names(self) -> Iterator[str]:
        """Names of all objects below the address."""
        for found in self.store.listed(self.address.key):
            yield found.key[len(self.address.key) :].lstrip("/")

    def _fetched(self, raw: bytes) -> Path:
        """The folder of the cache with this state. Raises _GoneError where an object is not there."""
        target = self.snapshot(raw)
        with suppress(OSError):
            os.utime(target)
            return target
        manifest, store = parse_manifest(raw, f"{self}/{MANIFEST_NAME}"), self.store
        entries = list((manifest.files | manifest.extra_files).items())
        with self.errors("read"), ThreadPoolExecutor(_AT_ONCE) as pool:
            blobs = list(pool.map(lambda item: self._blob(store, *item), entries))
            with new_folder(target) as draft:
                for (name, _), blob in zip(entries, blobs, strict=True):
                    link_or_copy(blob, draft / name)
                (draft / MANIFEST_NAME).write_bytes(raw)
        return target

    def _blob(self, store: Store, name: str, entry: FileEntry) -> Path:
        """A file in the cache; other tools may have put it there under its plain name."""
        for found in (object_name(name, entry), name):
            with suppress(FileNotFoundError):
                return fetch_blob(store, self.address / found, entry.bytes, entry.sha256)
        raise _GoneError(name, entry)

    def _examine(self, store: Store, name: str, entry: FileEntry, target: Path) -> None:
        for found in (object_name(name, entry), name):
            with suppress(FileNotFoundError), target.open("wb") as file:
                store.download((self.address / found).key, file)
                return
        target.unlink()

    def _require_free(self) -> None:
        """Raise OutputExistsError where objects lie that are none of ours."""
        with self.errors("read"):
            for name in self._names():
                if not is_ours(name):
                    raise OutputExistsError(
                        f"{self} holds other objects, such as {name!r}; choose another address"
                    )

    def tidy(self, newest: Path) -> None:
        """Remove states of this index other than `newest` from the cache that nobody has opened for some
        time, and what killed processes left.
        """
        folder, now = objects_folder("indexes", self._mark()), time.time()
        remove_stale(folder)
        for state in folder.iterdir():
            with suppress(OSError):
                is_old = state != newest and not state.name.startswith(".")
                if is_old and now - state.stat().st_mtime > KEPT_SECONDS:
                    shutil.rmtree(state)
        forget_blobs()


class _GoneError(Exception):
    """A listed file is not in the store."""

    def __init__(self, name: str, entry: FileEntry) -> None:
        super().__init__(name)
        self.name, self.entry = name, entry


def _is_our_manifest(raw: bytes) -> bool:
    try:
        manifest = json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and manifest.get("format") == FORMAT
