"""HTTP/1.1 by httptools with changes to uvicorn's protocol: a door, bounded heads, answers in one write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cluscomp.server.door import Door, with_door

if TYPE_CHECKING:
    import asyncio

MOST_HEAD = 64 << 10
"""Most bytes of a request's line and headers, those aside that come in the piece in which they begin."""
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def http_protocol(door: Door) -> Any:
    """The protocol class for `uvicorn.Config(http=...)`, or "auto" where httptools is not installed."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        return "auto"

    class Protocol(with_door(HttpToolsProtocol, door)):  # type: ignore[misc]
        """Counts the bytes of heads, which httptools keeps however many they are."""

        _head, _in_head = 0, False

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self.transport: Any = JoinedWrites(transport)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._head, self._in_head = -1, True

        def on_headers_complete(self) -> None:
            self._in_head = False
            super().on_headers_complete()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._in_head:  # what stood before it in the piece in which it began is not known
                self._head = 0 if self._head < 0 else self._head + len(data)
                if self._head > MOST_HEAD and not self.transport.is_closing():
                    self.transport.write(_TOO_LARGE)
                    self.transport.close()

    return Protocol


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
