"""Connections of a load client: requests and answers of HTTP/1.1 on sockets that never block.

No event loop of asyncio: what the client takes of the processor is missing to a server beside it.
"""

from __future__ import annotations

import re
import selectors
import socket
from collections.abc import Callable

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)\r\n")
_LAST = re.compile(rb"(?i)\r\nconnection: *close\r\n")
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_PIECE = 1 << 16


class Connection:
    """One request at a time. done(status): called when it is answered; 0 for no answer."""

    def __init__(self, selector: selectors.BaseSelector, host: str, port: int) -> None:
        self._selector = selector
        self._out = self._in = b""
        self._done: Callable[[int], None] | None = None
        self.is_open = True
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.connect_ex((host, port))  # whatever comes of it, the socket can be written to then
        self._is_connecting = True
        selector.register(self._socket, _WRITE, self)

    def ask(self, request: bytes, done: Callable[[int], None]) -> None:
        """Send a request."""
        self._out, self._done = request, done
        if not self._is_connecting:
            self._write()

    def ready(self, events: int) -> None:
        """Go on where the socket is ready."""
        if events & _WRITE:
            self._is_connecting = False
            self._selector.modify(self._socket, _READ, self)
            self._write()
        if events & _READ:
            self._read()

    def close(self) -> None:
        """End the connection; a request that is under way gets no answer."""
        self._end()
        self._settle(0)

    def _end(self) -> None:
        if self.is_open:
            self.is_open = False
            self._selector.unregister(self._socket)
            self._socket.close()

    def _write(self) -> None:
        try:
            sent = self._socket.send(self._out) if self._out else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        self._out = self._out[sent:]
        if self._out:
            self._selector.modify(self._socket, _READ | _WRITE, self)

    def _read(self) -> None:
        try:
            data = self._socket.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._in += data
        end = self._in.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._in, 0, end + 2)
        if len(self._in) < end + 4 + (int(length[1]) if length else 0):
            return
        status, is_last = int(self._in[9:12]), _LAST.search(self._in, 0, end + 2)
        self._in = b""
        if is_last:
            self._end()
        self._settle(status)

    def _settle(self, status: int) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(status)
