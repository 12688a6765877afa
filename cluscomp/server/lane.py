"""The lane beside the gate: actions on indexes that plain clients ask for, without a task of the framework.

What the framework does for each request takes several times as long as a short search. A request whose head
says anything unusual, or who is not let in, goes the long way, which tells why.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from cluscomp.errors import RequestRefusedError
from cluscomp.server.admission import Admission
from cluscomp.server.answers import JSON_LINE, Lines, head_start, problem_lines
from cluscomp.server.core import Core
from cluscomp.server.headers import request_id
from cluscomp.server.pace import Pace
from cluscomp.server.posts import PREFIX, Facts, Post, Posts

_URL = re.compile(re.escape(PREFIX) + r"([^/?%#]+)/([a-z:]+)")
_OK = head_start(200, [JSON_LINE])
_CLOSE = (b"connection", b"close")
_log = logging.getLogger("cluscomp.server")
Send = Callable[[bytes, str, Lines, bytes], None]
"""Called once with what `answer_bytes` takes, unless the client left."""


class Lane:
    """Takes requests for `posts`. body_timeout: seconds for their bodies to come."""

    def __init__(self, posts: Posts, core: Core) -> None:
        self._posts, self._core, self._admission = posts, core, Admission(core)
        self._pace = Pace()
        self.body_timeout = core.settings.body_timeout

    def exchange(self, method: bytes, url: bytes, headers: dict[bytes, bytes], send: Send) -> Exchange | None:
        """The exchange that begins with a head; None for what goes the long way."""
        if method != b"POST" or b"origin" in headers:  # pages may need headers of their own
            return None
        length = headers.get(b"content-length", b"")
        if not length.isdigit() or int(length[:20]) > self._core.settings.max_body:
            return None
        path = url.decode("latin-1")
        found = _URL.fullmatch(path)
        post = None if found is None else self._posts.get(found[2])
        if found is None or post is None:
            return None
        facts: Facts = {"id": request_id()}
        try:
            self._admission.check("POST", path, headers, facts)
            post.check(facts)
        except RequestRefusedError:
            return None
        kind = headers.get(b"content-type", b"")
        return Exchange(self._core, self._pace, post, found[1], kind, facts, send)


class Exchange:
    """One request and its answer. It stands where uvicorn's protocol has its own cycle, with what that reads:
    response_complete, keep_alive, disconnected, message_event.
    """

    def __init__(
        self, core: Core, pace: Pace, post: Post, name: str, kind: bytes, facts: Facts, send: Send
    ) -> None:
        self._core, self._pace, self._post, self._name = core, pace, post, name
        self._kind, self._facts = kind, facts
        self._send, self._begun = send, time.monotonic()
        self._parts: list[bytes] = []
        self._place: AbstractContextManager[None] | None = None  # while it is let in
        self.response_complete = self.disconnected = False
        self.keep_alive = True
        self.message_event = self

    def set(self) -> None:
        """As of an event that nobody waits for."""

    def take(self, part: bytes) -> None:
        """Take a part of the body."""
        self._parts.append(part)

    def run(self) -> None:
        """Answer, now that the body is there: at once, or when what it waits for has come."""
        place = self._post.admitted()
        try:
            place.__enter__()
        except RequestRefusedError as exc:
            self._refuse(exc)
        else:
            self._place = place
            self._pace.begin(self._start)

    def _start(self) -> None:
        parts, self._parts = self._parts, []
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._work = self._post.answer(self._name, self._kind, body, self._facts)
        self._go_on()

    def refuse_slow(self) -> None:
        """Answer to a body that does not come, and end the connection."""
        self.keep_alive = False
        self._refuse(RequestRefusedError("the body did not arrive in time", 408, "slow-body"))

    def _refuse(self, exc: Exception) -> None:
        status, own, body = problem_lines(exc)
        if status == 500:
            _log.error("request %s: %s", self._facts["id"], exc, exc_info=exc)
        self._answer(status, head_start(status, own), body)

    def _go_on(self, _: Any = None) -> None:
        """Run the work up to the next future that it waits for, as a task would."""
        try:
            awaited: asyncio.Future[Any] | None = self._work.send(None)
        except StopIteration as end:
            self._answer(200, _OK, end.value)
        except Exception as exc:  # noqa: BLE001 - the last place that can answer
            self._refuse(exc)
        else:
            if awaited is None:
                asyncio.get_running_loop().call_soon(self._go_on)
            else:
                awaited._asyncio_future_blocking = False  # the protocol between futures and tasks
                awaited.add_done_callback(self._go_on)

    def _answer(self, status: int, start: bytes, body: bytes) -> None:
        self.response_complete = True
        if self._place is not None:
            self._place.__exit__(None, None, None)
        self._core.count(self._facts, self._post.route, status, time.monotonic() - self._begun)
        if not self.disconnected:
            self._send(start, self._facts["id"], () if self.keep_alive else (_CLOSE,), body)
