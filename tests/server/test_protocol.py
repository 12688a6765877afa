"""Bytes on a connection: heads are bounded, answers come whole and in order, one write each."""

from __future__ import annotations

import socket

import pytest

pytest.importorskip("httptools")
SEARCH = b"POST /v1/indexes/small/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def port(folder):
    from server_running import Running

    with Running({"small": folder}) as server:
        yield server.port


def exchange(port, *parts):
    """Send parts, and all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        try:
            for part in parts:
                connection.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            pass
        found = b""
        try:
            while piece := connection.recv(65536):
                found += piece
        except ConnectionResetError:
            pass
        return found


@pytest.mark.parametrize("piece", [b"X-A: " + b"a" * 1000 + b"\r\n", b"b" * 1000])
def test_heads_without_end_are_refused(port, piece):
    """Many headers, and one long one."""
    found = exchange(port, b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-B: ", *[piece] * 2000)
    assert found == b"" or found.startswith(
        b"HTTP/1.1 431 "
    )  # the refusal is lost where the rest still comes
    assert exchange(port, b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").endswith(
        b"ok"
    )


def test_a_head_that_ends_is_answered_whatever_comes_behind_it(port):
    """Requests in one piece with a body beyond the bound of heads, and of nothing but heads."""
    body = b'{"vectors":[[' + b"0.5," * 23 + b"0.5]]" + b" " * 300_000 + b"}"
    request = SEARCH + b"Content-Length: %d\r\n\r\n" % len(body) + body
    last = SEARCH + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    found = exchange(port, request + request + last)
    assert found.count(b"HTTP/1.1 200 OK\r\n") == found.count(b'{"index":"small"') == 3
    gets = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: aaaaaaaaaaaaaaaaa\r\n"
    found = exchange(port, (gets + b"\r\n") * 2000 + gets + b"Connection: close\r\n\r\n")
    assert found.count(b"HTTP/1.1 200 OK\r\n") == 2001


def test_bytes_that_are_no_http_end_the_connection(port):
    assert exchange(port, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n").startswith(
        b"HTTP/1.1 400 "
    )


def test_an_answer_is_one_write():
    from cluscomp.server.protocol import JoinedWrites

    class Transport:
        def __init__(self):
            self.written, self.is_closed = [], False

        def close(self):
            self.is_closed = True

        def write(self, data):
            self.written.append(data)

        is_closing = get_extra_info = pause_reading = resume_reading = get_write_buffer_size = close

    real = Transport()
    joined = JoinedWrites(real)
    for data in (
        b"HTTP/1.1 200 OK\r\na: b\r\n\r\n",
        b"body",
        b"HTTP/1.1 404 No\r\n\r\n",
        b"HTTP/1.1 204 No\r\n\r\n",
    ):
        joined.write(data)
    assert real.written == [b"HTTP/1.1 200 OK\r\na: b\r\n\r\nbody", b"HTTP/1.1 404 No\r\n\r\n"]
    joined.close()
    assert real.written[-1] == b"HTTP/1.1 204 No\r\n\r\n" and real.is_closed
    assert joined.get_write_buffer_size.__self__ is real
