"""Which state of which folder an index holds, and taking up what other writers saved there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cluscomp.errors import UsageError
from cluscomp.indexes.contents import IndexContents, Segment
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.segments.rebasing import rebased
from cluscomp.indexes.storage.names import trained_mark
from cluscomp.indexes.storage.opening import OpenedFolder, open_folder
from cluscomp.indexes.storage.origin import Origin
from cluscomp.indexes.storage.place import Place

_STATE = ("_together", "_id_kind", "_next_id", "_encoder", "_schema", "_origin")


class FollowingIndex(IndexContents[Segment]):
    """Base of `SavedIndex`: one of several owners of a folder."""

    def __init__(self, spec: IndexSpec, dim: int, metric: str = "ip", *, seed: int = 0) -> None:
        super().__init__(spec, dim, metric, seed=seed)
        self._origin: Origin | None = None
        self._folders: dict[Place, Origin] = {}  # opened or saved to
        self._lock = threading.RLock()  # of changes, one at a time; a search needs none
        self._alone_in: Place | None = None  # whose lock this index holds

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
        encoder, declared attributes.
        """
        if self._origin is None or not self._is_at_rest:
            return True
        saved = self._origin.manifest
        mine = self.settings, self._encoder, self._schema.to_json()
        return mine != (saved.settings, saved.encoder, saved.attributes)

    def refresh(self) -> bool:
        """Take up the newest generation of the folder that the index was opened from, in place.

        Segments that are in both stay as they are, mapped; searches that are running end on the old state.
        Settings that were changed since opening keep their values.

        Returns:
            Whether there was a newer state.

        Raises:
            UsageError: the index has changes that were not saved, has no folder, or its folder holds an index
                of another key, dim, metric or training now: open that one.
            IndexMissingError, CorruptIndexError, NewerFormatError, ForeignFileError: the folder cannot be
                opened; the index keeps its state.
        """
        with self._lock:
            origin = self._origin
            if origin is None:
                raise UsageError("the index was not opened from a folder, so there is nothing to take up")
            if origin.is_unchanged():
                return False
            if not self._is_at_rest:
                raise UsageError(
                    f"the index has rows or deletions that were not saved to {origin.place}; save it first, "
                    "or open the folder again to give them up"
                )
            opened = self._newest(origin)
            self._take_up(opened, origin, opened.segments)
        return opened.version.digest != origin.version.digest

    # ---- inside ----

    @property
    def _is_at_rest(self) -> bool:
        """Whether the rows are those of the folder that the index was opened from."""
        return self._origin is not None and self._segments is self._origin.segments

    @contextmanager
    def _alone(self, place: Place, wait: float) -> Iterator[None]:
        """Hold the lock of a place, unless this index holds it already."""
        if self._alone_in == place:
            yield
            return
        with place.lock(wait):
            before, self._alone_in = self._alone_in, place
            try:
                yield
            finally:
                self._alone_in = before

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Put the index back as it was, if an error is raised."""
        before = {name: getattr(self, name) for name in _STATE}
        settings, folders = dict(self.settings), dict(self._folders)
        try:
            yield
        except BaseException:
            self.__dict__.update(before, settings=settings, _folders=folders)
            raise

    def _rebase(self, own: Origin) -> None:
        """Let the index be the newest state of a folder with the changes that were made here since."""
        opened = self._newest(own)
        segments = rebased(own.segments, self._segments, opened.segments)
        mine = self._id_kind, self._next_id
        schema = opened.manifest.schema.joined(self._schema, new=True)
        self._take_up(opened, own, segments)
        self._schema = schema
        self._id_kind, self._next_id = self._id_kind or mine[0], max(self._next_id, mine[1])

    def _newest(self, own: Origin) -> OpenedFolder:
        """The newest state of a folder. Raises UsageError unless its codes mean what those of this index
        mean.
        """
        known = {segment.name: segment for segment in self._segments if segment.name is not None}
        opened = open_folder(own.place, verify=False, known=known)
        for name in ("key", "dim", "metric"):
            mine, theirs = getattr(self, name), getattr(opened.manifest, name)
            if mine != theirs:
                raise UsageError(
                    f"{opened.place} holds an index of {name} {theirs!r} now, but this one has {mine!r}; "
                    "open it with open_index"
                )
        if trained_mark(opened.pipeline) != trained_mark(self.pipeline):
            raise UsageError(
                f"{opened.place} holds an index that was trained anew, so that its codes mean nothing to "
                "this one; open it with open_index"
            )
        return opened

    def _take_up(self, opened: OpenedFolder, own: Origin, segments: tuple[Any, ...]) -> None:
        """Begin from a newer state of the folder `own`. segments: that the index consists of then."""
        new, old = opened.manifest, own.manifest
        changed = {name: value for name, value in self.settings.items() if old.settings.get(name) != value}
        self._load_settings({**new.settings, **changed}, str(opened.path))
        if self._encoder == old.encoder:
            self._encoder = new.encoder
        self._id_kind, self._next_id, self._schema = new.id_kind, new.next_id, new.schema
        taken = Origin.of(opened)
        self._folders[taken.place] = taken
        if self._origin is not None and self._origin.place == taken.place:
            self._origin = taken
        self._segments = segments
