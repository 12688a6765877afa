"""Listening, signals and the end: SIGTERM and Ctrl-C finish what is under way, a second one ends at once."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cluscomp.errors import UsageError, require
from cluscomp.process import kept_objects, raise_open_files
from cluscomp.server.app import make_app
from cluscomp.server.core import Core
from cluscomp.server.door import Door
from cluscomp.server.lane import Lane
from cluscomp.server.protocol import http_protocol

WHY = "`cluscomp serve`"
IDLE_SECONDS = 30
"""A connection without requests is closed after this time."""


def require_packages() -> None:
    """Raise OptionalDependencyError unless all that a server needs is installed."""
    for name in ("fastapi", "uvicorn", "httptools", "prometheus_client"):
        require(name, extra="serve", why=WHY)


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises UsageError where that cannot be."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            found.listen(2048)
        except OSError:
            found.close()
            raise
    except OSError as exc:
        raise UsageError(
            f"cannot listen on host {host!r}, port {port}: {exc.strerror}; choose another one with port or "
            "host"
        ) from exc
    return found


def run_server(
    core: Core, listener: socket.socket, *, started: Callable[[], None] = lambda: None
) -> signal.Signals | None:
    """Serve until a signal comes, and close the core; returns the signal. started: called when it listens.

    A second signal ends the process at once, with 128 and its number as the exit code.
    """
    server = make_server(core)
    raise_open_files()
    with _signals(server, core) as seen:
        asyncio.run(_serve(server, listener, started))
    return seen[0] if seen else None


def make_server(core: Core) -> Any:
    """The server of a core, which leaves signals alone; `run(sockets=[...])` serves until `should_exit`."""
    uvicorn = require("uvicorn", extra="serve", why=WHY)
    require("httptools", extra="serve", why=WHY)

    class Server(uvicorn.Server):  # type: ignore[misc, name-defined]
        """Leaves signals to `_signals`: its own way ends by the signal, and knows no second SIGTERM."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    app, posts = make_app(core)
    return Server(
        uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="on",
            http=http_protocol(Door(core), Lane(posts, core)),
            ws="none",
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=max(1, round(core.settings.shutdown_grace)),
            limit_concurrency=4 * core.settings.queue + 1024,
        )
    )


async def _serve(server: Any, listener: socket.socket, started: Callable[[], None]) -> None:
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    if server.started:
        with kept_objects():
            started()
            await serving
    await serving


@contextmanager
def _signals(server: Any, core: Core) -> Iterator[list[signal.Signals]]:
    """Signals that came. Outside the main thread none do: whoever runs it there sets `should_exit`."""
    seen: list[signal.Signals] = []

    def handle(number: int, _: Any) -> None:
        seen.append(signal.Signals(number))
        if len(seen) > 1:
            os._exit(128 + number)
        core.draining = server.should_exit = True

    if threading.current_thread() is not threading.main_thread():
        yield seen
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
