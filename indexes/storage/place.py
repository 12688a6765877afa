"""Where an index lives, a folder or a prefix of an object store: what the rest of the package asks of it.

local_place.py and object_place.py are the two kinds, places.py tells them apart by the path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from cluscomp.errors import CluscompError, IndexChangedError
from cluscomp.indexes.storage.identity import Version
from cluscomp.indexes.storage.manifest import MANIFEST_NAME, Manifest, parse_manifest
from cluscomp.indexes.storage.reading import FolderReader
from cluscomp.indexes.storage.sources import SourceFile
from cluscomp.indexes.storage.staging import Staging

Lock = Callable[[], AbstractContextManager[None]]


class BaseState(Protocol):
    """The state that a commit follows. folder: of this machine, where its files can be read."""

    folder: Path
    manifest: Manifest
    files: Mapping[str, SourceFile]
    version: Version

    def is_unchanged(self) -> bool:
        """Whether it still is the newest state of its place."""
        ...

    def require_unchanged(self) -> None:
        """Raise IndexChangedError unless it still is the newest state of its place."""
        ...


class Place(Protocol):
    """A folder or a prefix. Equal places are the same; as text, a place is what messages call it.

    Methods raise OSError where the system or the store refuses, which `errors` turns into an error of ours.
    """

    @property
    def scratch(self) -> Path:
        """Folder on the device that holds the files until they are published; it need not exist."""
        ...

    @property
    def name(self) -> str:
        """Last part of the path or address."""
        ...

    def work_path(self, ending: str) -> Path:
        """Where an unfinished change lives, for the next process that tries it: `.NAME.ENDING`."""
        ...

    def reader(self, generation: int | None) -> FolderReader:
        """One state of the index, open for reading; None: the newest.

        Raises IndexMissingError, ForeignFileError, CorruptIndexError, NewerFormatError.
        """
        ...

    def examined(self) -> AbstractContextManager[FolderReader]:
        """The newest state as it lies there, with all its faults."""
        ...

    def raw_manifest(self) -> bytes | None:
        """The newest manifest, None where there is none."""
        ...

    def extra_file(self, name: str) -> bytes | None:
        """A file that is stored with the newest state, None where there is none."""
        ...

    def nbytes(self) -> int:
        """Bytes of all files that belong to the newest state, and of what else lies there."""
        ...

    def state(self) -> object:
        """What changes with every commit and every replacement, for those who look often.

        Raises OSError where no index is there.
        """
        ...

    def is_at(self, version: Version) -> bool:
        """Whether this still is the newest state."""
        ...

    def check_target(self, if_exists: str) -> None:
        """Raise OutputExistsError unless a new index may be written here; UnknownKeyError."""
        ...

    def lock(self, wait: float) -> AbstractContextManager[None]:
        """Be the only writer, where there are locks. Raises IndexLockedError."""
        ...

    def grace(self, asked: float | None) -> float:
        """Seconds that files of older states stay. asked: None for what is usual here."""
        ...

    def commit(self, base: BaseState, lock: Lock, grace: float, needed_bytes: int = 0) -> Staging:
        """The next state of an index that is here. lock: held while it is published."""
        ...

    def new_index(self, if_exists: str, needed_bytes: int, wait: float) -> Staging:
        """A new index here, which may take the place of another one."""
        ...

    def errors(self) -> AbstractContextManager[None]:
        """Turn what the system refuses into an error of ours that names the place."""
        ...


def changed_since(place: Place, generation: int, raw: bytes | None) -> IndexChangedError:
    """The error of a writer whose index began from `generation`, where `raw` is the manifest now."""
    return IndexChangedError(
        f"{place} was changed since this index was opened from it or saved to it: this index began from "
        f"generation {generation}, and there is {_generation(raw or b'')} now; open it again, or save with "
        "if_exists='replace' to overwrite that change"
    )


def _generation(raw: bytes) -> str:
    """The generation that a manifest tells of, for a message."""
    try:
        return f"generation {parse_manifest(raw, MANIFEST_NAME).generation}"
    except CluscompError:
        return "no index of this version"
