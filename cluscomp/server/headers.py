"""Headers that all answers have, and the ids of requests."""

from __future__ import annotations

import itertools
import secrets

POLICY = b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
HEADERS = [
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
ID_HEADER = b"x-request-id"
# An id is of the process and a number: random ones need the system each time, and let go of the interpreter.
_PROCESS, _NUMBERS = secrets.token_hex(4), itertools.count()


def request_id() -> str:
    """An id that no other request has."""
    return f"{_PROCESS}{next(_NUMBERS):08x}"
