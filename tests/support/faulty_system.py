"""A system that fails at a given step: every write, flush, rename, link and removal of this process is counted.

`failing(n, action)` lets the n-th of them (from 0) be `action`: `kill` ends the process as SIGKILL does, `full` is a
full disk. A write that fails has written half of its bytes.
"""

from __future__ import annotations

import errno
import io
import os
import pathlib
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from unittest import mock

Action = Callable[[], NoReturn]
STEPS = ("fsync", "replace", "rename", "link", "unlink", "pwrite", "ftruncate", "mkdir", "rmdir")


def kill() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("is dead")


def full() -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Counter:
    """Steps so far, by name. reached: whether the one that fails was among them."""

    def __init__(self, number: int, action: Action) -> None:
        self.names: list[str] = []
        self._number, self._action = number, action

    @property
    def reached(self) -> bool:
        return len(self.names) > self._number

    def is_due(self, name: str) -> bool:
        self.names.append(name)
        return len(self.names) == self._number + 1

    def fail(self) -> NoReturn:
        self._action()


@contextmanager
def failing(number: int, action: Action) -> Iterator[Counter]:
    """Count the steps of a block, and fail at one of them."""
    counter = Counter(number, action)
    with mock.patch.object(pathlib.Path, "open", _opening(counter, pathlib.Path.open)):
        patches = [mock.patch.object(os, name, _step(counter, name, getattr(os, name))) for name in STEPS]
        for patch in patches:
            patch.start()
        try:
            yield counter
        finally:
            for patch in patches:
                patch.stop()


def _step(counter: Counter, name: str, do: Callable[..., Any]) -> Callable[..., Any]:
    def step(*arguments: Any, **options: Any) -> Any:
        if counter.is_due(name):
            counter.fail()
        return do(*arguments, **options)

    return step


def _opening(counter: Counter, open_path: Callable[..., Any]) -> Callable[..., Any]:
    class Raw(io.FileIO):
        def write(self, data: Any) -> int:
            if counter.is_due("write"):
                super().write(bytes(data)[: len(data) // 2])
                counter.fail()
            return super().write(data)

    def opened(path: pathlib.Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if "b" not in mode or not set(mode) & set("wxa+"):
            return open_path(path, mode, *arguments, **options)
        if counter.is_due("open"):
            counter.fail()
        raw = Raw(path, mode.replace("b", ""))
        return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)

    return opened
