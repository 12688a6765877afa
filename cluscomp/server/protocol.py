"""HTTP/1.1 by httptools with changes to uvicorn's protocol: a door and a lane for requests of usual form,
bounded heads, answers in one write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluscomp.server.answers import Lines, answer_bytes
from cluscomp.server.door import Door
from cluscomp.server.lane import Exchange, Lane

if TYPE_CHECKING:
    import asyncio

MOST_HEAD = 64 << 10
"""Most bytes of a request's line and headers, those aside that come in the piece in which they begin."""
PIECE = 64 << 10
"""Most bytes that are read at once. For its 256 KiB asyncio gets memory from the system each time, and gives
it back: 13 us instead of 2 for a request of 2 KB.
"""
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


_Base: Any = object  # uvicorn's class, which comes with the extra


def http_protocol(door: Door, lane: Lane) -> type[Any]:
    """The protocol class for `uvicorn.Config(http=...)`."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    return type("Protocol", (Connection, HttpToolsProtocol), {"door": door, "lane": lane})


class Connection(_Base):  # type: ignore[misc]
    """One connection. What neither the door nor the lane takes goes the long way of uvicorn's protocol,
    which comes behind this class.
    """

    door: Door  # of subclasses
    lane: Lane

    _in_message = _in_head = _drops = False
    _head = 0
    _exchange: Exchange | None = None  # while its body comes
    _body_timer: asyncio.TimerHandle | None = None
    _rests_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        transport.max_size = PIECE  # type: ignore[attr-defined]
        self.transport: Any = JoinedWrites(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._end_body()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()

    def data_received(self, data: bytes) -> None:
        if not self._in_message and self._is_free():
            refusal = self.door.refusal_of(data, self.server_state.default_headers)
            if refusal is not None:
                self.transport.write(refusal)
                self._rest()
                return
        super().data_received(data)
        if self._in_head:
            self._bound_head(len(data))
        elif self._in_message and self._body_timer is None and (self._drops or self._exchange):
            self._body_timer = self.loop.call_later(self.lane.body_timeout, self._end_slow)

    # ---- what the parser finds ----

    def on_message_begin(self) -> None:
        self.url, self.expect_100_continue = b"", False
        self.headers: list[tuple[bytes, bytes]] = []
        self._head, self._in_message, self._in_head = -1, True, True

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._is_free() and self._is_usual():
            default, method = self.server_state.default_headers, self.parser.get_method()
            refusal = self.door.refusal(method, self.url, default)
            if refusal is not None:
                self._drops = True
                self.transport.write(refusal)
                return
            if len(self.connections) < self.limit_concurrency:
                self._exchange = self.lane.exchange(method, self.url, dict(self.headers), self._send)
            if self._exchange is not None:
                self.cycle = self._exchange
                return
        self._go_long_way()

    def on_body(self, body: bytes) -> None:
        if self._exchange is not None:
            self._exchange.take(body)
        elif not self._drops:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        if self._exchange is not None:
            exchange = self._exchange
            self._end_body()
            exchange.run()
        elif self._drops:
            self._end_body()
            self.on_response_complete()
        else:
            super().on_message_complete()

    def _is_free(self) -> bool:
        """Whether an answer may come now: they come in the order of requests."""
        return (self.cycle is None or self.cycle.response_complete) and not self.flow.write_paused

    def _is_usual(self) -> bool:
        """Whether the head asks for nothing but an answer."""
        return (
            not self.expect_100_continue
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade()
            and b"origin" not in dict(self.headers)  # pages need headers of their own
        )

    def _go_long_way(self) -> None:
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers  # the list that the scope has
        super().on_headers_complete()

    # ---- bodies and heads that do not end ----

    def _end_body(self) -> None:
        self._exchange, self._drops = None, False
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _end_slow(self) -> None:
        if self._exchange is not None and not self.transport.is_closing():
            self._exchange.refuse_slow()
        self._end_body()
        self.transport.close()

    def _bound_head(self, size: int) -> None:
        """Count bytes of heads, which httptools keeps however many they are."""
        # What stood before it in the piece in which it began is not known.
        self._head = 0 if self._head < 0 else self._head + size
        if self._head > MOST_HEAD and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    # ---- answers, and the time between them ----

    def _send(self, start: bytes, number: str, lines: Lines, body: bytes) -> None:
        if self.transport.is_closing():
            return
        headers = (*self.server_state.default_headers, *lines)
        self.transport.write(answer_bytes(start, number, headers, body))
        if self.cycle.keep_alive:
            self.on_response_complete()
        else:
            self.transport.close()

    def on_response_complete(self) -> None:
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
        else:
            self.server_state.total_requests += 1
            self.flow.resume_reading()
            self._rest()

    def _rest(self) -> None:
        """Nothing is under way: end the connection after some time. A timer for each request would take
        longer than to look at the clock when one has come.
        """
        self._rests_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._wait(self.timeout_keep_alive)

    def _wait(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def _unset_keepalive_if_required(self) -> None:
        self._rests_since = None

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self._rests_since is None:
            return
        left = self._rests_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._wait(left)
        else:
            super().timeout_keep_alive_handler()


class JoinedWrites:
    """A transport that holds back the head of an answer until its body comes: a system call each would let
    another thread of the interpreter in between.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport, self._held = transport, b""
        self.is_closing, self.get_extra_info = transport.is_closing, transport.get_extra_info
        self.pause_reading, self.resume_reading = transport.pause_reading, transport.resume_reading

    def write(self, data: bytes) -> None:
        """Write, unless it is the head of an answer whose body follows."""
        if not self._held and data.endswith(b"\r\n\r\n") and data.startswith(b"HTTP/1.1 2"):
            self._held = data
            return
        self._transport.write(self._held + data)
        self._held = b""

    def close(self) -> None:
        """Write what is held back, and close."""
        if self._held:
            self._transport.write(self._held)
            self._held = b""
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
