"""Load of a server on this machine: requests arrive whether or not others are answered.

Tools that wait for an answer before they ask again hide the time that requests spend in queues. Here arrivals
follow a Poisson process (open loop), and the time of a request counts from its arrival. Bounded in time and
number, and for the loopback only.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cluscomp.errors import UsageError

MOST_SECONDS, MOST_REQUESTS, MOST_CONNECTIONS = 60.0, 200_000, 800


@dataclass
class Load:
    """What became of requests. seconds: from the first arrival to the last answer. times: of each request by
    its status, in seconds from its arrival.
    """

    offered: float | None
    seconds: float = 0.0
    times: dict[int, list[float]] = field(default_factory=dict)

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


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self._buffer, self._answer = b"", None  # type: bytes, asyncio.Future[int] | None
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.is_open = transport, True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._settle(0)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        if len(rest) >= length:
            self._buffer = b""
            self._settle(int(lines[0].split()[1]))

    async def ask(self, request: bytes) -> int:
        """Status of the answer; 0 for none."""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer

    def _settle(self, status: int) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(status)


async def _connected(host: str, port: int) -> _Connection:
    _, connection = await asyncio.get_running_loop().create_connection(_Connection, host, port)
    return connection


async def _closed(host: str, port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    load, begun = Load(None), time.perf_counter()

    async def client(number: int) -> None:
        connection = await _connected(host, port)
        while (asked := time.perf_counter()) - begun < seconds and connection.is_open:
            status = await connection.ask(requests[number % len(requests)])
            load.times.setdefault(status, []).append(time.perf_counter() - asked)
            number += connections
        connection.transport.close()

    await asyncio.gather(*(client(number) for number in range(connections)))
    load.seconds = time.perf_counter() - begun
    return load


async def _open(
    host: str, port: int, requests: Sequence[bytes], rate: float, seconds: float, seed: int
) -> Load:
    chance, free = random.Random(seed), deque[_Connection]()
    load, tasks = Load(rate), set[asyncio.Task[None]]()
    places = asyncio.Semaphore(MOST_CONNECTIONS)

    async def one(number: int, arrival: float) -> None:
        async with places:
            while free and not free[-1].is_open:
                free.pop()
            status = 0
            try:
                connection = free.pop() if free else await _connected(host, port)
                status = await connection.ask(requests[number % len(requests)])
                free.append(connection)
            except OSError:
                pass
        load.times.setdefault(status, []).append(time.perf_counter() - arrival)

    begun = arrival = time.perf_counter()
    for number in range(MOST_REQUESTS):
        arrival += chance.expovariate(rate)
        if arrival - begun > seconds:
            break
        if (left := arrival - time.perf_counter()) > 0.0005:
            await asyncio.sleep(left)
        task = asyncio.ensure_future(one(number, arrival))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        if number % 16 == 0:
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    load.seconds = time.perf_counter() - begun
    for connection in free:
        connection.transport.close()
    return load
