"""The application: routes, errors as answers, and the gate around them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

from cluscomp.errors import CluscompError, RequestRefusedError, require
from cluscomp.server.changes import add_changes
from cluscomp.server.core import Core
from cluscomp.server.description import describe_problems
from cluscomp.server.gate import Gate
from cluscomp.server.insight_routes import add_insight
from cluscomp.server.models import Problem
from cluscomp.server.pages import add_pages
from cluscomp.server.posts import Posts
from cluscomp.server.problems import MEDIA_TYPE, first_faults, problem_body, problem_of
from cluscomp.server.reading import add_reading
from cluscomp.server.search_route import add_search

_KNOWN = {
    404: ("no-route", "there is no such route; /openapi.json has all of them"),
    405: ("method", "this route does not take such requests; the header Allow says which it takes"),
}
TITLE = "cluscomp"
DESCRIPTION = "Search of compressed indexes. Ids are always text; errors are application/problem+json."


def make_app(core: Core) -> tuple[Any, Posts]:
    """The ASGI application of a running core, and the actions on indexes that it knows; it closes the core
    when it ends.

    Raises OptionalDependencyError (pip install 'cluscomp[serve]').
    """
    fastapi = require("fastapi", extra="serve", why="`cluscomp serve`")
    from cluscomp import __version__

    problem = {"model": Problem, "description": "What is wrong, as problem+json."}
    api = fastapi.FastAPI(
        title=TITLE,
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(core),
        responses={"4XX": problem, "5XX": problem},
        redirect_slashes=False,
    )
    describe_problems(api)
    _add_errors(api)
    posts = Posts(api)
    add_reading(api, posts, core)
    add_search(posts, core)
    add_insight(api, posts, core)
    if core.settings.admin_token is not None:
        add_changes(posts, core)
    if core.settings.page:
        add_pages(api)
    app: Any = Gate(api, posts, core)
    if core.settings.cors:
        from fastapi.middleware.cors import CORSMiddleware

        app = CORSMiddleware(
            app,
            allow_origins=list(core.settings.cors),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key"],
        )
    return app, posts


def _lifespan(core: Core) -> Any:
    @asynccontextmanager
    async def lifespan(_: Any) -> Any:
        try:
            yield
        finally:
            core.close()

    return lifespan


def _add_errors(api: Any) -> None:
    from fastapi import HTTPException
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import Response
    from starlette.exceptions import HTTPException as StarletteException

    def answer(exc: BaseException) -> Any:
        status, body, headers = problem_of(exc)
        return Response(body, status, headers, MEDIA_TYPE)

    async def known(_: Any, exc: Any) -> Any:
        return answer(exc)

    async def fields(_: Any, exc: Any) -> Any:
        return Response(problem_body(422, "fields", first_faults(exc.errors())), 422, None, MEDIA_TYPE)

    async def http(_: Any, exc: Any) -> Any:
        code, detail = _KNOWN.get(exc.status_code, ("body", str(exc.detail)))
        refused = RequestRefusedError(detail, exc.status_code, code)
        found = answer(refused)
        found.headers.update(exc.headers or {})
        return found

    api.add_exception_handler(CluscompError, known)
    api.add_exception_handler(MemoryError, known)
    api.add_exception_handler(RequestValidationError, fields)
    api.add_exception_handler(HTTPException, http)
    api.add_exception_handler(StarletteException, http)
