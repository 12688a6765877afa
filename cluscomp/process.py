"""The running process: how many files it may open, and how often the interpreter looks for garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG_OBJECTS = 20_000
"""New objects at which the interpreter looks for garbage: requests that wait in a server have more than the
700 at which it looks otherwise.
"""


def raise_open_files() -> None:
    """Let this process, and those that it starts, open as many files as the system lets it ask for.

    A connection is an open file, and most systems let a process open 1024 unless it asks for more.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (OSError, ValueError):  # macOS says "unlimited" and takes no such number
        return


@contextmanager
def kept_objects() -> Iterator[None]:
    """Let the interpreter not look for garbage among the objects that are there now, and more seldom among
    others, within the block: for a process that has loaded what it needs. To look again and again took 8 % of
    the processor time of a server under load.
    """
    gc.collect()
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
