"""Answers as the bytes of HTTP/1.1, for requests that the framework does not see."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from cluscomp.server.headers import HEADERS, ID_HEADER
from cluscomp.server.problems import MEDIA_TYPE, problem_of

Lines = Iterable[tuple[bytes, bytes]]
"""Names and values of headers."""
JSON_LINE = (b"content-type", b"application/json")


def answer_bytes(start: bytes, number: str, lines: Lines, body: bytes) -> bytes:
    """A whole answer. start: of `head_start`. number: id of the request. lines: more headers."""
    return named(start, number) + answer_end(lines, body)


def named(start: bytes, number: str) -> bytes:
    """The beginning of an answer: what `head_start` gives, and the id of the request."""
    return b"%b%b: %b\r\n" % (start, ID_HEADER, number.encode())


def answer_end(lines: Lines, body: bytes) -> bytes:
    """The rest of an answer: more headers, and the body."""
    more = b"".join([b"%b: %b\r\n" % line for line in lines])
    return b"%bcontent-length: %d\r\n\r\n%b" % (more, len(body), body)


def head_start(status: int, lines: Lines) -> bytes:
    """The first line of an answer and the headers that are the same for all answers of its kind."""
    first = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode()
    return first + b"".join([b"%b: %b\r\n" % line for line in (*lines, *HEADERS)])


def problem_lines(exc: BaseException) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body of the answer that an error is."""
    status, body, headers = problem_of(exc)
    lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return status, [(b"content-type", MEDIA_TYPE.encode()), *lines], body
