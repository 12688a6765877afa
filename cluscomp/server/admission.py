"""Who is let in by the head of a request: hosts, origins, tokens; nobody while the server is about to end."""

from __future__ import annotations

import hmac
from typing import Any

from cluscomp.errors import RequestRefusedError
from cluscomp.server.core import Core
from cluscomp.server.request_log import fingerprint

OPEN_PATHS = frozenset({"/health", "/ready"})
"""Answered to everybody: they say nothing of what is served."""
PROTECTED = ("/v1/", "/metrics")
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Admission:
    """The checks of a core. Names of headers are in lower case."""

    def __init__(self, core: Core) -> None:
        self._core, self._settings, self._hosts = core, core.settings, core.settings.hosts

    def check(self, method: str, path: str, headers: dict[bytes, bytes], facts: dict[str, Any]) -> None:
        """Let a request in, and add to its facts whether it may change indexes ("admin") and what the log
        says of its token. Raises RequestRefusedError.
        """
        if path in OPEN_PATHS:
            return
        self._check_host(headers)
        if method not in SAFE and b"origin" in headers:
            self._check_origin(headers)
        if path.startswith(PROTECTED):
            self._check_token(headers, facts)
            if self._core.draining:
                raise RequestRefusedError("the server is about to end; ask another one", 503, "draining")

    def _check_host(self, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1")
        if "*" not in self._hosts and host_name(host) not in self._hosts:
            raise RequestRefusedError(
                "this host name is not served here; start the server with --allowed-host NAME", 400, "host"
            )

    def _check_origin(self, headers: dict[bytes, bytes]) -> None:
        """Pages of other sites may not change or search: browsers say where a page comes from."""
        name = headers[b"origin"].decode("latin-1")
        host = headers.get(b"host", b"").decode("latin-1")
        if name in self._settings.cors or name.partition("://")[2].lower() == host.lower():
            return
        raise RequestRefusedError("pages of this origin are not let in (--cors ORIGIN)", 403, "origin")

    def _check_token(self, headers: dict[bytes, bytes], facts: dict[str, Any]) -> None:
        settings, token = self._settings, given_token(headers)
        is_admin = same(token, settings.admin_token)
        facts["admin"], facts["token"] = is_admin, fingerprint(token)
        if settings.read_token is None or is_admin or same(token, settings.read_token):
            return
        if token is None:
            raise RequestRefusedError("a token is needed: Authorization: Bearer TOKEN", 401, "token")
        raise RequestRefusedError("this token is not known here", 401, "token")


def given_token(headers: dict[bytes, bytes]) -> str | None:
    """The token that a request brings, in either header."""
    kind, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if kind.lower() == "bearer" and token:
        return token.strip()
    key = headers.get(b"x-api-key")
    return None if key is None else key.decode("latin-1")


def host_name(host: str) -> str:
    """The name of a Host header, without its port, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def same(given: str | None, wanted: str | None) -> bool:
    """Whether two tokens are equal, in a time that says nothing of where they differ."""
    if given is None or wanted is None:
        return False
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
