"""Where an index lives on disk: saving it, files beside its arrays, and travelling as its path."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from cluscomp import checks
from cluscomp.errors import OutputExistsError, UsageError
from cluscomp.indexes.contents import Segment
from cluscomp.indexes.following import FollowingIndex
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.storage.hub import pushed
from cluscomp.indexes.storage.lock import WAIT
from cluscomp.indexes.storage.manifest import Manifest
from cluscomp.indexes.storage.opening import OpenedFolder, open_folder
from cluscomp.indexes.storage.origin import Origin
from cluscomp.indexes.storage.place import Place
from cluscomp.indexes.storage.places import place_of
from cluscomp.indexes.storage.saving import (
    Written,
    live_segments,
    new_bytes,
    segment_at_home,
    stored_arrays,
    write_index,
)

Self = TypeVar("Self", bound="SavedIndex[Any]")


class SavedIndex(FollowingIndex[Segment]):
    """Base of `StoredIndex`: folders and pickling."""

    # ---- save ----

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        if_exists: str = "fail",
        merge: bool = False,
        wait: float = WAIT,
        grace: float | None = None,
    ) -> None:
        """Write the index into a folder, all or nothing.

        An index that was opened from `path`, or saved there before, is saved back without asking, as the next
        generation of the folder: only what is new is written. Where somebody else changed the folder since,
        nothing is written, or both changes are joined (`merge`). Segments of which every row is deleted are
        dropped.

        Args:
            path: the folder, or an address of an object store such as s3://bucket/my.index.
            if_exists: "fail", or "replace", which replaces an index and nothing else.
            merge: where somebody else changed the folder since, take up that state, delete what was deleted
                here, and add behind it what was added here. Rows that were deleted on either side are
                deleted.
            wait: seconds to wait while another writer is at work in the folder.
            grace: seconds for which files of older generations stay, for readers that are opening them; the
                first save after that removes them. None: 600, in an object store 86 400.

        Raises:
            OutputExistsError: something is there that is not replaced.
            IndexChangedError: somebody else changed the folder since; it is an OutputExistsError. With
                merge: and the index was compacted here, or attributes were set.
            DuplicateIdError: with merge, an id was added on both sides; rows that were numbered may be such.
            IndexLockedError: another writer is still at work in the folder.
            NotTrainedError: the key has to learn first.
            UsageError: the index has too many segments; `compact` merges them. With merge: if_exists is
                "replace", or the folder holds an index of another key, dim, metric or training now.
            DiskFullError, IndexFolderError: the folder cannot be written; the old state is then untouched.
            UnsafeStoreError: an object store does not keep the conditions of a put.
            OptionalDependencyError: an address of an object store without the package obstore.
            UnknownKeyError: if_exists is unknown.
        """
        self.pipeline.require_trained()
        target = place_of(path)
        wait, grace = checks.number("wait", wait, low=0), _checked_grace(grace)
        if merge and if_exists == "replace":
            raise UsageError(
                "merge=True joins the index with what is at the path, if_exists='replace' does away with "
                "that; pass one of them"
            )
        with self._lock:
            own = self._own(target)
            if not merge or own is None:
                self._write(target, if_exists, wait, grace)
                return
            with own.place.errors(), self._alone(own.place, wait), self._all_or_nothing():
                if not own.is_unchanged():
                    self._rebase(own)
                self._write(target, if_exists, wait, grace)

    def succeed(self, other: SavedIndex[Any], *, wait: float = WAIT, grace: float | None = None) -> None:
        """Be the next generation of the folder of another index, under another key or training.

        It is a commit: readers that have the folder open keep the state that they have, whose files stay for
        `grace`; what they opened cannot take up this one (`refresh` says so), but the folder can be opened
        again. Files that are stored besides arrays, such as report.json, stay.

        Args:
            other: an index that was opened from a folder or saved to one, and has no changes.
            wait: seconds to wait while another writer is at work in the folder.
            grace: as of `save`.

        Raises:
            UsageError: the other index has no folder, or changes that were not saved.
            IndexChangedError: somebody else changed the folder since; nothing is written.
            NotTrainedError, IndexLockedError, DiskFullError, IndexFolderError: as of `save`.
        """
        self.pipeline.require_trained()
        wait, grace = checks.number("wait", wait, low=0), _checked_grace(grace)
        with other._lock, self._lock, self._all_or_nothing():
            origin = other._origin
            if origin is None or other.has_changes:
                raise UsageError(
                    "the index that is to be succeeded has no folder, or changes that were not saved to it; "
                    "save it first"
                )
            self._folders[origin.place] = origin
            self._write(origin.place, "fail", wait, grace)

    @contextmanager
    def writer(self: Self, *, wait: float = WAIT, grace: float | None = None) -> Iterator[Self]:
        """Be the only writer of the folder that the index was opened from, for a block.

        On entering, the index takes up the newest generation, as `refresh` does. On leaving, it is saved if
        it has changed. An error inside puts it back as it was, and nothing is saved. No other thread changes
        the index meanwhile.

        Args:
            wait: seconds to wait while another writer is at work in the folder.
            grace: as of `save`.

        Returns:
            A context manager that gives the index.

        Raises:
            IndexLockedError: another writer is still at work in the folder.
            UsageError, IndexFolderError: as of `refresh` and `save`.
        """
        wait, grace = checks.number("wait", wait, low=0), _checked_grace(grace)
        with self._lock:
            origin = self._origin
            if origin is None:
                raise UsageError("the index has no folder yet; save it to one first")
            with ExitStack() as stack:
                with origin.place.errors():
                    stack.enter_context(self._alone(origin.place, wait))
                self.refresh()
                with self._all_or_nothing():
                    yield self
                    if self.has_changes:
                        self._write(origin.place, "fail", wait, grace)

    def push_to_hub(
        self,
        repo: str,
        *,
        revision: str | None = None,
        private: bool | None = None,
        message: str | None = None,
    ) -> str:
        """Write the index into a data set repository of the Hugging Face hub, as one commit.

        All files of the repository are replaced; README.md says what the index is. The token is that of
        huggingface_hub. `open_index` opens the address.

        Args:
            repo: "owner/name"; made if it is not there.
            revision: branch to write to; None: the main one.
            private: whether a new repository is private; None: as the account has it.
            message: of the commit.

        Returns:
            The address with the commit, "hf://owner/name@commit".

        Raises:
            UsageError: repo is no name of a repository.
            IndexFolderError: the hub refuses, or does not answer.
            NotTrainedError: the key has to learn first.
            OptionalDependencyError: huggingface_hub is not installed.
        """
        return str(pushed(self, repo, revision=revision, private=private, message=message))

    def _own(self, target: Place) -> Origin | None:
        """The state of `target` that the index was opened from or saved as, if an index is there."""
        own = self._folders.get(target)
        return own if own is not None and target.raw_manifest() is not None else None

    def _write(self, target: Place, if_exists: str, wait: float, grace: float | None) -> None:
        own = self._own(target) if if_exists == "fail" else None
        segments = live_segments(self._segments)
        needed = new_bytes(stored_arrays(self.pipeline, segments))
        if own is not None:
            lock = partial(self._alone, target, wait)
            staging = target.commit(own, lock, target.grace(grace), needed)
        else:
            staging = target.new_index(if_exists, needed, wait)
        with staging, staging.disk_errors():
            written = write_index(staging, self.pipeline, segments)
            staging.take_extras(self._origin)
            manifest = self.manifest(written, staging.extra)
            manifest, version = staging.publish(manifest)
        saved = Origin(target, staging.target, manifest, staging.sources(), version)
        self._remember(saved, segments)

    def _remember(self, saved: Origin, segments: tuple[Segment, ...]) -> None:
        """Segments that were just written learn their files, so that the next save leaves or links them."""
        was_at_rest = self._is_at_rest
        self._folders[saved.place] = saved
        if self._origin is None or self._origin.place == saved.place:
            self._origin = saved
        self._segments = saved.segments = tuple(
            segment_at_home(segment, entry, saved.files)
            for segment, entry in zip(segments, saved.manifest.segments, strict=True)
        )
        if was_at_rest:
            self._origin.segments = self._segments

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
            training=dict(self._training),
            segments=written.segments,
            files=dict(written.files),
            extra_files=dict(extra_files),
            generation=written.generation,
            trained=written.trained,
            attributes=self._schema.to_json(),
        )

    # ---- files beside the arrays ----

    @property
    def extra_files(self) -> tuple[str, ...]:
        """Names of files that were stored with the index, such as report.json."""
        return () if self._origin is None else tuple(self._origin.manifest.extra_files)

    def extra_file(self, name: str) -> Path:
        """Find a file that was stored with the index, such as report.json.

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
        if origin is None or not self._is_at_rest or not origin.is_unchanged():
            return super().__reduce_ex__(protocol)
        state = origin.place, origin.manifest.generation, origin.version.digest
        return reopened, (type(self), *state, self.settings, self._encoder)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_lock", "_alone_in")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A copy does not share what changes: else a save of one would pass for a save of the other.
        own = {name: dict(state[name]) for name in ("settings", "_folders")}
        together = Together(state["_together"].segments)
        self.__dict__.update(state, **own, _together=together, _lock=threading.RLock(), _alone_in=None)

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
        index._origin = Origin.of(opened)
        index._folders[index._origin.place] = index._origin
        index._segments = opened.segments
        index._id_kind, index._next_id, index._encoder = manifest.id_kind, manifest.next_id, manifest.encoder
        index._schema = manifest.schema
        index._training = dict(manifest.training)
        index._load_settings(manifest.settings, str(opened.path))
        return index


def _checked_grace(grace: float | None) -> float | None:
    return None if grace is None else checks.number("grace", grace, low=0)


def reopened(
    kind: type[Self],
    place: Place,
    generation: int,
    digest: str,
    settings: dict[str, Any],
    encoder: dict[str, Any] | None,
) -> Self:
    """The index that was pickled as its place and generation, with the settings that it had.

    Raises IndexMissingError where these are not there any more, OutputExistsError where another index is.
    """
    index = kind.from_folder(open_folder(place, verify=False, generation=generation))
    origin = index.origin
    if origin is None or origin.version.digest != digest:
        raise OutputExistsError(
            f"{place} was changed since the index opened from it was pickled; open it again with open_index"
        )
    index.settings, index.encoder = dict(settings), encoder
    return index
