"""The door before the gate: searches that find no place are refused as soon as their heads are read.

Where more is asked than can be answered, most requests are refused, and what a refusal costs is lost for the
others. Here it is bytes that were made before; the body is not looked at, and no task begins.
"""

from __future__ import annotations

import re

from cluscomp.errors import RequestRefusedError
from cluscomp.server.answers import Lines, answer_bytes, head_start, problem_lines
from cluscomp.server.core import Core
from cluscomp.server.headers import request_id
from cluscomp.server.posts import PREFIX
from cluscomp.server.turns import Turns

_SEARCH = re.escape(PREFIX).encode() + rb"[^/?%#\s]+/search"
_URL = re.compile(_SEARCH)
_HEAD = re.compile(rb"POST " + _SEARCH + rb" HTTP/1\.1\r\n((?:[A-Za-z0-9-]+:[ -~]*\r\n)+)\r\n")
_LENGTH = re.compile(rb"(?im)^content-length: *([0-9]{1,15})\r$")
_RARE = re.compile(rb"(?im)^(?:origin|expect|upgrade|transfer-encoding|connection(?!: *keep-alive\r$)):?")
_ROUTE = f"{PREFIX}{{name}}/search"


class Door:
    """Refuses searches that a core has no place for, and those that the event loop cannot read in time."""

    def __init__(self, core: Core) -> None:
        self._core, self._turns = core, Turns()
        behind = "more searches come than can be read; ask again later"
        self._full = _Refusal(core.room.refusal())
        self._crowded = _Refusal(RequestRefusedError(behind, 429, "busy", retry_after=1))

    def refusal(self, method: bytes, url: bytes, headers: Lines) -> bytes | None:
        """The answer to a request that is refused; None for one that goes on. headers: more of the answer."""
        if method != b"POST" or _URL.fullmatch(url) is None:
            return None
        refusal = self._refusal()
        if refusal is None:
            self._turns.begin()
            return None
        return self._told(refusal, headers)

    def refusal_of(self, data: bytes, headers: Lines) -> bytes | None:
        """As `refusal` for the bytes of one whole request with usual headers, which are not parsed further;
        None for others, too.
        """
        refusal = self._refusal()
        if refusal is None:
            return None
        head = _HEAD.match(data)
        if head is None or _RARE.search(head[1]) is not None:
            return None
        lengths = _LENGTH.findall(head[1])
        if len(lengths) != 1 or len(data) != head.end() + int(lengths[0]):
            return None
        return self._told(refusal, headers)

    def _refusal(self) -> _Refusal | None:
        if self._core.room.is_full():
            return self._full
        return self._crowded if self._turns.is_crowded() else None

    def _told(self, refusal: _Refusal, headers: Lines) -> bytes:
        number = request_id()
        self._core.count({"id": number}, _ROUTE, refusal.status, 0.0)
        return answer_bytes(refusal.start, number, headers, refusal.body)


class _Refusal:
    """An error as parts of an answer."""

    def __init__(self, exc: RequestRefusedError) -> None:
        self.status, lines, self.body = problem_lines(exc)
        self.start = head_start(self.status, lines)
