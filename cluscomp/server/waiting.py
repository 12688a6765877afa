"""Results that a thread brings to the event loop, or that do not come in time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any

from cluscomp.errors import RequestRefusedError

IN_A_TURN = 32
"""Most results that the event loop takes in a turn."""


class Awaited:
    """What a request waits for. deadline: on the clock of time.monotonic."""

    def __init__(self, deadline: float) -> None:
        self.deadline, self.begun = deadline, time.monotonic()
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self._timer = self.loop.call_later(max(0.0, deadline - self.begun), self._expire)

    def is_dead(self) -> bool:
        """Whether nobody waits any more."""
        return self.future.done() or time.monotonic() >= self.deadline

    async def result(self) -> Any:
        """What a thread delivers. Raises its error, or RequestRefusedError when time is over."""
        try:
            return await self.future
        finally:
            self._timer.cancel()

    def _expire(self) -> None:
        if not self.future.done():
            self.future.set_exception(late())

    def settle(self, value: Any) -> None:
        """Give the result, or raise the error that it is; for the event loop."""
        if self.future.done():
            return
        if isinstance(value, BaseException):
            self.future.set_exception(value)
        else:
            self.future.set_result(value)


def late() -> RequestRefusedError:
    """What a request is told that was not answered in time."""
    return RequestRefusedError(
        "the request was not answered in time; ask for less, or later", 504, "deadline"
    )


def deliver(settled: Sequence[tuple[Awaited, Any]]) -> None:
    """Bring results from a thread to the event loop, which writes some of them in each turn and reads what
    came between two turns: answers to many would keep others waiting, also for a refusal.
    """
    if settled:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            settled[0][0].loop.call_soon_threadsafe(_settle, settled, 0)


def _settle(settled: Sequence[tuple[Awaited, Any]], start: int) -> None:
    stop = start + IN_A_TURN
    for awaited, value in settled[start:stop]:
        awaited.settle(value)
    if stop < len(settled):
        settled[0][0].loop.call_soon(_settle, settled, stop)
