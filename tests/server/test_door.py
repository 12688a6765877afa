"""Refusals at the door: by the head alone, as the gate would have it, and the connection goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest
from server_held import Held
from server_waits import wait_until
from server_wire import Wire

from cluscomp.server.waiting import IN_A_TURN, Awaited, deliver

pytest.importorskip("httptools")
BODY = b'{"vectors":[[' + b"0.5," * 23 + b"0.5]]}"
HEAD = b"POST /v1/indexes/small/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SEARCH = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY)


@pytest.fixture
def full(serve, folder, tmp_path):
    """full(**settings): a server with a search that does not end and one that waits, which is all that may."""
    with contextlib.ExitStack() as stack:

        def made(**settings):
            server = stack.enter_context(serve({"small": folder}, queue=1, batch_max=1, **settings))
            held = Held(server)
            stack.callback(held.release.set)
            wires = [Wire(server.port), Wire(server.port)]
            for wire in wires:
                stack.callback(wire.socket.close)
            wires[0].socket.sendall(SEARCH + BODY)
            assert held.begun.wait(20)
            wires[1].socket.sendall(SEARCH + BODY)
            wait_until(lambda: server.core.searcher.depth == 1)
            return server, held, wires

        yield made


def test_a_refusal_is_that_of_the_gate(full, tmp_path):
    log = tmp_path / "log.jsonl"
    server, held, _ = full(log=log)
    wire = Wire(server.port)
    status, headers, body = wire.ask(SEARCH, BODY)
    assert (status, headers["retry-after"], json.loads(body)["code"]) == (429, "1", "busy")
    own = f"http://127.0.0.1:{server.port}"
    long = SEARCH.replace(b"localhost", f"127.0.0.1:{server.port}".encode()).replace(
        b"\r\n\r\n", f"\r\nOrigin: {own}\r\n\r\n".encode()
    )
    other, others, another = wire.ask(long, BODY)
    assert other == 429 and another == body and headers["x-request-id"] != others["x-request-id"]
    assert headers.keys() == others.keys()
    assert {name for name in headers if headers[name] != others[name]} <= {"x-request-id", "date"}
    for line in (b"Expect: 100-continue", b"Connection: close", b"Upgrade: h2c\r\nConnection: upgrade"):
        other = Wire(server.port)
        found = other.ask(HEAD + line + b"\r\nContent-Length: 0\r\n\r\n")
        assert (other.ask() if found[0] == 100 else found)[0] == 429
    with server.http() as http:
        assert http.post("/v1/indexes/small/explain", json={"id": "1"}).status_code == 422
        assert http.get("/v1/indexes").status_code == 200  # only searches find no place
        text = http.get("/metrics").text
        assert 'cluscomp_requests_total{route="/v1/indexes/{name}/search",status="429"} ' in text
    held.release.set()
    wait_until(lambda: headers["x-request-id"] in log.read_text())
    line = next(json.loads(one) for one in log.read_text().splitlines() if headers["x-request-id"] in one)
    assert (line["route"], line["status"]) == ("/v1/indexes/{name}/search", 429)


def test_the_head_is_enough_and_the_connection_goes_on(full):
    """The body comes after the answer, in pieces, and is no part of the next request."""
    server, held, wires = full()
    wire = Wire(server.port)
    assert wire.ask(SEARCH)[0] == 429
    for piece in (BODY[:1], BODY[1:50], BODY[50:] + b"GET /health HTTP/1.1\r\n"):
        wire.socket.sendall(piece)
    assert wire.ask(b"Host: localhost\r\n\r\n")[2] == b"ok"
    chunked = HEAD + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"vec\r\n'
    assert wire.ask(chunked)[0] == 429
    held.release.set()
    assert [one.ask()[0] for one in wires] == [200, 200]
    assert wire.ask(b"0\r\n\r\n", SEARCH, BODY)[0] == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
        (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 400),
        (HEAD + b"Content-Length : 2\r\n\r\n{}", 400),
        (HEAD + b"Content-Length: +2\r\n\r\n{}", 400),
        (HEAD + b"A: b\nContent-Length: 2\r\n\r\n{}", 400),
        (HEAD + b"Connection: keep-alive\r\nContent-Length: 2\r\n\r\n{}", 429),
        (HEAD + b"A: \xc3\xa4\r\nContent-Length: 2\r\n\r\n{}", 429),
        (HEAD + b"\r\n", 429),
        (HEAD.replace(b"small", b"sm%61ll") + b"Content-Length: 2\r\n\r\n{}", 429),
        (HEAD.replace(b"search", b"explain") + b"Content-Length: 2\r\n\r\n{}", 422),
    ],
)
def test_heads_are_read_as_the_parser_would(full, head, status):
    """A refusal that skips the parser must not differ from it in where a request ends."""
    server, _, _ = full()
    assert Wire(server.port).ask(head)[0] == status


def test_requests_in_one_piece_are_refused_one_by_one(full):
    server, _, _ = full()
    wire = Wire(server.port)
    wire.socket.sendall((SEARCH + BODY) * 3 + b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert [wire.ask()[0] for _ in range(4)] == [429, 429, 429, 200]


def test_a_body_that_never_comes_ends_the_connection(full):
    server, _, _ = full(body_timeout=0.2)
    wire = Wire(server.port)
    assert wire.ask(SEARCH, BODY[:1])[0] == 429
    assert wire.socket.recv(100) == b""


def test_answers_come_in_the_order_of_requests(full):
    """A request behind one that waits is not refused before that one is answered."""
    _, held, wires = full()
    wires[1].socket.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" + SEARCH + BODY)
    with pytest.raises(TimeoutError):
        wires[1].socket.settimeout(0.1)
        wires[1].socket.recv(1)
    wires[1].socket.settimeout(20)
    held.release.set()
    answers = [wires[1].ask() for _ in range(3)]
    assert [status for status, *_ in answers] == [200, 200, 200] and answers[1][2] == b"ok"


def test_results_come_some_in_a_turn():
    """What else the event loop has to do is done between the parts of a large batch."""

    async def run():
        waiting, seen = [Awaited(1e9) for _ in range(3 * IN_A_TURN + 1)], []
        deliver([(one, number) for number, one in enumerate(waiting)])
        while not waiting[-1].future.done():
            await asyncio.sleep(0)
            seen.append(sum(one.future.done() for one in waiting))
        assert [await one.result() for one in waiting] == list(range(len(waiting)))
        return seen

    seen = asyncio.run(run())
    assert {IN_A_TURN, 2 * IN_A_TURN, 3 * IN_A_TURN} <= set(seen)


def test_who_waits_for_its_turn_has_a_place(serve, folder, monkeypatch):
    """Bodies that come at once are read some in a turn; those that wait count as searches that wait."""
    monkeypatch.setattr("cluscomp.server.pace.IN_A_TURN", 2)
    with serve({"small": folder}, queue=5) as server:
        held = Held(server)
        wires = [Wire(server.port) for _ in range(9)]
        wires[0].socket.sendall(SEARCH + BODY)
        assert held.begun.wait(20)
        parted = [SEARCH + BODY[:20], BODY[20:]]
        for part in parted:  # heads are there before the first body is whole
            for wire in wires[1:]:
                wire.socket.sendall(part)
        wait_until(lambda: server.core.searcher.depth == 5)
        held.release.set()
        statuses = sorted(wire.ask()[0] for wire in wires)
    assert statuses == [200] * 6 + [429] * 3
