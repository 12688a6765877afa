"""The door before the gate: searches that find no place are refused as soon as their heads are read.

Where more is asked than can be answered, most requests are refused, and what a refusal costs is lost for the
others. Here it is bytes that were made before; the body is not looked at, and no task begins.
"""

from __future__ import annotations

import re
from functools import lru_cache

from cluscomp.server.answers import Lines, answer_end, head_start, named, problem_lines
from cluscomp.server.core import Core
from cluscomp.server.headers import request_id
from cluscomp.server.posts import PREFIX

_SEARCH = re.escape(PREFIX).encode() + rb"[^/?%#\s]+/search"
_URL = re.compile(_SEARCH)
_HEAD = re.compile(rb"POST " + _SEARCH + rb" HTTP/1\.1\r\n((?:[A-Za-z0-9-]+:[ -~]*\r\n)+)\r\n")
_LENGTH = re.compile(rb"(?im)^content-length: *([0-9]{1,15})\r$")
_RARE = re.compile(rb"(?im)^(?:origin|expect|upgrade|transfer-encoding|connection(?!: *keep-alive\r$)):?")
MOST_KEPT = 2048
"""Bytes of a head up to which what it says is kept for the next one."""
_ROUTE = f"{PREFIX}{{name}}/search"


@lru_cache(256)
def _body_of(head: bytes) -> int | None:
    """Bytes of the body behind a head of usual form; None for another head. Those of a client are alike."""
    found = _HEAD.fullmatch(head)
    if found is None or _RARE.search(found[1]) is not None:
        return None
    lengths = _LENGTH.findall(found[1])
    return int(lengths[0]) if len(lengths) == 1 else None


class Door:
    """Refuses searches that a core has no place for."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._status, lines, self._body = problem_lines(core.room.refusal())
        self._start = head_start(self._status, lines)
        self._lines: Lines = ()
        self._end = answer_end(self._lines, self._body)

    def refusal(self, method: bytes, url: bytes, headers: Lines) -> bytes | None:
        """The answer to a request that is refused; None for one that goes on. headers: more of the answer."""
        if not self._core.room.is_full() or method != b"POST" or _URL.fullmatch(url) is None:
            return None
        return self._told(headers)

    def refusal_of(self, data: bytes, headers: Lines) -> bytes | None:
        """As `refusal` for the bytes of one whole request with usual headers, which are not parsed further;
        None for others, too.
        """
        if not self._core.room.is_full():
            return None
        end = data.find(b"\r\n\r\n", 0, MOST_KEPT) + 4
        length = _body_of(data[:end]) if end >= 4 else None
        if length is None or len(data) != end + length:
            return None
        return self._told(headers)

    def _told(self, headers: Lines) -> bytes:
        number = request_id()
        self._core.count({"id": number}, _ROUTE, self._status, 0.0)
        if headers is not self._lines:  # another list where they change, each second
            self._lines, self._end = headers, answer_end(headers, self._body)
        return named(self._start, number) + self._end
