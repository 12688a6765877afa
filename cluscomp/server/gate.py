"""The gate before all routes: who is let in, sizes of bodies; it counts and logs what passed."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from cluscomp.errors import RequestRefusedError
from cluscomp.server.admission import SAFE, Admission
from cluscomp.server.answers import JSON_LINE, problem_lines
from cluscomp.server.core import Core
from cluscomp.server.headers import HEADERS, ID_HEADER, request_id
from cluscomp.server.posts import Post, Posts

ENDING = frozenset({"slow-body", "body", "draining"})
"""Refusals that end the connection: what else comes on it would be lost, or unread."""
_log = logging.getLogger("cluscomp.server")


class Gate:
    """ASGI application around another one. posts: what is answered without that one."""

    def __init__(self, app: Any, posts: Posts, core: Core) -> None:
        self._app, self._posts, self._core = app, posts, core
        self._admission = Admission(core)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Passage(self._app, self._posts, self._core, scope, receive, send).run(self._admission)


class _Passage:
    """One request on its way."""

    def __init__(
        self, app: Any, posts: Posts, core: Core, scope: dict[str, Any], receive: Any, send: Any
    ) -> None:
        self._app, self._core, self._scope, self._receive, self._out = app, core, scope, receive, send
        self._headers = dict(scope["headers"])  # names are in lower case (ASGI)
        self._id = request_id()
        self._status = 0
        self._facts: dict[str, Any] = {"id": self._id}
        self._post = posts.find(scope)

    async def run(self, admission: Admission) -> None:
        begun, scope = time.monotonic(), self._scope
        try:
            admission.check(scope["method"], scope["path"], self._headers, self._facts)
            if self._post is None:
                await self._app(scope, _replay(await self._body(), self._receive), self._send)
            else:
                await self._answer(*self._post)
        except Exception as exc:  # noqa: BLE001 - the last place that can answer
            await self._refuse(exc)
        finally:
            self._count(time.monotonic() - begun)

    async def _answer(self, name: str, post: Post) -> None:
        post.check(self._facts)
        content = await self._body()
        with post.admitted():
            answer = await post.answer(name, self._headers.get(b"content-type", b""), content, self._facts)
        self._status = 200
        await self._write([JSON_LINE], answer)

    async def _body(self) -> bytes:
        """The body, counted while it is read. Raises RequestRefusedError."""
        if self._scope["method"] in SAFE:
            return b""
        limit = self._core.settings.max_body
        length = self._headers.get(b"content-length", b"0")
        too_large = RequestRefusedError(
            f"the body has more than {limit} bytes, the most that is taken here (--max-body)", 413, "body"
        )
        if length.isdigit() and int(length[:20]) > limit:
            raise too_large
        with _Limit(self._core.settings.body_timeout):
            parts, total = [], 0
            while True:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise RequestRefusedError("the client left", 400, "left")
                parts.append(message.get("body", b""))
                total += len(parts[-1])
                if total > limit:
                    raise too_large
                if not message.get("more_body"):
                    return b"".join(parts)

    # ---- what goes out ----

    async def _send(self, message: dict[str, Any]) -> None:
        """What the application sends, with our headers."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message = {**message, "headers": [*message["headers"], *HEADERS, self._named()]}
        await self._out(message)

    async def _write(self, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """A whole answer with the status that is known by now."""
        length = (b"content-length", str(len(body)).encode())
        lines = [*headers, length, *HEADERS, self._named()]
        await self._out({"type": "http.response.start", "status": self._status, "headers": lines})
        await self._out({"type": "http.response.body", "body": body})

    def _named(self) -> tuple[bytes, bytes]:
        return ID_HEADER, self._id.encode()

    async def _refuse(self, exc: Exception) -> None:
        status, lines, body = problem_lines(exc)
        if status == 500:
            _log.error("request %s: %s", self._id, exc, exc_info=exc)
        if self._status:  # the answer has begun
            return
        self._status = status
        close = [(b"connection", b"close")] if getattr(exc, "code", None) in ENDING else []
        await self._write([*lines, *close], body)

    def _count(self, seconds: float) -> None:
        if self._post is not None:
            route = self._post[1].route
        else:
            route = getattr(self._scope.get("route"), "path", "none")
        self._core.count(self._facts, route, self._status, seconds)


class _Limit:
    """Ends a block of the running task after some seconds, with RequestRefusedError. `asyncio.timeout` does
    the same from Python 3.11 on; `wait_for` would start a task for every body.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds, self._is_over = seconds, False

    def __enter__(self) -> None:
        self._task: Any = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._end)

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: Any) -> None:
        self._timer.cancel()
        if kind is asyncio.CancelledError and self._is_over:
            if hasattr(self._task, "uncancel"):
                self._task.uncancel()
            raise RequestRefusedError("the body did not arrive in time", 408, "slow-body") from None

    def _end(self) -> None:
        self._is_over = True
        self._task.cancel()


def _replay(body: bytes, receive: Any) -> Any:
    """A `receive` that gives the whole body once, and then what comes of the connection."""
    waiting = [body]

    async def again() -> Any:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again
