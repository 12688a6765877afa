"""The page and the description of the routes, from files of this package: nothing comes from elsewhere."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in ("base", "map", "treemap", "page", "docs")
    },
}
ICON = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">'
    b'<circle cx="5" cy="5" r="4" fill="#0b62b8"/>'
    b'<circle cx="12" cy="6" r="2.5" fill="#b35c00"/><circle cx="9" cy="12" r="3" fill="#1a7f4b"/></svg>'
)


def add_pages(api: Any) -> None:
    """Add the files of the page, read once."""
    _add(api, "/icon.svg", ICON, "image/svg+xml")
    for path, (name, media_type) in FILES.items():
        _add(api, path, files("cluscomp.server").joinpath("page").joinpath(name).read_bytes(), media_type)


def _add(api: Any, path: str, content: bytes, media_type: str) -> None:
    from fastapi.responses import Response

    async def file() -> Any:
        return Response(content, media_type=media_type)

    api.get(path, include_in_schema=False)(file)
