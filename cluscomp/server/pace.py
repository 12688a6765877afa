"""Some requests begin in a turn of the event loop, and the others in later ones.

When a search for hundreds of requests begins, as many others find a place at once. To read their bodies takes
longer than all else in that turn; those who will be refused would wait for it, and the search after it, too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

IN_A_TURN = 32
"""Most that begin in a turn."""


class Pace:
    """Calls functions in the order in which they come. For the event loop only."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._left = IN_A_TURN

    def begin(self, start: Callable[[], None]) -> None:
        """Call a function: now, or in a later turn."""
        if self._left == IN_A_TURN:
            asyncio.get_running_loop().call_soon(self._turn)
        if self._left:
            self._left -= 1
            start()
        else:
            self._waiting.append(start)

    def _turn(self) -> None:
        """The next turn begins: callbacks that are called soon run in it."""
        self._left = IN_A_TURN
        for _ in range(min(IN_A_TURN, len(self._waiting))):
            self.begin(self._waiting.popleft())
