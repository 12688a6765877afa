"""The page and the description of the routes, from files of this package: nothing comes from elsewhere."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
}


def add_pages(api: Any) -> None:
    """Add the files of the page, read once."""
    for path, (name, media_type) in FILES.items():
        _add(api, path, files("cluscomp.server").joinpath("page").joinpath(name).read_bytes(), media_type)


def _add(api: Any, path: str, content: bytes, media_type: str) -> None:
    from fastapi.responses import Response

    async def file() -> Any:
        return Response(content, media_type=media_type)

    api.get(path, include_in_schema=False)(file)
