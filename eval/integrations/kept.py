"""Where a store keeps its index: in memory, or in a folder that others may read and write, too."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from cluscomp import checks
from cluscomp.errors import EmptyInputError, IndexMissingError, UsageError
from cluscomp.indexes.any_index import AnyIndex
from cluscomp.indexes.index import open_index

Value = TypeVar("Value")

WAIT = 60.0
"""Seconds that a change waits for another writer of the folder."""
MAX_SEGMENTS = 64
"""Every change is a segment; beyond this number they are merged."""


class KeptIndex:
    """One index that any number of threads change and search.

    With a folder, every change is one commit to it (`Index.writer`), and what other processes committed is
    taken up before the next change or search.

    folder: None keeps the index in memory. replace: whether the first index that comes may replace the one
    that is in the folder, which is not opened then.

    Raises IndexFolderError (and the errors of `open_index`) where the folder holds something else.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, *, replace: bool = False) -> None:
        self.folder = None if folder is None else checks.path("folder", folder)
        self.lock = threading.RLock()
        self._replace = replace
        self._index: AnyIndex | None = None
        self.current()

    def current(self) -> AnyIndex | None:
        """The index in its newest state; None before there is one. Raises IndexFolderError."""
        index = self._index
        if self.folder is None or (index is not None and _is_newest(index)):
            return index
        with self.lock:
            if self._index is None:
                if not self._replace and self.folder.exists():
                    self._index = open_index(self.folder)
            elif not _is_newest(self._index):
                self._follow()
            return self._index

    def read(self, work: Callable[[AnyIndex], Value]) -> Value:
        """What `work` reads of the index; once more where others removed the files of the state meanwhile.

        Raises EmptyInputError before there is an index.
        """
        try:
            return work(self._filled())
        except IndexMissingError:
            return work(self._filled())

    def begin(self, index: AnyIndex) -> None:
        """Keep a first index. Raises OutputExistsError where somebody else made one in the folder meanwhile,
        and the other errors of `Index.save`.
        """
        with self.lock:
            if self.folder is not None:
                self.folder.parent.mkdir(parents=True, exist_ok=True)
                index.save(self.folder, if_exists="replace" if self._replace else "fail", wait=WAIT)
            self._index, self._replace = index, False

    @contextmanager
    def change(self) -> Iterator[AnyIndex]:
        """The index, to be changed in the block by nobody else; what the block did is then saved, all or
        nothing. Raises EmptyInputError before there is an index, and the errors of `Index.writer`.
        """
        with self.lock:
            index = self._filled()
            if self.folder is None:
                yield index
                _tidy(index)
                return
            with ExitStack() as held:
                try:
                    held.enter_context(index.writer(wait=WAIT))
                except UsageError:  # another index came between the look and the lock
                    index = self._index = open_index(self.folder)
                    held.enter_context(index.writer(wait=WAIT))
                yield index
                _tidy(index)

    def succeed(self, index: AnyIndex) -> None:
        """Let another index for the same rows take the place of the one that is kept.

        Raises IndexChangedError where somebody else changed the folder since `current`; nothing has changed
        then.
        """
        with self.lock:
            if self.folder is not None:
                index.succeed(self._filled(), wait=WAIT)
            self._index = index

    # ---- inside ----

    def _filled(self) -> AnyIndex:
        index = self.current()
        if index is None:
            raise EmptyInputError("the index is empty; add documents first")
        return index

    def _follow(self) -> None:
        """Take up what others saved: a newer state of the same index, or another index."""
        assert self._index is not None and self.folder is not None
        try:
            self._index.refresh()
        except UsageError:
            self._index = open_index(self.folder)


def _is_newest(index: AnyIndex) -> bool:
    origin: Any = index.origin
    return origin is None or origin.is_unchanged()


def _tidy(index: AnyIndex) -> None:
    if len(index.segments) > MAX_SEGMENTS:
        index.compact()
