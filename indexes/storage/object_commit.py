"""A commit to an object store: all files are put, and then the manifest, if nobody was faster.

The store must refuse a put whose condition does not hold, which is proven before the first one
(objects/proving.py). Objects are never overwritten with other contents, so that a writer that is refused has
harmed nobody: what it left is removed by a later commit.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from cluscomp.errors import IndexFolderError
from cluscomp.files import require_free
from cluscomp.folders import draft_folder, exists_already, put_in_place
from cluscomp.indexes.storage.identity import Version, file_identity
from cluscomp.indexes.storage.manifest import MANIFEST_NAME, Manifest, RetiredEntry, parse_manifest
from cluscomp.indexes.storage.names import is_texts_file, manifest_file
from cluscomp.indexes.storage.object_names import is_left_over, object_name, object_names
from cluscomp.indexes.storage.place import BaseState, Place, changed_since
from cluscomp.indexes.storage.retiring import LONGEST_WRITING
from cluscomp.indexes.storage.sources import SourceFile
from cluscomp.indexes.storage.staging import REMEDY, Staging, StoredExtras, link_or_copy
from cluscomp.objects.address import Address
from cluscomp.objects.blobs import keep_blob, objects_folder
from cluscomp.objects.proving import prove_conditions
from cluscomp.objects.store import ConflictError, Store, StoreError

_AT_ONCE = 4  # files that are put at the same time


class Bucketed(Place, Protocol):
    """A place in an object store."""

    @property
    def address(self) -> Address:
        """Of the prefix."""
        ...

    @property
    def store(self) -> Store:
        """Its bucket."""
        ...

    def tagged_manifest(self) -> tuple[bytes, str] | None:
        """The newest manifest with its tag, None where there is none."""
        ...

    def snapshot(self, raw: bytes) -> Path:
        """Folder of the cache for the state with this manifest."""
        ...

    def tidy(self, newest: Path) -> None:
        """Remove older states from the cache."""
        ...


class ObjectCommit(Staging):
    """The next state of an index in an object store, made in a folder of the cache.

    base: the opened state that it follows. before: without base, the manifest that is replaced and its tag,
    None where there must be none. grace: seconds that retired objects stay.
    """

    def __init__(
        self,
        place: Bucketed,
        *,
        base: BaseState | None = None,
        before: tuple[bytes, str] | None = None,
        grace: float,
        needed_bytes: int = 0,
    ) -> None:
        self.place, self.base, self.grace, self._before = place, base, grace, before
        cache = objects_folder()
        super().__init__(cache, cache, {} if base is None else base.files, needed_bytes)
        self._old = None if before is None else _parsed(before[0], place)
        self._old = self._old if base is None else base.manifest
        self.generation = 1 if self._old is None else self._old.generation + 1
        with self.disk_errors():
            require_free(cache, needed_bytes, place, REMEDY)
            self.folder, self._lock = draft_folder(cache / "new", 0)

    def abort(self) -> None:
        """Remove what was made here; what was put into the store is left for a later commit."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def disk_errors(self) -> AbstractContextManager[None]:
        """Turn what the store or the device refuses into an error of ours."""
        return self.place.errors()

    def take_extras(self, origin: StoredExtras | None) -> None:
        """Take over the files of the state that this one follows, or else of another index."""
        if self.base is not None:
            for name in filter(_is_extra, self.base.manifest.extra_files):
                with self.disk_errors():
                    link_or_copy(self.base.files[name].path, self.folder / name)
                self.enter_extra(name, self.base.manifest.extra_files[name])
        elif origin is not None:
            for name in filter(_is_extra, origin.manifest.extra_files):
                self.copy_extra(name, origin.extra_file(name))

    def publish(self, manifest: Manifest) -> tuple[Manifest, Version]:
        """Put the files, and then the manifest, if nobody else did meanwhile.

        A state that differs in nothing is no commit. Raises IndexChangedError (another writer was faster),
        OutputExistsError (another one made an index here), UnsafeStoreError, UsageError (too many segments),
        DiskFullError, IndexFolderError: nothing has changed then, unless the message says otherwise.
        """
        with self.disk_errors():
            prove_conditions(self.place.store, self.place.address.key, str(self.place))
            raw, tag = self._newest()
            retired, over = self._retired(manifest)
            if self.base is not None and self._adds_nothing(manifest, over):
                self.target = self.base.folder
                return self.base.manifest, self.base.version
            manifest = replace(
                manifest, generation=self.generation, retired=retired, commit=secrets.token_hex(8)
            )
            new = self.manifest_bytes(manifest)
            version = self._arrange(new)
            self._put_files(manifest, raw)
            self._exchange(new, raw, tag)
        self._settle(new)
        self._remove(manifest, over)
        return manifest, version

    def sources(self) -> dict[str, SourceFile]:
        """The files of the state as they lie in the cache."""
        entries = self.entries | self.extra
        return {
            name: SourceFile(self.target / name, entry, file_identity(self.target / name))
            for name, entry in entries.items()
        }

    # ---- inside ----

    def _newest(self) -> tuple[bytes | None, str | None]:
        """The manifest that is replaced, and its tag. Raises IndexChangedError, OutputExistsError."""
        raw, tag = self.place.tagged_manifest() or (None, None)
        if self.base is not None:
            if hashlib.sha256(raw or b"").hexdigest() != self.base.version.digest:
                raise changed_since(self.place, self.base.manifest.generation, raw)
        elif self._before is None:
            if raw is not None:
                raise exists_already(self.place)
        elif raw != self._before[0]:
            raise changed_since(self.place, self.generation - 1, raw)
        return raw, tag

    def _retired(self, manifest: Manifest) -> tuple[tuple[RetiredEntry, ...], list[str]]:
        """What the new manifest lists as retired, and names of objects whose time is over."""
        old, now, used = self._old, int(time.time()), object_names(manifest)
        if old is None:
            return (), []
        gone = [manifest_file(old.generation), *sorted(object_names(old))]
        entries = [*old.retired, *(RetiredEntry(name, old.generation, now) for name in gone)]
        entries = [entry for entry in entries if entry.file not in used]
        stay = tuple(entry for entry in entries if now - entry.time < self.grace)
        return stay, [entry.file for entry in entries if now - entry.time >= self.grace]

    def _adds_nothing(self, manifest: Manifest, over: list[str]) -> bool:
        assert self._old is not None
        old = self._old
        same = replace(manifest, generation=old.generation, retired=old.retired, created_by=old.created_by)
        return same == old and old.format_version == manifest.format_version and not over

    def _arrange(self, raw: bytes) -> Version:
        """Let the folder hold all files of the state under their names."""
        self.rename_drafts()
        for name in (self.entries | self.extra).keys() - {file.name for file in self.folder.iterdir()}:
            link_or_copy(self._kept[name].path, self.folder / name)
        manifest = self.folder / MANIFEST_NAME
        manifest.write_bytes(raw)
        return Version.of(raw, file_identity(manifest))

    def _put_files(self, manifest: Manifest, before: bytes | None) -> None:
        """Put what the store lacks. Objects that no state lists are put again: they may be about to go."""
        store, address = self.place.store, self.place.address
        there = set() if self._old is None else object_names(self._old)
        if self.base is not None:  # other tools put files there under their plain names
            there |= {object_name(name, source.entry) for name, source in self.base.files.items()}
        entries = manifest.files | manifest.extra_files
        wanted = {object_name(name, entry): self.folder / name for name, entry in entries.items()}
        missing = [(name, path) for name, path in wanted.items() if name not in there]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda item: store.upload((address / item[0]).key, item[1]), missing))
        if before is not None and self._old is not None:
            store.put((address / manifest_file(self._old.generation)).key, before)

    def _exchange(self, raw: bytes, before: bytes | None, tag: str | None) -> None:
        """Replace the manifest `before`, if it still has this tag.

        An answer may be lost: the manifest in the store says whether it is ours, since each has a mark of its
        own.
        """
        key = (self.place.address / MANIFEST_NAME).key
        try:
            self.place.store.put_if(key, raw, tag)
        except (ConflictError, StoreError, FileNotFoundError) as exc:
            found = self._manifest_after(exc)
            if found == raw:
                return
            if found == before:
                raise IndexFolderError(
                    f"the store of {self.place} did not take the new state ({exc}); nothing has changed so "
                    "far"
                ) from exc
            if self._old is None:
                raise exists_already(self.place) from exc
            raise changed_since(self.place, self._old.generation, found) from exc

    def _manifest_after(self, exc: Exception) -> bytes | None:
        """The manifest that is there after a put that failed."""
        try:
            return self.place.raw_manifest()
        except IndexFolderError as unknown:
            raise IndexFolderError(
                f"the store of {self.place} does not answer ({exc}), and it is not known whether the new "
                "state is there; open the index again to see"
            ) from unknown

    def _settle(self, raw: bytes) -> None:
        """Let the folder be the state in the cache."""
        self.target = self.place.snapshot(raw)
        for name, entry in (self.entries | self.extra).items():
            keep_blob(self.folder / name, entry.sha256)
        put_in_place(self.folder, self.target)
        self.abort()
        self.place.tidy(self.target)

    def _remove(self, manifest: Manifest, over: list[str]) -> None:
        """Remove retired objects, and what refused and killed writers left; what cannot be removed now is
        left for the next commit.
        """
        with suppress(OSError):
            gone = {*over, *self._left_over(manifest)}
            raw = self.place.raw_manifest()
            newest = None if raw is None else _parsed(raw, self.place)
            if newest is None or newest.generation < manifest.generation:
                return
            gone -= object_names(newest)  # another writer may have made the same file again meanwhile
            self.place.store.delete([(self.place.address / name).key for name in sorted(gone)])

    def _left_over(self, manifest: Manifest) -> Iterator[str]:
        known = object_names(manifest) | {entry.file for entry in manifest.retired} | {MANIFEST_NAME}
        prefix, now = self.place.address.key, time.time()
        for found in self.place.store.listed(prefix):
            name = found.key[len(prefix) :].lstrip("/")
            is_old = now - found.modified >= max(self.grace, LONGEST_WRITING)
            if is_old and name not in known and is_left_over(name):
                yield name


def _parsed(raw: bytes, place: Place) -> Manifest:
    return parse_manifest(raw, f"{place}/{MANIFEST_NAME}")


def _is_extra(name: str) -> bool:
    return not is_texts_file(name)
