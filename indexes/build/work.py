"""The work folder of a build: a hidden sibling of the output that remembers which stages are finished.

A stage leaves its files in the folder and is then recorded in `stages.json`; the record is replaced
atomically, so that a process killed at any moment loses at most the stage it was in.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from cluscomp import errors
from cluscomp.vocabulary import IfExists

_RECORD = "stages.json"


def work_path(output: Path) -> Path:
    """Where an unfinished build of `output` lives: `.NAME.partial` beside it, on the same device."""
    return output.parent / f".{output.name}.partial"


class WorkFolder:
    """Open work folder, locked against a second build of the same output."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.discarded = False
        self._settings = json.loads(json.dumps(settings))
        self._stages: dict[str, Any] = {}
        path.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(path)

    def adopt(self, if_exists: IfExists) -> None:
        """Take over the stages that an interrupted build left, or clear them.

        The same settings go on from what is there ("replace" starts over). Other settings: "resume" raises
        UsageError naming the first that differs; otherwise the leftovers go, and `discarded` says so.
        """
        left = self._read_record()
        if left is None or if_exists == "replace":
            self._clear()
            return
        difference = first_difference(left["settings"], self._settings)
        if difference is None:
            self._stages = left["stages"]
        elif if_exists == "resume":
            raise errors.UsageError(
                f"cannot resume the unfinished build in {self.path}: {difference}; "
                "repeat it with the settings of then, or start over with if_exists='replace'"
            )
        else:
            self.discarded = True
            self._clear()

    @property
    def finished(self) -> tuple[str, ...]:
        """Names of the finished stages in order."""
        return tuple(self._stages)

    def facts(self, stage: str) -> dict[str, Any] | None:
        """What a finished stage recorded, or None when it is still to do."""
        facts: dict[str, Any] | None = self._stages.get(stage)
        return facts

    def finish(self, stage: str, **facts: Any) -> dict[str, Any]:
        """Record a stage as finished, with its facts (JSON values)."""
        self._stages[stage] = facts
        self._write_record()
        return facts

    def forget_from(self, stage: str, order: tuple[str, ...]) -> None:
        """Take `stage` and all later ones for unfinished again."""
        for name in order[order.index(stage) :]:
            self._stages.pop(name, None)
        self._write_record()

    def remove(self) -> None:
        """Delete the folder with all it holds."""
        self._lock.close()
        shutil.rmtree(self.path, ignore_errors=True)

    def close(self) -> None:
        """Leave the folder for a later resume."""
        self._lock.close()

    def _clear(self) -> None:
        for entry in self.path.iterdir():
            if entry.name == "lock":
                continue
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        self._stages = {}
        self._write_record()

    def _read_record(self) -> dict[str, Any] | None:
        try:
            record = json.loads((self.path / _RECORD).read_text())
            return record if {"settings", "stages"} <= record.keys() else None
        except (OSError, ValueError, AttributeError):
            return None  # killed before the first record was written: nothing to go on from

    def _write_record(self) -> None:
        write_json(self.path / _RECORD, {"settings": self._settings, "stages": self._stages})


def first_difference(old: Any, new: Any, name: str = "") -> str | None:
    """Say where two JSON values differ first, such as "seed was 0 and is now 1"; None when they are equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            inner = f"{name}.{key}" if name else key
            if found := first_difference(old.get(key), new.get(key), inner):
                return found
        return None
    return None if old == new else f"{name} was {old!r} and is now {new!r}"


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file atomically and durably."""
    draft = path.with_name(path.name + ".new")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=2, sort_keys=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _lock(path: Path) -> IO[str]:
    handle = (path / "lock").open("w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        handle.close()
        raise errors.OutputExistsError(
            f"another process is building this index (it holds {path / 'lock'}); wait for it, or choose "
            "another output"
        ) from exc
    return handle
