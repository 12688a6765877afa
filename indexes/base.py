"""Base class of all kinds of indexes: deletion, folders, pickling; what it holds is in contents.py."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cluscomp import checks
from cluscomp.array_forms import id_values
from cluscomp.errors import OutputExistsError, UsageError
from cluscomp.files import real_path
from cluscomp.indexes.compaction import Compactable
from cluscomp.indexes.contents import IndexContents, Segment
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.segments.id_lookup import (
    find_all,
    largest_id,
    require_kind,
    without,
)
from cluscomp.indexes.segments.ids import IdColumn, make_ids
from cluscomp.indexes.storage.folder import FolderWriter
from cluscomp.indexes.storage.identity import Identity
from cluscomp.indexes.storage.manifest import Manifest
from cluscomp.indexes.storage.opening import OpenedFolder, open_folder
from cluscomp.indexes.storage.origin import Origin, write_extra
from cluscomp.indexes.storage.saving import (
    new_bytes,
    segment_entry,
    segment_sources,
    source_files,
    stored_arrays,
    write_stored,
)
from cluscomp.vocabulary import MISSING, Missing

Self = TypeVar("Self", bound="StoredIndex[Any]")


class StoredIndex(Compactable, IndexContents[Segment]):
    """Segments of stored rows, their ids and settings; `Index` and `MultiVectorIndex` search them.

    A row is what has an id: a vector, or all vectors of a document.
    """

    def __init__(self, spec: IndexSpec, dim: int, metric: str = "ip", *, seed: int = 0) -> None:
        super().__init__(spec, dim, metric, seed=seed)
        self._origin: Origin | None = None
        self._folders: dict[Path, Origin] = {}  # opened or saved to, by path
        self._at_rest: tuple[Segment, ...] | None = None  # the segments that the origin holds
        self._lock = threading.RLock()  # of changes, one at a time; a search needs none

    # ---- changes ----

    def delete(self, ids: Any, *, missing: Missing = "fail") -> int:
        """Take rows out of all later searches; no other id changes. Their ids may be added again.

        Args:
            ids: ids, or one id.
            missing: "fail" where an id is not in the index, or "ignore" it.

        Returns:
            How many rows were deleted.

        Raises:
            InputError: an id is not in the index; nothing is deleted then.
            UnknownKeyError: missing is unknown.
            DuplicateIdError: an id is given twice.
            DTypeError: ids are not of the kind that the index has.
        """
        checks.one_of("missing", missing, MISSING)
        values = [ids] if isinstance(ids, (str, int, np.integer)) else id_values(ids)
        if len(values) == 0:
            return 0
        wanted = make_ids(values, len(values))
        with self._lock:
            require_kind(self._id_kind, wanted)
            found = find_all(self._segments, wanted, missing)
            self._segments = without(self._segments, found)
        return sum(rows.size for rows in found)

    def _append(self, segment: Segment) -> None:
        self._put(segment, self._segments)

    def _put(self, segment: Segment, others: tuple[Segment, ...]) -> None:
        """Let the rows be those of `others` and `segment`, which a search sees all at once."""
        self._id_kind = segment.ids.kind
        self._next_id = max(self._next_id, largest_id(segment.ids) + 1)
        self._segments = (*others, segment)

    def _replace(self, ids: Any, n: int, encoded: Callable[[IdColumn], Segment]) -> int:
        """Put n rows in the place of those that have their ids; how many were replaced. encoded: makes the
        segment of the ids.
        """
        column = make_ids(ids, n)
        with self._lock:
            require_kind(self._id_kind, column)
            segment = encoded(column)
            found = find_all(self._segments, column, "ignore")
            self._put(segment, without(self._segments, found))
        return sum(rows.size for rows in found)

    # ---- disk ----

    def save(self, path: str | os.PathLike[str], *, if_exists: str = "fail") -> None:
        """Write the index into a folder, all or nothing.

        An index that was opened from `path`, or saved there before, may be saved back without asking, unless
        somebody changed the folder in between. Files that did not change since are linked, not copied.

        Args:
            path: the folder.
            if_exists: "fail", or "replace", which replaces an index and nothing else.

        Raises:
            OutputExistsError: something is there that is not replaced.
            NotTrainedError: the key has to learn first.
            DiskFullError, IndexFolderError: the folder cannot be written; the old one is then untouched.
            UnknownKeyError: if_exists is unknown.
        """
        self.pipeline.require_trained()
        target = checks.path("path", path)
        with self._lock:
            self._write(target, if_exists)

    def _write(self, target: Path, if_exists: str) -> None:
        own = self._folders.get(real_path(target)) if if_exists == "fail" else None
        if own is not None and not own.is_at(target):
            own = None
        segments = self._segments
        arrays = stored_arrays(self.pipeline, segments)
        policy = if_exists if own is None else "replace"
        with FolderWriter(target, if_exists=policy, needed_bytes=new_bytes(arrays)) as writer:
            for stored in arrays:
                write_stored(writer, stored)
            extra = write_extra(writer, self._origin, share=own is not None and own is self._origin)
            manifest = self.manifest(writer.entries, extra)
            check = None if own is None else lambda: own.require_unchanged(target)
            version, identities = writer.publish(manifest, check), writer.identities
        saved = Origin(target, manifest, source_files(target, extra, identities), version)
        self._remember(saved, segments, identities)

    def _remember(
        self, saved: Origin, segments: tuple[Segment, ...], identities: Mapping[str, Identity]
    ) -> None:
        """Segments that were just written learn their files, so that the next save links them."""
        self._folders[saved.folder] = saved
        if self._origin is None or self._origin.folder == saved.folder:
            self._origin = saved
        if self._segments is segments:
            self._segments = tuple(
                replace(  # type: ignore[type-var]
                    segment, files=segment_sources(saved.folder, saved.manifest, number, identities)
                )
                for number, segment in enumerate(segments)
            )
            if self._origin is saved:
                self._at_rest = self._segments

    def manifest(self, files: Mapping[str, Any], extra_files: Mapping[str, Any]) -> Manifest:
        """Say what manifest.json holds when the index consists of these files.

        Args:
            files: array file -> what the manifest lists of it.
            extra_files: the same of other files.

        Returns:
            The manifest.
        """
        from cluscomp import __version__

        return Manifest(
            created_by=f"cluscomp {__version__}",
            key=self.key,
            dim=self.dim,
            metric=self.metric,
            seed=self.seed,
            id_kind=self._id_kind,
            next_id=self._next_id,
            encoder=self._encoder,
            settings=dict(self.settings),
            segments=tuple(segment_entry(s.n_rows, s.ids, s.n_deleted) for s in self._segments),
            files=dict(files),
            extra_files=dict(extra_files),
        )

    @property
    def origin(self) -> Origin | None:
        """The folder that the index was opened from."""
        return self._origin

    @property
    def extra_files(self) -> tuple[str, ...]:
        """Names of files that were stored with the index, such as docs.sqlite."""
        return () if self._origin is None else tuple(self._origin.extra_files)

    def extra_file(self, name: str) -> Path:
        """Find a file that was stored with the index, such as docs.sqlite.

        Args:
            name: of the file.

        Returns:
            Its path.

        Raises:
            UsageError: there is none.
        """
        if self._origin is None:
            raise UsageError(f"the index has no file {name!r}: it was not opened from a folder")
        return self._origin.extra_file(name)

    def describe(self, *, nprobe: int | None = None) -> dict[str, Any]:
        """Tell key, settings, counts, bytes by part and balance of the lists.

        Args:
            nprobe: for the rows that a query reads, in `lists`; None: `index.nprobe`.

        Returns:
            JSON values, as `cluscomp inspect --json` prints them.

        Raises:
            UsageError: nprobe is outside 1 to nlist.
        """
        from cluscomp.indexes.describe import describe

        return describe(self, nprobe=None if nprobe is None else self._checked_nprobe(nprobe))

    def nbytes(self) -> dict[str, int]:
        """Count the bytes of the saved folder by part.

        Returns:
            Part -> bytes: codes, ids and so on; "total" is their sum.
        """
        from cluscomp.indexes.describe import bytes_by_part

        return bytes_by_part(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """An index as it stands in its folder travels as the path; one that was changed, as its arrays.

        No pickle is ever part of an index folder.
        """
        origin = self._origin
        if origin is None or self._segments is not self._at_rest or not origin.is_unchanged():
            return super().__reduce_ex__(protocol)
        return reopened, (type(self), origin.folder, origin.version.digest, self.settings, self._encoder)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A copy does not share what changes: else a save of one would pass for a save of the other.
        own = {name: dict(state[name]) for name in ("settings", "_folders")}
        self.__dict__.update(state, **own, _lock=threading.RLock())

    # ---- inside ----

    @classmethod
    def from_folder(cls: type[Self], opened: OpenedFolder) -> Self:
        """Make the index that was found in a folder.

        Args:
            opened: what `open_folder` returned.

        Returns:
            The index.

        Raises:
            CorruptIndexError: its settings are inconsistent.
        """
        manifest = opened.manifest
        index = cls(opened.pipeline.spec, manifest.dim, manifest.metric, seed=manifest.seed)
        index.pipeline = opened.pipeline
        index._origin = Origin(opened.path, manifest, opened.extra_files, opened.version)
        index._folders[index._origin.folder] = index._origin
        index._segments = index._at_rest = opened.segments
        index._id_kind, index._next_id, index._encoder = manifest.id_kind, manifest.next_id, manifest.encoder
        index._load_settings(manifest.settings, str(opened.path))
        return index


def reopened(
    kind: type[Self], folder: Path, digest: str, settings: dict[str, Any], encoder: dict[str, Any] | None
) -> Self:
    """The index that was pickled as its folder, with the settings that it had.

    Raises IndexMissingError where the folder is not there, OutputExistsError where it holds another state.
    """
    index = kind.from_folder(open_folder(folder, verify=False))
    origin = index.origin
    if origin is None or origin.version.digest != digest:
        raise OutputExistsError(
            f"{folder} was changed since the index opened from it was pickled; open it again with open_index"
        )
    index.settings, index.encoder = dict(settings), encoder
    return index
