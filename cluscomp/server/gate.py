"""The gate before all routes: hosts, origins, tokens, sizes of bodies; it counts and logs what passed."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from typing import Any

from cluscomp.errors import RequestRefusedError
from cluscomp.server.core import Core
from cluscomp.server.headers import HEADERS, ID_HEADER, request_id
from cluscomp.server.posts import Post, Posts
from cluscomp.server.problems import MEDIA_TYPE, problem_of
from cluscomp.server.request_log import fingerprint

OPEN_PATHS = frozenset({"/health", "/ready"})
"""Answered to everybody: they say nothing of what is served."""
PROTECTED = ("/v1/", "/metrics")
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_JSON = (b"content-type", b"application/json")
_log = logging.getLogger("cluscomp.server")


class Gate:
    """ASGI application around another one. posts: what is answered without that one."""

    def __init__(self, app: Any, posts: Posts, core: Core) -> None:
        self._app, self._posts, self._core = app, posts, core

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Passage(self._app, self._posts, self._core, scope, receive, send).run()


class _Passage:
    """One request on its way."""

    def __init__(
        self, app: Any, posts: Posts, core: Core, scope: dict[str, Any], receive: Any, send: Any
    ) -> None:
        self._app, self._core, self._scope, self._receive, self._out = app, core, scope, receive, send
        self._headers = dict(scope["headers"])  # names are in lower case (ASGI)
        self._id = request_id()
        self._status = 0
        self._token: str | None = None
        self._facts: dict[str, Any] = {"id": self._id}
        self._post = posts.find(scope)

    async def run(self) -> None:
        begun = time.monotonic()
        try:
            self._check()
            if self._post is None:
                await self._app(self._scope, _replay(await self._body(), self._receive), self._send)
            else:
                await self._answer(*self._post)
        except Exception as exc:  # noqa: BLE001 - the last place that can answer
            await self._refuse(exc)
        finally:
            self._count(time.monotonic() - begun)

    async def _answer(self, name: str, post: Post) -> None:
        post.check(self._facts)
        content = await self._body()
        answer = await post.answer(name, self._headers.get(b"content-type", b""), content, self._facts)
        self._status = 200
        await self._write([_JSON], answer)

    # ---- what is let in ----

    def _check(self) -> None:
        path = self._scope["path"]
        if path in OPEN_PATHS:
            return
        self._check_host()
        self._check_origin()
        if path.startswith(PROTECTED):
            self._check_token()
            if self._core.draining:
                raise RequestRefusedError("the server is about to end; ask another one", 503, "draining")

    def _check_host(self) -> None:
        host = self._headers.get(b"host", b"").decode("latin-1")
        allowed = self._core.settings.hosts
        if "*" not in allowed and host_name(host) not in allowed:
            raise RequestRefusedError(
                "this host name is not served here; start the server with --allowed-host NAME", 400, "host"
            )

    def _check_origin(self) -> None:
        """Pages of other sites may not change or search: browsers say where a page comes from."""
        origin = self._headers.get(b"origin")
        if origin is None or self._scope["method"] in SAFE:
            return
        name = origin.decode("latin-1")
        host = self._headers.get(b"host", b"").decode("latin-1")
        if name in self._core.settings.cors or name.partition("://")[2].lower() == host.lower():
            return
        raise RequestRefusedError("pages of this origin are not let in (--cors ORIGIN)", 403, "origin")

    def _check_token(self) -> None:
        settings = self._core.settings
        self._token = self._given_token()
        is_admin = same(self._token, settings.admin_token)
        self._facts["admin"], self._facts["token"] = is_admin, fingerprint(self._token)
        if settings.read_token is None or is_admin or same(self._token, settings.read_token):
            return
        if self._token is None:
            raise RequestRefusedError("a token is needed: Authorization: Bearer TOKEN", 401, "token")
        raise RequestRefusedError("this token is not known here", 401, "token")

    def _given_token(self) -> str | None:
        kind, _, token = self._headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if kind.lower() == "bearer" and token:
            return token.strip()
        key = self._headers.get(b"x-api-key")
        return None if key is None else key.decode("latin-1")

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
        status, body, headers = problem_of(exc)
        if status == 500:
            _log.error("request %s: %s", self._id, exc, exc_info=exc)
        if self._status:  # the answer has begun
            return
        self._status = status
        lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        close = [(b"connection", b"close")] if status in (408, 413) else []
        await self._write([(b"content-type", MEDIA_TYPE.encode()), *lines, *close], body)

    def _count(self, seconds: float) -> None:
        if self._post is not None:
            route = self._post[1].route
        else:
            route = getattr(self._scope.get("route"), "path", "none")
        facts = {name: value for name, value in self._facts.items() if name != "admin"}
        self._core.count(facts, route, self._status, seconds)


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


def host_name(host: str) -> str:
    """The name of a Host header, without its port, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def same(given: str | None, wanted: str | None) -> bool:
    """Whether two tokens are equal, in a time that says nothing of where they differ."""
    if given is None or wanted is None:
        return False
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _replay(body: bytes, receive: Any) -> Any:
    """A `receive` that gives the whole body once, and then what comes of the connection."""
    waiting = [body]

    async def again() -> Any:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again
