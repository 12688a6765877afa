"""The table of served indexes: names to open states. No other name reaches the file system."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from cluscomp.errors import CluscompError, RequestRefusedError, UsageError
from cluscomp.server.served import Served, folder_state, open_served

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def parse_indexes(arguments: Iterable[str]) -> dict[str, Path]:
    """Name -> folder of arguments INDEX and NAME=INDEX; a folder alone is named by its last part.

    Raises UsageError for a name that cannot be one, or comes twice.
    """
    found: dict[str, Path] = {}
    for argument in arguments:
        head, equals, tail = argument.partition("=")
        named = bool(equals) and NAME.fullmatch(head) is not None
        folder = Path(tail if named else argument).expanduser()
        name = head if named else _name_of(folder)
        if name in found:
            raise UsageError(f"two indexes are called {name!r}; call one of them otherwise: other={folder}")
        found[name] = folder
    return found


def _name_of(folder: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", folder.resolve().name.removesuffix(".index")).strip("-_")[:64]
    if not NAME.fullmatch(name):
        raise UsageError(f"{folder} gives no name for the index; write name={folder}")
    return name


class Slot:
    """A name of the table: its folder, the state that is served, and whether the last look failed."""

    def __init__(self, folder: Path, served: Served | None = None) -> None:
        self.folder, self.served = folder, served
        self.failed: str | None = None
        self.used = 0


class Registry:
    """Served indexes by name. Each state is replaced by one assignment, so readers need no lock.

    folders: opened at once. root: a folder of more index folders, each opened when first asked for, at most
    max_open of them at a time. warm: called with each state before it is served. changed(name, slot): called
    after every look that found something.
    """

    def __init__(
        self,
        folders: dict[str, Path],
        *,
        root: Path | None = None,
        max_open: int = 256,
        warm: Callable[[Served], None] = lambda served: None,
        changed: Callable[[str, Slot], None] = lambda name, slot: None,
    ) -> None:
        self._warm, self._changed, self._root, self._max_open = warm, changed, root, max_open
        self._lock = threading.RLock()
        self._clock = 0
        self._slots = {name: Slot(folder, self._opened(name, folder)) for name, folder in folders.items()}
        self._fixed = frozenset(folders)
        self.rescan()

    def names(self) -> list[str]:
        """All names, in order."""
        return sorted(self._slots)

    def open_states(self) -> list[Served]:
        """The states that are open, by name."""
        found = [self._slots[name].served for name in self.names()]
        return [served for served in found if served is not None]

    def failures(self) -> dict[str, str]:
        """Name -> what is wrong with a newer state that could not be opened."""
        return {name: slot.failed for name, slot in self._slots.items() if slot.failed is not None}

    def is_open(self, name: str) -> bool:
        """Whether `current` answers without opening a folder. Raises RequestRefusedError (unknown)."""
        return self._slot(name).served is not None

    def current(self, name: str) -> Served:
        """The state that is served under a name; opens it where it is not open, which blocks.

        Raises RequestRefusedError (unknown name), IndexFolderError.
        """
        slot = self._slot(name)
        if slot.served is None:
            with self._lock:
                served = slot.served
                if served is None:
                    served = slot.served = self._opened(name, slot.folder)
                    self._make_room(name)
                    self._changed(name, slot)
                return served
        self._clock += 1
        slot.used = self._clock
        return slot.served

    def replace(self, name: str, served: Served) -> None:
        """Serve another state from now on."""
        slot = self._slot(name)
        slot.served, slot.failed = served, None
        self._changed(name, slot)

    def refresh(self, name: str) -> bool:
        """Serve the newest state of a folder, if it is another one; whether it is. Blocks.

        A state that cannot be opened leaves the old one, and is tried again at the next look.
        """
        with self._lock:
            slot = self._slot(name)
            old = slot.served
            if old is None:
                return False
            try:
                if folder_state(slot.folder) == old.state:
                    return False
                self.replace(name, self._opened(name, slot.folder))
            except (CluscompError, OSError, MemoryError) as exc:
                if slot.failed != str(exc):
                    slot.failed = str(exc)
                    self._changed(name, slot)
                return False
            return True

    def rescan(self) -> None:
        """Look for index folders in the root that came or went."""
        if self._root is None:
            return
        found: dict[str, Path] = {}
        for path in sorted(self._root.iterdir(), key=lambda path: len(path.name)):  # a before a.index
            name = path.name.removesuffix(".index")
            if NAME.fullmatch(name) and (path / "manifest.json").is_file():
                found.setdefault(name, path)
        with self._lock:
            slots = {name: slot for name, slot in self._slots.items() if name in self._fixed or name in found}
            for name, path in found.items():
                slots.setdefault(name, Slot(path))
            self._slots = slots

    def _opened(self, name: str, folder: Path) -> Served:
        served = open_served(name, folder)
        self._warm(served)
        return served

    def _slot(self, name: str) -> Slot:
        slot = self._slots.get(name)
        if slot is None:
            raise RequestRefusedError(
                f"no index is served under this name; GET /v1/indexes lists all {len(self._slots)}",
                404,
                "unknown-index",
            )
        return slot

    def _make_room(self, newest: str) -> None:
        """Close the least recently used indexes of the root beyond max_open."""
        self._clock += 1
        self._slots[newest].used = self._clock
        idle = [
            slot for name, slot in self._slots.items() if name not in self._fixed and slot.served is not None
        ]
        for slot in sorted(idle, key=lambda slot: slot.used)[: max(0, len(idle) - self._max_open)]:
            slot.served = None
