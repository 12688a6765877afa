"""Requests with a body, POST /v1/indexes/{name}/{action}: read by a compiled validator, answered as bytes.

The framework describes these routes and does not call them: what it does for each request (its layers, JSON
as Python values before they are checked, models of the answer) takes several times as long as a short search.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluscomp.errors import RequestRefusedError
from cluscomp.server.problems import first_faults

if TYPE_CHECKING:
    from fastapi import FastAPI

PREFIX = "/v1/indexes/"
MOST_FAULTS = 1000
"""Faults of a body above which none is told: to name a million of them takes seconds."""
Facts = dict[str, Any]
"""What the log says of a request."""
Work = Callable[[str, Any, Facts], Awaitable[bytes]]
"""Answers as JSON: work(name of the index, body, facts)."""


@dataclass(frozen=True)
class Post:
    """An action. route: as the description has it. read: checks the bytes of a body, or None for no body.

    admin: whether only the admin token may. admitted: lets a request in, or raises RequestRefusedError.
    """

    route: str
    work: Work
    read: Callable[[bytes], Any] | None
    admin: bool
    admitted: Callable[[], AbstractContextManager[None]]

    def check(self, facts: Facts) -> None:
        """Raise RequestRefusedError where the admin token is needed, and is not there."""
        if not self.admin or facts.get("admin"):
            return
        if facts.get("token"):
            raise RequestRefusedError("the admin token is needed for changes", 403, "token")
        raise RequestRefusedError("the admin token is needed: Authorization: Bearer TOKEN", 401, "token")

    async def answer(self, name: str, kind: bytes, content: bytes, facts: Facts) -> bytes:
        """The answer to a body, of a request that was let in (`admitted`). kind: its media type.

        Raises RequestRefusedError, and what the work raises.
        """
        return await self.work(name, None if self.read is None else self._body(kind, content), facts)

    def _body(self, kind: bytes, content: bytes) -> Any:
        assert self.read is not None
        if kind != b"application/json" and not _is_json(kind):
            raise RequestRefusedError("the body must be JSON: Content-Type: application/json", 422, "fields")
        try:
            return self.read(content)
        except ValueError as exc:  # pydantic's errors are ValueErrors
            raise RequestRefusedError(_told(exc), 422, "fields") from None


class Posts:
    """All actions by name. api: the application that describes them."""

    def __init__(self, api: FastAPI) -> None:
        self._api, self._posts = api, dict[str, Post]()

    def add(
        self,
        action: str,
        work: Work,
        *,
        body: type | None,
        answer: type,
        admin: bool = False,
        admitted: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Add an action. body, answer: dataclasses of `models`. The docstring of `work` describes it."""
        route = f"{PREFIX}{{name}}/{action}"
        self._posts[action] = Post(route, work, None if body is None else _reader(body), admin, admitted)

        async def described(**_: Any) -> None:
            raise AssertionError(f"{route} is answered before the framework")

        kinds = {"name": str} | ({} if body is None else {"body": body})
        fields = [
            inspect.Parameter(one, inspect.Parameter.KEYWORD_ONLY, annotation=kind)
            for one, kind in kinds.items()
        ]
        described.__signature__ = inspect.Signature(fields)  # type: ignore[attr-defined]
        self._api.post(route, response_model=answer, name=work.__name__, description=inspect.getdoc(work))(
            described
        )

    def get(self, action: str) -> Post | None:
        """An action by name."""
        return self._posts.get(action)

    def find(self, scope: dict[str, Any]) -> tuple[str, Post] | None:
        """The name of the index and the action that a request is for, or None."""
        path = scope["path"]
        if scope["method"] != "POST" or not path.startswith(PREFIX):
            return None
        name, slash, action = path[len(PREFIX) :].partition("/")
        post = self.get(action)
        return (name, post) if post is not None and name and slash else None


def as_bytes(value: Any) -> bytes:
    """A value as JSON, by the encoder that the framework brings: it takes a sixth of the time of `json`."""
    from pydantic_core import to_json

    return to_json(value)


def _reader(body: type) -> Callable[[bytes], Any]:
    """Checks JSON without making Python values of it first. Raises pydantic's ValidationError."""
    from pydantic import TypeAdapter

    read: Callable[[bytes], Any] = TypeAdapter(body).validator.validate_json
    return read


def _is_json(kind: bytes) -> bool:
    media = kind.partition(b";")[0].strip().lower()
    return media == b"application/json" or (media.startswith(b"application/") and media.endswith(b"+json"))


def _told(exc: Any) -> str:
    if not hasattr(exc, "error_count"):
        return "the body is no JSON"
    if exc.error_count() > MOST_FAULTS:
        return f"the body has {exc.error_count()} faults"
    return first_faults(exc.errors(include_url=False, include_context=False, include_input=False))
