"""The description of the routes, /openapi.json: errors are problem+json everywhere."""

from __future__ import annotations

from typing import Any

from cluscomp.server.problems import MEDIA_TYPE

_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def describe_problems(api: Any) -> None:
    """Let the application describe its errors as what they are: the framework writes the type of the answer
    beside each of them.
    """
    described = api.openapi

    def openapi() -> Any:
        found = described()
        for operation in (one for path in found["paths"].values() for one in path.values()):
            for status, response in operation["responses"].items():
                if status in ("4XX", "5XX"):
                    response["content"] = _PROBLEM
        return found

    api.openapi = openapi
