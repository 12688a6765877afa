"""Built indexes, kept until all their rows are measured: a killed run does not build them again."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cluscomp.eval.compare.adapter import Adapter, LearnsApart
from cluscomp.eval.compare.collection import Collection
from cluscomp.files import atomic_json, folder_bytes
from cluscomp.folders import new_folder, remove_stale

_FILES, _BUILT = "files", "built.json"


class IndexStore:
    """Folders of built indexes below `root`, by the identity of what they depend on."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def built(
        self, name: str, adapter: Adapter, collection: Collection, seed: int
    ) -> tuple[Path, int, float]:
        """Folder, bytes and seconds of the build of an index, which is built if it is not there."""
        made = partial(adapter.build, collection.documents, collection.metric, seed)
        files, seconds = self._built(self.root / name, made)
        return files, folder_bytes(files), seconds

    def built_from(
        self, training: Collection, name: str, adapter: LearnsApart, collection: Collection, seed: int
    ) -> Path:
        """Folder of an index that was trained on the documents of another collection."""
        made = partial(adapter.build_from, training.documents, collection.documents, collection.metric, seed)
        return self._built(self.root / name, made)[0]

    def drop(self, name: str) -> None:
        """Remove an index whose rows are all measured."""
        shutil.rmtree(self.root / name, ignore_errors=True)

    def close(self) -> None:
        """Remove what is left of unfinished builds, and the root where nothing is kept."""
        remove_stale(self.root)
        if self.root.is_dir() and not any(self.root.iterdir()):
            self.root.rmdir()

    def _built(self, folder: Path, build: Callable[[Path], None]) -> tuple[Path, float]:
        if not (folder / _BUILT).is_file():
            with new_folder(folder) as draft:
                (draft / _FILES).mkdir()
                start = time.perf_counter()
                build(draft / _FILES)
                atomic_json(draft / _BUILT, {"seconds": time.perf_counter() - start})
        return folder / _FILES, json.loads((folder / _BUILT).read_text(encoding="utf-8"))["seconds"]
