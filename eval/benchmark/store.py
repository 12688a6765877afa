"""Built indexes, kept until all their rows are measured: a killed run does not build them again."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

from cluscomp.eval.benchmark.collection import Collection
from cluscomp.eval.benchmark.contender import Contender, folder_bytes

_FILES, _BUILT = "files", "built.json"


class IndexStore:
    """Folders of built indexes below `root`, by the identity of what they depend on."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def built(
        self, name: str, contender: Contender, collection: Collection, seed: int
    ) -> tuple[Path, int, float]:
        """Folder, bytes and seconds of the build of an index, which is built if it is not there."""
        folder = self.root / name
        if not (folder / _BUILT).is_file():
            self._build(folder, contender, collection, seed)
        seconds = json.loads((folder / _BUILT).read_text(encoding="utf-8"))["seconds"]
        return folder / _FILES, folder_bytes(folder / _FILES), seconds

    def drop(self, name: str) -> None:
        """Remove an index whose rows are all measured."""
        shutil.rmtree(self.root / name, ignore_errors=True)

    def close(self) -> None:
        """Remove what is left of unfinished builds, and the root where nothing is kept."""
        for partial in self.root.glob("*.partial"):
            shutil.rmtree(partial, ignore_errors=True)
        if self.root.is_dir() and not any(self.root.iterdir()):
            self.root.rmdir()

    def _build(self, folder: Path, contender: Contender, collection: Collection, seed: int) -> None:
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        (partial / _FILES).mkdir(parents=True)
        try:
            start = time.perf_counter()
            contender.build(collection.documents, collection.metric, seed, partial / _FILES)
            seconds = time.perf_counter() - start
            (partial / _BUILT).write_text(json.dumps({"seconds": seconds}), encoding="utf-8")
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
