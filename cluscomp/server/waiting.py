"""Results that a thread brings to the event loop, or that do not come in time."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any

from cluscomp.errors import RequestRefusedError


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

    def refuse_unless_awaited(self) -> None:
        """Let go of a future that nobody will read."""
        self._timer.cancel()
        self.future.cancel()


def late() -> RequestRefusedError:
    """What a request is told that was not answered in time."""
    return RequestRefusedError(
        "the request was not answered in time; ask for less, or later", 504, "deadline"
    )


def deliver(settled: Sequence[tuple[Awaited, Any]]) -> None:
    """Bring results from a thread to the event loop, all in one step."""
    if settled:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            settled[0][0].loop.call_soon_threadsafe(_settle_all, settled)


def _settle_all(settled: Sequence[tuple[Awaited, Any]]) -> None:
    for awaited, value in settled:
        awaited.settle(value)
