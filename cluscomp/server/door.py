"""The door before the gate: searches that find no place are refused as soon as their heads are read.

Where more is asked than can be answered, most requests are refused, and what a refusal costs is lost for the
others. Here it is bytes that were made before; the body is not looked at, and no task begins.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from cluscomp.server.core import Core
from cluscomp.server.headers import HEADERS, ID_HEADER, request_id
from cluscomp.server.posts import PREFIX
from cluscomp.server.problems import MEDIA_TYPE, problem_of

_SEARCH = re.compile(re.escape(PREFIX).encode() + rb"[^/?]+/search")
Headers = Sequence[tuple[bytes, bytes]]
_ROUTE = f"{PREFIX}{{name}}/search"


class Door:
    """Refuses searches that a core has no place for. body_timeout: seconds for their bodies to come."""

    def __init__(self, core: Core) -> None:
        self._core, self.body_timeout = core, core.settings.body_timeout
        status, body, headers = problem_of(core.room.refusal())
        lines = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            *((name.lower().encode(), value.encode()) for name, value in headers.items()),
            *HEADERS,
        ]
        self._status = status
        self._start = b"HTTP/1.1 429 Too Many Requests\r\n" + _as_bytes(lines)
        self._end = b"\r\n" + body

    def refusal(self, method: bytes, url: bytes, headers: Headers) -> bytes | None:
        """The answer to a request that is refused; None for one that goes on. headers: more of the answer."""
        if method != b"POST" or _SEARCH.fullmatch(url) is None or self._core.room.expects_another():
            return None
        number = request_id()
        self._core.count({"id": number}, _ROUTE, self._status, 0.0)
        return self._start + _as_bytes([(ID_HEADER, number.encode()), *headers]) + self._end


def _as_bytes(headers: Headers) -> bytes:
    return b"".join(name + b": " + value + b"\r\n" for name, value in headers)


def with_door(protocol: type[Any], door: Door) -> type[Any]:
    """The protocol class of uvicorn for httptools, with a door."""

    class Protocol(protocol):  # type: ignore[misc]
        """Answers what the door refuses, and drops its body."""

        _dropped_until: float | None = None  # while such a body comes

        def on_headers_complete(self) -> None:
            refusal = None
            if self._may_refuse():
                headers = self.server_state.default_headers
                refusal = door.refusal(self.parser.get_method(), self.url, headers)
            super().on_headers_complete() if refusal is None else self._refuse(refusal)

        def _may_refuse(self) -> bool:
            """Whether an answer may come now, as it is for all; what is rare goes the long way."""
            return (
                (self.cycle is None or self.cycle.response_complete)  # answers come in the order of requests
                and not self.flow.write_paused
                and not self.expect_100_continue
                and self.parser.should_keep_alive()
                and not self.parser.should_upgrade()
                and b"origin" not in dict(self.headers)  # pages need headers of their own
            )

        def _refuse(self, refusal: bytes) -> None:
            self._dropped_until = self.loop.time() + door.body_timeout
            self.transport.write(refusal)

        def on_body(self, body: bytes) -> None:
            if self._dropped_until is None:
                super().on_body(body)

        def on_message_complete(self) -> None:
            if self._dropped_until is None:
                super().on_message_complete()
            else:
                self._dropped_until = None
                self.on_response_complete()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._dropped_until is not None:
                until, end = self._dropped_until, self.timeout_keep_alive_handler
                self.timeout_keep_alive_task = self.loop.call_at(until, end)

    return Protocol
