"""Standard streams that are closed, or whose reader has gone."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable
from typing import Any

BROKEN_PIPE = 141
"""Exit code that the shell reports for a program that SIGPIPE ended."""


def run_program(program: Callable[[], Any]) -> None:
    """Run a program of commands, whatever its standard streams are.

    A stream that was closed at the start is /dev/null, so that no file of ours takes its number. Where the
    reader of stdout or stderr has gone, rich and click leave with 1, which says "internal" here; it becomes
    `BROKEN_PIPE`.
    """
    open_missing()
    copies = [os.dup(number) for number in (1, 2)]
    try:
        program()
    except SystemExit as leaving:
        if leaving.code == 1 and any(map(reader_has_gone, copies)):
            raise SystemExit(BROKEN_PIPE) from None
        raise


def open_missing() -> None:
    """Open /dev/null in the place of each standard stream that is closed."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
        if getattr(sys, name) is None:
            stream = open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def reader_has_gone(descriptor: int) -> bool:
    """Whether nobody reads the pipe that a descriptor writes to."""
    watch = select.poll()
    watch.register(descriptor, select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in watch.poll(0))


def discard(stream: Any) -> None:
    """Point a stream to nowhere, so that neither later writes nor the flush at exit fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
