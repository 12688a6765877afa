"""Where an index lives on disk: saving it, files beside its arrays, and travelling as its path."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from cluscomp import checks
from cluscomp.errors import OutputExistsError, UsageError
from cluscomp.files import real_path
from cluscomp.indexes.contents import IndexContents, Segment
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.storage.commit import FolderCommit
from cluscomp.indexes.storage.folder import FolderWriter
from cluscomp.indexes.storage.lock import WAIT, writer_lock
from cluscomp.indexes.storage.manifest import Manifest
from cluscomp.indexes.storage.opening import OpenedFolder, open_folder
from cluscomp.indexes.storage.origin import Origin
from cluscomp.indexes.storage.retiring import GRACE
from cluscomp.indexes.storage.saving import (
    Written,
    live_segments,
    new_bytes,
    segment_at_home,
    stored_arrays,
    write_index,
)

Self = TypeVar("Self", bound="SavedIndex[Any]")


class SavedIndex(IndexContents[Segment]):
    """Base of `StoredIndex`: folders and pickling."""

    def __init__(self, spec: IndexSpec, dim: int, metric: str = "ip", *, seed: int = 0) -> None:
        super().__init__(spec, dim, metric, seed=seed)
        self._origin: Origin | None = None
        self._folders: dict[Path, Origin] = {}  # opened or saved to, by path
        self._at_rest: tuple[Segment, ...] | None = None  # the segments that the origin holds
        self._lock = threading.RLock()  # of changes, one at a time; a search needs none

    @property
    def origin(self) -> Origin | None:
        """The folder that the index was opened from, or else first saved to."""
        return self._origin

    @property
    def generation(self) -> int | None:
        """Commits of the folder that the index was opened from, or else first saved to, up to the state that
        this index holds or began from. 0 for a folder of format 1 or 2; None without a folder.
        """
        return None if self._origin is None else self._origin.manifest.generation

    @property
    def has_changes(self) -> bool:
        """Whether there is anything that the folder of `generation` does not hold: rows, deletions, settings,
        encoder.
        """
        origin = self._origin
        if origin is None or self._segments is not self._at_rest:
            return True
        return (self.settings, self._encoder) != (origin.manifest.settings, origin.manifest.encoder)

    # ---- save ----

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        if_exists: str = "fail",
        wait: float = WAIT,
        grace: float = GRACE,
    ) -> None:
        """Write the index into a folder, all or nothing.

        An index that was opened from `path`, or saved there before, is saved back without asking, as the next
        generation of the folder: only what is new is written. Where somebody else changed the folder since,
        nothing is written. Segments of which every row is deleted are dropped.

        Args:
            path: the folder.
            if_exists: "fail", or "replace", which replaces an index and nothing else.
            wait: seconds to wait while another writer is at work in the folder.
            grace: seconds for which files of older generations stay in the folder, for readers that are
                opening them; the first save after that removes them.

        Raises:
            OutputExistsError: something is there that is not replaced.
            IndexChangedError: somebody else changed the folder since; it is an OutputExistsError.
            IndexLockedError: another writer is still at work in the folder.
            NotTrainedError: the key has to learn first.
            UsageError: the index has too many segments; `compact` merges them.
            DiskFullError, IndexFolderError: the folder cannot be written; the old state is then untouched.
            UnknownKeyError: if_exists is unknown.
        """
        self.pipeline.require_trained()
        target = checks.path("path", path)
        wait, grace = checks.number("wait", wait, low=0), checks.number("grace", grace, low=0)
        with self._lock:
            self._write(target, if_exists, wait, grace)

    def _write(self, target: Path, if_exists: str, wait: float, grace: float) -> None:
        own = self._folders.get(real_path(target)) if if_exists == "fail" else None
        segments = live_segments(self._segments)
        needed = new_bytes(stored_arrays(self.pipeline, segments))
        staging: FolderCommit | FolderWriter
        if own is not None and own.is_at(target):
            own.require_unchanged()
            lock = partial(self._writer_lock, own.folder, wait)
            staging = FolderCommit(own, lock=lock, grace=grace, needed_bytes=needed)
        else:
            staging = FolderWriter(target, if_exists=if_exists, needed_bytes=needed, wait=wait)
        with staging:
            written = write_index(staging, self.pipeline, segments)
            staging.take_extras(self._origin)
            manifest = self.manifest(written, staging.extra)
            manifest, version = staging.publish(manifest)
        saved = Origin(target, manifest, staging.sources(staging.target), version)
        self._remember(saved, segments)

    def _writer_lock(self, folder: Path, wait: float) -> AbstractContextManager[None]:
        return writer_lock(folder, wait)

    def _remember(self, saved: Origin, segments: tuple[Segment, ...]) -> None:
        """Segments that were just written learn their files, so that the next save leaves or links them."""
        was_at_rest = self._segments is self._at_rest
        self._folders[saved.folder] = saved
        if self._origin is None or self._origin.folder == saved.folder:
            self._origin = saved
        self._segments = tuple(
            segment_at_home(segment, entry, saved.files)
            for segment, entry in zip(segments, saved.manifest.segments, strict=True)
        )
        if self._origin is saved or was_at_rest:
            self._at_rest = self._segments

    def manifest(self, written: Written, extra_files: Mapping[str, Any]) -> Manifest:
        """Say what manifest.json holds when the index consists of these files.

        Args:
            written: arrays and segments.
            extra_files: other file -> what the manifest lists of it.

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
            segments=written.segments,
            files=dict(written.files),
            extra_files=dict(extra_files),
            generation=written.generation,
            trained=written.trained,
        )

    # ---- files beside the arrays ----

    @property
    def extra_files(self) -> tuple[str, ...]:
        """Names of files that were stored with the index, such as docs.sqlite."""
        return () if self._origin is None else tuple(self._origin.manifest.extra_files)

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

    # ---- travel ----

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
        together = Together(state["_together"].segments)
        self.__dict__.update(state, **own, _together=together, _lock=threading.RLock())

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
        index._origin = Origin(opened.path, manifest, opened.files, opened.version)
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
