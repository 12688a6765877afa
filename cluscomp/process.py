"""The running process: how many files it may open, and how often the interpreter looks for garbage."""

from __future__ import annotations

import gc

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


def keep_objects() -> None:
    """Let the interpreter never look for garbage among the objects that are there now, and more seldom among
    others: for a process that has loaded what it needs. To look again and again took 8 % of the processor
    time of a server under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
