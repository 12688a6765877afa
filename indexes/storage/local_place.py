"""An index in a folder of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from cluscomp.files import folder_bytes, real_path
from cluscomp.indexes.storage.commit import FolderCommit
from cluscomp.indexes.storage.folder import FolderWriter, check_index_target, require_own
from cluscomp.indexes.storage.identity import Version, file_identity
from cluscomp.indexes.storage.lock import writer_lock
from cluscomp.indexes.storage.manifest import MANIFEST_NAME
from cluscomp.indexes.storage.place import BaseState, Lock
from cluscomp.indexes.storage.reading import FolderReader
from cluscomp.indexes.storage.retiring import GRACE
from cluscomp.indexes.storage.staging import disk_errors


class LocalPlace:
    """`Place` of a folder. path: as given, for messages; what it leads to decides."""

    def __init__(self, path: Path) -> None:
        self.path, self.folder = path, real_path(path)

    def __str__(self) -> str:
        return str(self.folder)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LocalPlace) and self.folder == other.folder

    def __hash__(self) -> int:
        return hash(self.folder)

    @property
    def scratch(self) -> Path:
        return self.folder.parent

    @property
    def name(self) -> str:
        return self.folder.name

    def work_path(self, ending: str) -> Path:
        return self.folder.parent / f".{self.folder.name}.{ending}"

    def reader(self, generation: int | None) -> FolderReader:
        return FolderReader(self.path, generation)

    @contextmanager
    def examined(self) -> Iterator[FolderReader]:
        with FolderReader(self.path) as reader:
            yield reader

    def raw_manifest(self) -> bytes | None:
        try:
            return (self.folder / MANIFEST_NAME).read_bytes()
        except OSError:
            return None

    def extra_file(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def nbytes(self) -> int:
        return folder_bytes(self.folder)

    def state(self) -> object:
        return file_identity(self.folder / MANIFEST_NAME)

    def is_at(self, version: Version) -> bool:
        try:
            return self.state() == version.identity
        except OSError:
            return False

    def check_target(self, if_exists: str) -> None:
        check_index_target(self.folder, if_exists)

    def lock(self, wait: float) -> AbstractContextManager[None]:
        return writer_lock(self.folder, wait)

    def grace(self, asked: float | None) -> float:
        return GRACE if asked is None else asked

    def commit(self, base: BaseState, lock: Lock, grace: float, needed_bytes: int = 0) -> FolderCommit:
        require_own(self.folder)
        base.require_unchanged()
        return FolderCommit(base, lock=lock, grace=grace, needed_bytes=needed_bytes)

    def new_index(self, if_exists: str, needed_bytes: int, wait: float) -> FolderWriter:
        require_own(self.folder)
        return FolderWriter(self.folder, if_exists=if_exists, needed_bytes=needed_bytes, wait=wait)

    def errors(self) -> AbstractContextManager[None]:
        return disk_errors(self.folder)
