"""The work folder of a build: a hidden sibling of the output that remembers which stages are finished.

A stage leaves its files in the folder and is then recorded (`resume.Record`), so that a process killed at
any moment loses at most the stage it was in.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cluscomp import errors
from cluscomp.files import FolderLock, try_lock
from cluscomp.indexes.storage.place import Place
from cluscomp.indexes.storage.places import place_of
from cluscomp.resume import Record
from cluscomp.vocabulary import IfExists

_RECORD, _LOCK = "stages.jsonl", "lock"
NO_SETTINGS: Mapping[str, Any] = {}


def work_path(output: str | Path | Place) -> Path:
    """Where an unfinished build of `output` lives: `.NAME.partial` beside it, on the same device, or in the
    cache folder.
    """
    place = place_of(output) if isinstance(output, (str, Path)) else output
    return place.work_path("partial")


class FinishedWork:
    """Work folder as others read it: shards, which share what the stages before training have left."""

    def __init__(self, path: Path, settings: Mapping[str, Any] = NO_SETTINGS) -> None:
        self.path = path
        self._record = Record(path / _RECORD, settings)

    @property
    def finished(self) -> tuple[str, ...]:
        """Names of the finished stages in order."""
        return self._record.finished

    def facts(self, stage: str) -> dict[str, Any] | None:
        """What a finished stage recorded, or None when it is still to do."""
        return self._record.done(stage)


class WorkFolder(FinishedWork):
    """Open work folder, locked against a second build of the same output."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.discarded = False
        path.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(path)
        super().__init__(path, settings)

    def adopt(self, if_exists: IfExists) -> None:
        """Take over the stages that an interrupted build left, or clear them.

        The same settings go on from what is there ("replace" starts over). Other settings: "resume" raises
        UsageError naming the first that differs; otherwise the leftovers go, and `discarded` says so.
        """
        difference = self._record.difference()
        if if_exists == "resume" and difference is not None:
            raise errors.UsageError(
                f"cannot resume the unfinished build in {self.path}: {difference}; "
                "repeat it with the settings of then, or start over with if_exists='replace'"
            )
        if if_exists == "replace" or not self._record.matches():
            self.discarded = if_exists != "replace" and difference is not None
            self._clear()

    def finish(self, stage: str, **facts: Any) -> dict[str, Any]:
        """Record a stage as finished, with its facts (JSON values)."""
        return self._record.finish(stage, facts)

    def forget(self, stages: Iterable[str]) -> None:
        """Take stages for unfinished again."""
        self._record.forget(stages)

    def remove(self) -> None:
        """Delete the folder with all it holds."""
        self._lock.close()
        shutil.rmtree(self.path, ignore_errors=True)

    def close(self) -> None:
        """Leave the folder for a later resume."""
        self._lock.close()

    def _clear(self) -> None:
        for entry in self.path.iterdir():
            if entry.name != _LOCK:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        self._record.start()


def _lock(path: Path) -> FolderLock:
    lock = try_lock(path / _LOCK)
    if lock is None:
        raise errors.OutputExistsError(
            f"another process is building this index (it holds {path / _LOCK}); wait for it, or choose "
            "another output"
        )
    return lock
