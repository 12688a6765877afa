"""Load of a server on this machine: requests arrive whether or not others are answered.

Tools that wait for an answer before they ask again hide the time that requests spend in queues. Here arrivals
follow a Poisson process (open loop), and the time of a request counts from its arrival. Bounded in time and
number, and for the loopback only.
"""

from __future__ import annotations

import ipaddress
import random
import selectors
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cluscomp.bench.connections import Connection
from cluscomp.errors import UsageError

MOST_SECONDS, MOST_REQUESTS, MOST_CONNECTIONS = 60.0, 200_000, 1800
OPENED_SECONDS = 0.15
"""Connections that are open before requests arrive are enough for those that arrive in this time."""
_SHORT = 0.0001
"""Seconds of a pause that is too short for the clock of selectors, which counts milliseconds."""


@dataclass
class Load:
    """What became of requests. seconds: from the first arrival to the last answer. times: of each request by
    its status, in seconds from its arrival. late: seconds from the arrival of each to the moment at which the
    client sends it, which its time contains: the client is behind its plan, or waits for one of its
    connections.
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
    with selectors.DefaultSelector() as selector:
        loop = _Closed(selector, host, port, requests, connections)
        return loop.run(min(seconds, MOST_SECONDS))


def open_loop(
    host: str, port: int, requests: Sequence[bytes], rate: float, seconds: float, seed: int = 0
) -> Load:
    """Ask `rate` times a second at random moments, for some seconds."""
    with selectors.DefaultSelector() as selector:
        return _Open(selector, host, port, requests, rate, seed).run(min(seconds, MOST_SECONDS))


def _opened(selector: selectors.BaseSelector, host: str, port: int, n: int) -> list[Connection]:
    """Connections on each of which the server has answered: to open them is no part of a search."""
    hello, answered = f"GET /health HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode(), list[int]()
    connections = [Connection(selector, host, port) for _ in range(n)]
    for connection in connections:
        connection.ask(hello, answered.append)
    while len(answered) < n:
        for key, events in selector.select():
            key.data.ready(events)
    return [connection for connection in connections if connection.is_open]


class _Closed:
    """Requests by number, each on the connection whose answer came."""

    def __init__(
        self, selector: selectors.BaseSelector, host: str, port: int, requests: Sequence[bytes], n: int
    ) -> None:
        self._selector, self._requests, self._load = selector, requests, Load(None)
        self._connections = _opened(selector, host, port, n)
        self._ends, self._sent, self._under_way = 0.0, 0, 0

    def run(self, seconds: float) -> Load:
        """Ask for some seconds, and wait for the last answers."""
        begun = time.perf_counter()
        self._ends = begun + seconds
        for connection in self._connections:
            self._ask(connection)
        while self._under_way:
            for key, events in self._selector.select():
                key.data.ready(events)
        self._load.seconds = time.perf_counter() - begun
        for connection in self._connections:
            connection.close()
        return self._load

    def _ask(self, connection: Connection) -> None:
        asked = time.perf_counter()

        def answered(status: int) -> None:
            now = time.perf_counter()
            self._load.times.setdefault(status, []).append(now - asked)
            self._under_way -= 1
            if now < self._ends and connection.is_open:
                self._ask(connection)

        self._sent, self._under_way = self._sent + 1, self._under_way + 1
        connection.ask(self._requests[self._sent % len(self._requests)], answered)


class _Open:
    """Sends requests as they arrive, each on a free connection, a new one, or the next that becomes free."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        host: str,
        port: int,
        requests: Sequence[bytes],
        rate: float,
        seed: int,
    ) -> None:
        self._selector, self._host, self._port, self._requests = selector, host, port, requests
        self._load, self._chance, self._rate = Load(rate), random.Random(seed), rate
        self._free, self._waiting = deque[Connection](), deque[tuple[bytes, float]]()
        self._connections = self._arrived = self._under_way = 0
        self._next = self._last = 0.0

    def run(self, seconds: float) -> Load:
        """Let requests arrive for some seconds, and wait for the last answers."""
        n = min(MOST_CONNECTIONS, int(self._rate * OPENED_SECONDS) + 1)
        self._free.extend(_opened(self._selector, self._host, self._port, n))
        self._connections = len(self._free)
        begun = self._next = time.perf_counter()
        self._last = begun + seconds
        self._plan()
        while self._under_way or self._next <= self._last:
            self._turn()
        self._load.seconds = time.perf_counter() - begun
        for connection in self._free:
            connection.close()
        return self._load

    def _turn(self) -> None:
        """Read what is there, with what arrives in between sent in time; wait where nothing is there."""
        left = self._next - time.perf_counter() if self._next <= self._last else None
        wait = left if left is None else int(max(left, 0.0) * 1000) / 1000
        ready = self._selector.select(wait)
        for key, events in ready:
            key.data.ready(events)
            self._send_due()
        if not ready and left is not None and wait == 0 and left > _SHORT:
            time.sleep(_SHORT)
        self._send_due()

    def _plan(self) -> None:
        """Draw the next arrival."""
        self._next += self._chance.expovariate(self._rate)
        if self._arrived >= MOST_REQUESTS:
            self._last = 0.0

    def _send_due(self) -> None:
        while self._next <= self._last and self._next <= time.perf_counter():
            request, arrival = self._requests[self._arrived % len(self._requests)], self._next
            self._arrived, self._under_way = self._arrived + 1, self._under_way + 1
            self._plan()
            self._send(request, arrival)

    def _send(self, request: bytes, arrival: float) -> None:
        while self._free and not self._free[-1].is_open:
            self._free.pop()
            self._connections -= 1
        if self._free:
            self._ask(self._free.pop(), request, arrival)
        elif self._connections < MOST_CONNECTIONS:
            self._connections += 1
            self._ask(Connection(self._selector, self._host, self._port), request, arrival)
        else:
            self._waiting.append((request, arrival))

    def _ask(self, connection: Connection, request: bytes, arrival: float) -> None:
        def answered(status: int) -> None:
            self._load.times.setdefault(status, []).append(time.perf_counter() - arrival)
            self._under_way -= 1
            self._free.append(connection)
            if self._waiting:
                self._send(*self._waiting.popleft())

        self._load.late.append(time.perf_counter() - arrival)
        connection.ask(request, answered)
