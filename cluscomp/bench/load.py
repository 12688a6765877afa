"""Load of a server on this machine: requests arrive whether or not others are answered.

Tools that wait for an answer before they ask again hide the time that requests spend in queues. Here arrivals
follow a Poisson process (open loop), and the time of a request counts from its arrival. Bounded in time and
number, and for the loopback only.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from cluscomp.errors import UsageError

MOST_SECONDS, MOST_REQUESTS, MOST_CONNECTIONS = 60.0, 200_000, 800
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)\r\n")
_LAST = re.compile(rb"(?i)\r\nconnection: *close\r\n")


@dataclass
class Load:
    """What became of requests. seconds: from the first arrival to the last answer. times: of each request by
    its status, in seconds from its arrival. late: seconds from the arrival of each to the moment at which the
    client turns to it, which are no fault of the server.
    """

    offered: float | None
    seconds: float = 0.0
    times: dict[int, list[float]] = field(default_factory=dict)
    late: list[float] = field(default_factory=list)

    def count(self, status: int) -> int:
        """Requests that were answered with a status."""
        return len(self.times.get(status, ()))

    @property
    def served(self) -> float:
        """Requests a second that were answered with 200."""
        return self.count(200) / self.seconds if self.seconds else 0.0

    def milliseconds(self, share: float, status: int = 200) -> float | None:
        """Quantile of the times of a status."""
        times = self.times.get(status)
        return float(np.quantile(times, share)) * 1000 if times else None

    def late_milliseconds(self, share: float) -> float | None:
        """Quantile of how late the client was, where requests arrive at random moments."""
        return float(np.quantile(self.late, share)) * 1000 if self.late else None

    def statuses(self) -> dict[int, int]:
        """Requests by status; 0 for those without an answer."""
        return dict(Counter({status: len(times) for status, times in self.times.items()}))


def request_bytes(host: str, port: int, path: str, body: bytes) -> bytes:
    """A POST of JSON as it goes over the wire. Raises UsageError for a host that is not this machine."""
    try:
        is_here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = False
    if not is_here:
        raise UsageError(f"load goes to this machine only, and {host!r} is another one")
    head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def closed_loop(host: str, port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    """Ask on some connections, on each again as soon as it is answered: what a server answers at most."""
    return asyncio.run(_closed(host, port, requests, connections, min(seconds, MOST_SECONDS)))


def open_loop(
    host: str, port: int, requests: Sequence[bytes], rate: float, seconds: float, seed: int = 0
) -> Load:
    """Ask `rate` times a second at random moments, for some seconds."""
    return asyncio.run(_open(host, port, requests, rate, min(seconds, MOST_SECONDS), seed))


Done = Callable[["_Connection", int], None]
"""Called with the status of an answer; 0 for none."""


class _Connection(asyncio.Protocol):
    """One request at a time. No futures and no tasks: what the client takes of the processor is missing to a
    server beside it.
    """

    def __init__(self) -> None:
        self._buffer, self._done = b"", None  # type: bytes, Done | None
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.is_open = transport, True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._settle(0)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._buffer, 0, end + 2)
        if len(self._buffer) >= end + 4 + (int(length[1]) if length else 0):
            status, is_last = int(self._buffer[9:12]), _LAST.search(self._buffer, 0, end + 2)
            self._buffer = b""
            if is_last:
                self.is_open = False
                self.transport.close()
            self._settle(status)

    def ask(self, request: bytes, done: Done) -> None:
        """Send a request."""
        self._done = done
        self.transport.write(request)

    def _settle(self, status: int) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(self, status)


async def _connected(host: str, port: int) -> _Connection:
    _, connection = await asyncio.get_running_loop().create_connection(_Connection, host, port)
    return connection


async def _closed(host: str, port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    load, opened = Load(None), [await _connected(host, port) for _ in range(connections)]
    begun, ends = time.perf_counter(), asyncio.get_running_loop().create_future()
    asking = set(opened)

    def ask(connection: _Connection, number: int) -> None:
        asked = time.perf_counter()

        def answered(_: _Connection, status: int) -> None:
            now = time.perf_counter()
            load.times.setdefault(status, []).append(now - asked)
            if now - begun < seconds and connection.is_open:
                ask(connection, number + connections)
                return
            asking.discard(connection)
            if not asking and not ends.done():
                ends.set_result(None)

        connection.ask(requests[number % len(requests)], answered)

    for number, connection in enumerate(opened):
        ask(connection, number)
    await ends
    load.seconds = time.perf_counter() - begun
    for connection in opened:
        connection.transport.close()
    return load


class _Arrivals:
    """Sends requests as they arrive, each on a free connection, a new one, or the next that becomes free."""

    def __init__(self, host: str, port: int, load: Load) -> None:
        self._host, self._port, self._load = host, port, load
        self._free, self._waiting = deque[_Connection](), deque[tuple[bytes, float]]()
        self._opening = set[asyncio.Task[None]]()
        self._connections = self._under_way = 0
        self._all_done = asyncio.Event()

    def arrive(self, request: bytes, arrival: float) -> None:
        """A request whose time counts from its arrival."""
        self._load.late.append(time.perf_counter() - arrival)
        self._under_way += 1
        self._send(request, arrival)

    def _send(self, request: bytes, arrival: float) -> None:
        while self._free and not self._free[-1].is_open:
            self._free.pop()
            self._connections -= 1
        if self._free:
            self._ask(self._free.pop(), request, arrival)
        elif self._connections < MOST_CONNECTIONS:
            self._connections += 1
            task = asyncio.ensure_future(self._open(request, arrival))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        else:
            self._waiting.append((request, arrival))

    async def end(self) -> None:
        """Wait until all are answered, and close the connections."""
        while self._under_way:
            self._all_done.clear()
            await self._all_done.wait()
        for connection in self._free:
            connection.transport.close()

    async def _open(self, request: bytes, arrival: float) -> None:
        try:
            connection = await _connected(self._host, self._port)
        except OSError:
            self._connections -= 1
            self._count(0, arrival)
        else:
            self._ask(connection, request, arrival)

    def _ask(self, connection: _Connection, request: bytes, arrival: float) -> None:
        def answered(connection: _Connection, status: int) -> None:
            self._count(status, arrival)
            self._free.append(connection)
            if self._waiting:
                self._send(*self._waiting.popleft())

        connection.ask(request, answered)

    def _count(self, status: int, arrival: float) -> None:
        self._load.times.setdefault(status, []).append(time.perf_counter() - arrival)
        self._under_way -= 1
        if not self._under_way:
            self._all_done.set()


async def _open(
    host: str, port: int, requests: Sequence[bytes], rate: float, seconds: float, seed: int
) -> Load:
    chance, load = random.Random(seed), Load(rate)
    arrivals = _Arrivals(host, port, load)
    begun = arrival = time.perf_counter()
    for number in range(MOST_REQUESTS):
        arrival += chance.expovariate(rate)
        if arrival - begun > seconds:
            break
        if (left := arrival - time.perf_counter()) > 0.0005:
            await asyncio.sleep(left)
        elif number % 16 == 0:
            await asyncio.sleep(0)
        arrivals.arrive(requests[number % len(requests)], arrival)
    await arrivals.end()
    load.seconds = time.perf_counter() - begun
    return load
