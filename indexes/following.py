"""Taking up what other writers saved: `refresh`."""

from __future__ import annotations

from typing import Any

from cluscomp.errors import UsageError
from cluscomp.indexes.contents import Segment
from cluscomp.indexes.saved import SavedIndex
from cluscomp.indexes.storage.names import trained_mark
from cluscomp.indexes.storage.opening import OpenedFolder, open_folder
from cluscomp.indexes.storage.origin import Origin


class FollowingIndex(SavedIndex[Segment]):
    """Base of `StoredIndex`: one of several owners of a folder."""

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
            if self._segments is not self._at_rest:
                raise UsageError(
                    f"the index has rows or deletions that were not saved to {origin.folder}; save it first, "
                    "or open the folder again to give them up"
                )
            known = {segment.name: segment for segment in self._segments if segment.name is not None}
            opened = open_folder(origin.folder, verify=False, known=known)
            self._require_successor(opened)
            self._take_up(opened, origin)
        return opened.version.digest != origin.version.digest

    def _require_successor(self, opened: OpenedFolder) -> None:
        """Raise UsageError unless the codes of the new state mean what those of this index mean."""
        new = opened.manifest
        for name in ("key", "dim", "metric"):
            mine, theirs = getattr(self, name), getattr(new, name)
            if mine != theirs:
                raise UsageError(
                    f"{opened.path} holds an index of {name} {theirs!r} now, but this one has {mine!r}; open "
                    "it with open_index"
                )
        if trained_mark(opened.pipeline) != trained_mark(self.pipeline):
            raise UsageError(
                f"{opened.path} holds an index that was trained anew, so that its codes mean nothing to this "
                "one; open it with open_index"
            )

    def _take_up(self, opened: OpenedFolder, origin: Origin) -> None:
        new, old = opened.manifest, origin.manifest
        changed = {name: value for name, value in self.settings.items() if old.settings.get(name) != value}
        self._load_settings({**new.settings, **changed}, str(opened.path))
        if self._encoder == old.encoder:
            self._encoder = new.encoder
        self._id_kind, self._next_id = new.id_kind, new.next_id
        self._origin = Origin(opened.path, new, opened.files, opened.version)
        self._folders[self._origin.folder] = self._origin
        segments: tuple[Any, ...] = opened.segments  # of the kind that the key says
        self._segments = self._at_rest = segments
