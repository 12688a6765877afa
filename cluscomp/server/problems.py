"""Errors as answers: problem+json, with the status of their class."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from cluscomp import errors

MEDIA_TYPE = "application/problem+json"
_STATUS: tuple[tuple[type[BaseException], int, str], ...] = (
    (errors.EncoderMismatchError, 409, "encoder-mismatch"),
    (errors.DuplicateIdError, 409, "duplicate-id"),
    (errors.OutputExistsError, 409, "index-changed"),
    (errors.DiskFullError, 507, "disk-full"),
    (errors.InputError, 400, "input"),
    (errors.UsageError, 400, "usage"),
    (errors.NotTrainedError, 400, "usage"),
    (errors.OptionalDependencyError, 501, "not-installed"),
    (errors.InfeasibleError, 503, "memory"),
    (errors.IndexLockedError, 503, "locked"),
    (errors.IndexFolderError, 503, "index"),
    (MemoryError, 503, "memory"),
)


def status_and_code(exc: BaseException) -> tuple[int, str]:
    """Status of HTTP and word of an error; 500 for what nobody foresaw."""
    if isinstance(exc, errors.RequestRefusedError):
        return exc.status, exc.code
    for kind, status, code in _STATUS:
        if isinstance(exc, kind):
            return status, code
    return 500, "internal"


def problem_body(status: int, code: str, detail: str) -> bytes:
    """The body of problem+json."""
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail.encode("utf-8", "replace").decode(),
    }
    return json.dumps(problem).encode()


@contextmanager
def unknown_ids_are_not_found() -> Iterator[None]:
    """Tell of an id that is not there with 404. Raises RequestRefusedError; DuplicateIdError goes on."""
    try:
        yield
    except errors.DuplicateIdError:
        raise
    except errors.InputError as exc:
        raise errors.RequestRefusedError(str(exc), 404, "unknown-id") from exc


def first_faults(found: Sequence[dict[str, Any]]) -> str:
    """The first faults of a request, by field; values are not repeated, since they may be anything."""
    lines = []
    for fault in found[:3]:
        place = ".".join(str(part) for part in fault["loc"]) or "body"
        lines.append(f"{place[:100]}: {fault['msg']}"[:300])
    return "; ".join(lines)


def problem_of(exc: BaseException) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and headers of the answer that an error is.

    Of folders and unforeseen errors only the kind is told: their messages name paths of the server.
    """
    status, code = status_and_code(exc)
    detail = str(exc)
    if isinstance(exc, errors.IndexFolderError):
        detail = "the index cannot be read; the server's messages say why"
    elif status == 500 or not isinstance(exc, errors.CluscompError):
        detail = "an unforeseen error; the server's messages say more under the id of this request"
    headers = {}
    if status == 429:
        headers["Retry-After"] = str(getattr(exc, "retry_after", None) or 1)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return status, problem_body(status, code, detail), headers
