"""What a server is told: addresses, limits, tokens; checked before anything is opened."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cluscomp.checks import integer, number
from cluscomp.errors import MissingInputError, UsageError
from cluscomp.server.warming import Warmup

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")
"""As browsers say it: in lower case, without a path."""
MIN_TOKEN = 16
"""Shortest token, in characters: shorter ones can be guessed."""


@dataclass(frozen=True)
class ServerSettings:
    """Settings of a server.

    host, port: where it listens; port 0 takes a free one. max_k, max_queries, max_body (bytes): most that a
    request may ask for. queue: searches that wait; the next one is refused. timeout: seconds that a request
    may take. batch_wait: seconds that a search waits for others to join it; batch_max: most queries of one
    search. refresh: seconds between looks at the folders for a newer generation; 0 never looks. warmup: what
    is done with each state before it is served. max_open: indexes of a root folder that are open at a time.
    encoder: whether texts are encoded. read_token, admin_token: None lets everybody read, and nobody change.
    allowed_hosts: names besides the loopback's that a Host header may have, "*" for all. cors: origins whose
    pages may ask.
    log_queries: whether the log of requests has the texts. shutdown_grace: seconds for requests that are
    under way at the end. page: whether there is a page.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    max_k: int = 1000
    max_queries: int = 256
    max_body: int = 8 << 20
    queue: int = 256
    timeout: float = 10.0
    body_timeout: float = 10.0
    batch_wait: float = 0.0
    batch_max: int = 256
    refresh: float = 1.0
    warmup: Warmup | None = None
    max_open: int = 256
    encoder: bool = True
    read_token: str | None = None
    admin_token: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    cors: tuple[str, ...] = ()
    log_queries: bool = False
    shutdown_grace: float = 10.0
    page: bool = True
    insecure: bool = False

    def __post_init__(self) -> None:
        """Check the values. Raises UsageError."""
        integer("port", self.port, 0, 65535)
        for name in ("max_k", "max_queries", "max_body", "queue", "batch_max", "max_open"):
            integer(name, getattr(self, name), 1)
        for name in ("timeout", "body_timeout"):
            number(name, getattr(self, name), above=0)
        for name in ("batch_wait", "refresh", "shutdown_grace"):
            number(name, getattr(self, name), low=0)
        for origin in self.cors:
            if not _ORIGIN.fullmatch(origin):
                raise UsageError(
                    f"cors {origin!r} is no origin of pages; write scheme and host, such as "
                    "https://example.org or http://localhost:3000"
                )
        if not is_loopback(self.host) and self.read_token is None and not self.insecure:
            raise UsageError(
                f"host {self.host!r} can be reached from other machines, and no token is asked for; pass "
                "read_token_file, or insecure=True where everybody may read the indexes"
            )

    @cached_property
    def hosts(self) -> frozenset[str]:
        """Names that a Host header may have."""
        return frozenset(name.lower() for name in (*LOOPBACK_NAMES, self.host, *self.allowed_hosts))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(file: Path | None) -> str | None:
    """The token in a file, without white space around it; None for no file.

    Raises MissingInputError; UsageError where it is short, or no visible ASCII.
    """
    if file is None:
        return None
    try:
        token = file.read_bytes()[:4096].strip()
    except OSError as exc:
        raise MissingInputError(f"cannot read the token file {file}: {exc.strerror}") from exc
    if len(token) < MIN_TOKEN or not all(33 <= byte < 127 for byte in token):
        raise UsageError(
            f"the token in {file} has {len(token)} bytes; at least {MIN_TOKEN} letters, digits or signs "
            'without spaces are needed: python -c "import secrets; print(secrets.token_urlsafe())"'
        )
    return token.decode("ascii")
