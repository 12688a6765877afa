"""How many may wait for one thing, wherever they wait; whoever comes after them is told to ask again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cluscomp.errors import RequestRefusedError


class Room:
    """Places for `limit` requests that wait. what: their plural, for messages. begun: how many of those that
    are inside do not wait any more. For the event loop only.
    """

    def __init__(self, what: str, limit: int, begun: Callable[[], int] = lambda: 0) -> None:
        self._what, self._limit, self._begun = what, limit, begun
        self._inside = 0

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Hold a place. Raises RequestRefusedError where there is none."""
        if self.is_full():
            raise self.refusal()
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    def is_full(self) -> bool:
        """Whether there is no place for another one now."""
        return self._free() <= 0

    def refusal(self) -> RequestRefusedError:
        """What a request is told that finds no place."""
        return RequestRefusedError(
            f"{self._limit} {self._what} wait already; ask again later", 429, "busy", retry_after=1
        )

    def _free(self) -> int:
        return self._limit - self._inside + self._begun()
