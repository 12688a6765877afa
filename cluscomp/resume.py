"""The record of work that may be killed at any moment and goes on from its last finished step.

A file of JSON lines: the settings first, then a line for each finished step with its facts. A step counts
once its line is whole; a kill costs the step that was under way and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cluscomp.files import atomic_file, flush


class Record:
    """The finished steps of a piece of work, in the file `path`.

    settings: JSON values that decide the result. What an earlier run left is read at once; `difference` says
    whether it was of the same settings, and `start` forgets it. Reading never changes the file.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))
        self.reload()

    def reload(self) -> None:
        """Read the file again, which another process may have changed."""
        self._left, self._steps, self._whole = _read(self.path)

    @property
    def is_left(self) -> bool:
        """Whether there is a record, by an earlier run or by `start`."""
        return self._left is not None

    @property
    def finished(self) -> tuple[str, ...]:
        """Names of the finished steps, in the order of their first finish."""
        return tuple(self._steps)

    def difference(self) -> str | None:
        """Where the settings of the record differ first from these, in words; None where they do not."""
        return None if self._left is None else first_difference(self._left, self.settings)

    def matches(self) -> bool:
        """Whether there is a record of the same settings to go on from."""
        return self.is_left and self.difference() is None

    def start(self) -> None:
        """Begin a record of these settings without any step."""
        self._steps = {}
        self._write()

    def done(self, name: str) -> dict[str, Any] | None:
        """The facts of a finished step, or None when it is still to do."""
        return self._steps.get(name)

    def finish(self, name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Record a step as finished, on disk, with its facts (JSON values), which are returned."""
        is_new = name not in self._steps
        self._steps[name] = json.loads(json.dumps(facts))
        if is_new and self._whole:
            with self.path.open("ab") as file:
                file.write(_line({"step": name, "facts": self._steps[name]}))
                flush(file)
        else:
            self._write()
        return self._steps[name]

    def forget(self, names: Iterable[str]) -> None:
        """Take steps for unfinished again."""
        for name in names:
            self._steps.pop(name, None)
        self._write()

    def remove(self) -> None:
        """Delete the file: the work is complete."""
        self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        with atomic_file(self.path) as file:
            file.write(_line({"settings": self.settings}))
            file.writelines(_line({"step": name, "facts": facts}) for name, facts in self._steps.items())
        self._left, self._whole = self.settings, True


def first_difference(old: Any, new: Any, name: str = "") -> str | None:
    """Say where two JSON values differ first, such as "seed was 0 and is now 1"; None when they are equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            inner = f"{name}.{key}" if name else key
            if found := first_difference(old.get(key), new.get(key), inner):
                return found
        return None
    return None if old == new else f"{name} was {old!r} and is now {new!r}"


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _read(path: Path) -> tuple[dict[str, Any] | None, dict[str, dict[str, Any]], bool]:
    """Settings, steps, and whether every line is whole; lines from the first damaged one on are left out."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError:
        return None, {}, False
    settings: dict[str, Any] | None = None
    steps: dict[str, dict[str, Any]] = {}
    for line in lines:
        try:
            value = json.loads(line)
            if settings is None:
                settings = dict(value["settings"])
            else:
                steps[str(value["step"])] = dict(value["facts"])
        except (ValueError, KeyError, TypeError):
            return settings, steps, False
        if not line.endswith(b"\n"):
            return settings, steps, False
    return settings, steps, settings is not None
