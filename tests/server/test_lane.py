"""Actions that go past the framework: what comes in pieces, what fails, who leaves, and who stays idle."""

from __future__ import annotations

import json
import time

import pytest
from server_held import Held
from server_waits import wait_until
from server_wire import Wire

BODY = b'{"vectors":[[' + b"0.5," * 23 + b"0.5]]}"
HEAD = b"POST /v1/indexes/small/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SEARCH = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY)


def test_both_ways_give_the_same_answer(serve, folder, tmp_path):
    """Also to what is wrong; the way is told by the header Origin, which pages send."""
    log = tmp_path / "log.jsonl"
    wrong = [b"{", b"[]", b'{"vectors": [[1]]}', b'{"k": 1}', b'{"vectors": [[1e999]]}', b"\xff", b""]
    with serve({"small": folder}, log=log) as server:
        wire = Wire(server.port)
        for content in [BODY, *wrong]:
            found = []
            for more in (b"", b"Origin: http://localhost\r\n"):
                head = HEAD + more + b"Content-Length: %d\r\n\r\n" % len(content)
                status, headers, body = wire.ask(head, content)
                values = json.loads(body)
                for name in ("took_ms", "queue_ms"):
                    values.pop(name, None)
                shown = {name: headers[name] for name in headers if name not in ("x-request-id", "date")}
                shown.pop("content-length")
                found.append((status, shown, values))
            assert found[0] == found[1], content
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [set(line) for line in lines[::2]] == [set(line) for line in lines[1::2]]
    assert {line["status"] for line in lines} == {200, 400, 422}


def test_a_body_may_come_in_pieces(serve, folder):
    with serve({"small": folder}) as server:
        wire = Wire(server.port)
        whole = wire.ask(SEARCH, BODY)
        for cut in (1, 30, len(SEARCH), len(SEARCH) + 7):
            wire.socket.sendall((SEARCH + BODY)[:cut])
            time.sleep(0.02)
            status, _, body = wire.ask((SEARCH + BODY)[cut:])
            assert status == 200 and json.loads(body)["results"] == json.loads(whole[2])["results"]


def test_a_body_that_does_not_come_is_told_of_once(serve, folder):
    with serve({"small": folder}, body_timeout=0.2) as server:
        wire = Wire(server.port)
        status, headers, body = wire.ask(SEARCH, BODY[:5])
        assert (status, headers["connection"], json.loads(body)["code"]) == (408, "close", "slow-body")
        assert wire.is_closed()
        other = Wire(server.port)
        assert [other.ask(SEARCH, BODY)[0] for _ in range(2)] == [200, 200]


def test_an_old_version_goes_the_long_way(serve, folder):
    """Which ends the connection, whatever it asks for."""
    with serve({"small": folder}) as server:
        for more in (b"", b"Connection: keep-alive\r\n"):
            wire = Wire(server.port)
            head = HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + more
            assert wire.ask(head + b"Content-Length: %d\r\n\r\n" % len(BODY), BODY)[0] == 200
            assert wire.is_closed()


def test_an_unforeseen_error_is_told_without_its_words(serve, folder, caplog):
    with serve({"small": folder}) as server:
        server.core.searcher.search = None
        status, headers, body = Wire(server.port).ask(SEARCH, BODY)
    assert status == 500 and "NoneType" not in body.decode()
    assert headers["x-request-id"] in caplog.text and "NoneType" in caplog.text


def test_who_leaves_keeps_no_place(serve, folder):
    with serve({"small": folder}, batch_max=1) as server:
        held = Held(server)
        for _ in range(3):
            wire = Wire(server.port)
            wire.socket.sendall(SEARCH + BODY)
            assert held.begun.wait(20)
            wire.socket.close()
        held.release.set()
        wait_until(lambda: server.core.room._inside == 0)
        assert Wire(server.port).ask(SEARCH, BODY)[0] == 200


@pytest.mark.parametrize("is_full", [False, True])
def test_idle_connections_end_and_busy_ones_do_not(serve, folder, monkeypatch, is_full):
    """Also those on which all is refused without the parser."""
    monkeypatch.setattr("cluscomp.server.run.IDLE_SECONDS", 0.3)
    with serve({"small": folder}) as server:
        monkeypatch.setattr(server.core.room, "is_full", lambda: is_full)
        wire, until, seen = Wire(server.port), time.monotonic() + 0.8, set()
        while time.monotonic() < until:
            seen.add(wire.ask(SEARCH + BODY)[0])
            time.sleep(0.01)
        assert seen == {429 if is_full else 200}
        rested = time.monotonic()
        assert wire.is_closed() and 0.2 < time.monotonic() - rested < 10


def test_a_search_that_lasts_is_not_idle(serve, folder, monkeypatch):
    monkeypatch.setattr("cluscomp.server.run.IDLE_SECONDS", 0.1)
    with serve({"small": folder}) as server:
        wire = Wire(server.port)
        assert wire.ask(SEARCH, BODY)[0] == 200
        held = Held(server)
        wire.socket.sendall(SEARCH + BODY)
        assert held.begun.wait(20)
        time.sleep(0.3)
        held.release.set()
        assert wire.ask()[0] == 200 and wire.is_closed()
