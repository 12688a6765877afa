"""How many searches begin in one turn of the event loop, which reads and writes all of HTTP.

Where it is the loop that cannot keep up, and not the thread that searches, no queue of searches grows:
requests wait unread in their sockets, those that will be refused too. So a turn behind a slow one begins
some searches only, and has time for the rest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

SLOW_SECONDS = 0.01
"""A turn is slow that takes longer than this."""
MOST_BEGUN = 64
"""Most searches that begin in a turn behind a slow one."""


class Turns:
    """Counts the searches of the running turn. For the event loop only. clock: in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None
        self._ended, self._begun = 0.0, 0
        self._is_late = False

    def is_crowded(self) -> bool:
        """Whether no other search should begin in this turn."""
        return self._begun >= MOST_BEGUN and self._is_late

    def begin(self) -> None:
        """A search begins."""
        if self._since is None:
            self._since = self._clock()
            if self._since - self._ended > SLOW_SECONDS:  # the loop was idle in between
                self._is_late = False
            asyncio.get_running_loop().call_soon(self._end)
        self._begun += 1

    def _end(self) -> None:
        """The next turn begins: callbacks that are called soon run in it."""
        assert self._since is not None
        self._ended = self._clock()
        self._is_late = self._ended - self._since > SLOW_SECONDS
        self._since, self._begun = None, 0
