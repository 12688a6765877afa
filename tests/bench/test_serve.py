"""The load client: what arrives when, what is counted as what; and a small run of the whole measurement."""

from __future__ import annotations

import asyncio
import random
import socket
import threading

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.bench.load import closed_loop, open_loop, request_bytes
from cluscomp.errors import UsageError


class Double:
    """A server that answers from a list of statuses, over and over; None closes the connection."""

    def __init__(self, statuses):
        self.statuses, self.asked, self.opened = statuses, 0, 0
        self.ready, self.loop = threading.Event(), asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self):
        self.thread.start()
        assert self.ready.wait(20)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)

    def _run(self):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self._answer, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        self.loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    async def _answer(self, reader, writer):
        try:
            while (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET /health "):
                self.opened += 1
                writer.write(b"HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n")
            while True:
                assert await reader.readexactly(4) == b"body"
                status = self.statuses[self.asked % len(self.statuses)]
                self.asked += 1
                if status is None:
                    break
                last = b"Connection: close\r\n" if status == 503 else b""
                writer.write(b"HTTP/1.1 %d X\r\n%bcontent-length: 5\r\n\r\n" % (status, last))
                await writer.drain()
                writer.write(b"hello")
                await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


def requests(port):
    return [request_bytes("127.0.0.1", port, "/x", b"body")]


@pytest.mark.parametrize(
    "host", ["example.org", "10.0.0.1", "192.168.1.1", "0.0.0.0", "::2", "localhost.example"]
)
def test_load_goes_to_this_machine_only(host):
    with pytest.raises(UsageError, match="this machine"):
        request_bytes(host, 80, "/", b"")


def test_arrivals_do_not_depend_on_answers_and_every_one_is_counted():
    chance, arrivals, at = random.Random(5), 0, 0.0
    while (at := at + chance.expovariate(300)) <= 0.5:
        arrivals += 1
    with Double([200, 200, 429]) as double:
        load = open_loop("127.0.0.1", double.port, requests(double.port), 300, 0.5, seed=5)
        assert double.asked == arrivals
    assert sum(load.statuses().values()) == arrivals
    assert load.count(429) == arrivals // 3 and load.count(200) == arrivals - arrivals // 3
    assert load.milliseconds(0.99) >= load.milliseconds(0.5) > 0 and load.milliseconds(0.5, 503) is None


def test_requests_without_an_answer_are_counted_as_such():
    with Double([200, None]) as double:
        load = open_loop("127.0.0.1", double.port, requests(double.port), 200, 0.3)
    assert set(load.statuses()) == {0, 200} and abs(load.count(0) - load.count(200)) <= 1


def test_connections_that_the_server_ends_are_not_used_again():
    with Double([200, 503]) as double:
        load = open_loop("127.0.0.1", double.port, requests(double.port), 200, 0.3)
        assert set(load.statuses()) == {200, 503} and sum(load.statuses().values()) == double.asked
        closed = closed_loop("127.0.0.1", double.port, requests(double.port), 1, 20)
        assert closed.statuses() in ({200: 1, 503: 1}, {503: 1}) and closed.seconds < 10


def test_connections_are_open_before_the_clock_starts():
    with Double([200]) as double:
        load = open_loop("127.0.0.1", double.port, requests(double.port), 400, 0.2)
        assert double.opened >= 60 and load.count(200) == double.asked
        closed = closed_loop("127.0.0.1", double.port, requests(double.port), 7, 0.1)
        assert double.opened >= 67 and set(closed.statuses()) == {200}


def test_requests_and_answers_may_come_in_pieces():
    """A request larger than the buffers of a socket, to a server that reads late; nobody loses a byte."""
    body, got = b"x" * (8 << 20), []

    def serve(listener):
        with listener.accept()[0] as there:
            there.recv(1000)
            there.sendall(b"HTTP/1.1 404 X\r\ncontent-")
            there.sendall(b"length: 0\r\n\r\n")
            while sum(map(len, got)) < len(wanted):
                got.append(there.recv(1 << 16))
            for piece in (
                b"HTTP/1.1 200 OK\r\nConte",
                b"nt-Length: 4\r\nConnection: close\r\n\r",
                b"\nab",
                b"cd",
            ):
                there.sendall(piece)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        wanted = request_bytes("127.0.0.1", port, "/x", body)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        load = closed_loop("127.0.0.1", port, [wanted], 1, 0.01)
        thread.join(20)
    assert load.statuses() == {200: 1} and b"".join(got) == wanted


def test_where_nobody_listens_there_is_no_answer():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert set(open_loop("127.0.0.1", port, requests(port), 200, 0.1).statuses()) == {0}


def test_a_closed_loop_asks_again_when_answered():
    with Double([200]) as double:
        load = closed_loop("127.0.0.1", double.port, requests(double.port), 3, 0.2)
        assert load.count(200) == double.asked > 3
    assert load.served == load.count(200) / load.seconds


def test_a_server_is_measured_beside_a_route_over_faiss(tmp_path):
    for name in ("fastapi", "uvicorn", "prometheus_client", "faiss"):
        pytest.importorskip(name)
    from cluscomp.bench.serve import COLUMNS, bench_serve, cells

    rows = np.random.default_rng(0).standard_normal((600, 16)).astype(np.float32)
    index = cc.index_factory("IVF4,PQ4", dim=16)
    index.train(rows)
    index.add(rows)
    index.save(tmp_path / "x")
    found = bench_serve(tmp_path / "x", seconds=0.2, rounds=1, peers=("faiss",))
    assert {(row.server, row.load) for row in found} == {
        ("cluscomp", "idle"), ("cluscomp", "peak"), ("cluscomp", "many"), ("cluscomp", "half"), ("cluscomp", "twice"), ("faiss route", "idle"), ("faiss route", "peak"),
        ("cluscomp", "near"), ("faiss route", "near"),
    }  # fmt: skip
    assert all(row.failed == 0 and row.served > 0 for row in found)
    assert all(len(cells(row)) == len(COLUMNS) for row in found)
    with pytest.raises(UsageError, match="torch"):
        bench_serve(tmp_path / "x", peers=("torch",))
