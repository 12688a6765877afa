"""Routes that show how an index works: the map of its lists, the products behind a hit."""
# The framework reads annotations of routes as values: no `from __future__ import annotations` here.

import time
from typing import TYPE_CHECKING, Annotated, Any

from cluscomp.errors import InputError
from cluscomp.server import cluster_map, heat, models, parsing
from cluscomp.server.conditions import check_unicode
from cluscomp.server.core import Core
from cluscomp.server.limits import Limits
from cluscomp.server.posts import Facts, Posts, as_bytes
from cluscomp.server.problems import unknown_ids_are_not_found
from cluscomp.server.served import Served
from cluscomp.server.tree import tree_of_lists

if TYPE_CHECKING:
    from fastapi import FastAPI

MOST_MEMBERS = 100


def add_insight(api: "FastAPI", posts: Posts, core: Core) -> None:
    """Add map, map/{number}, tree and explain."""
    from fastapi.responses import Response

    def answer(value: Any) -> Any:
        return Response(as_bytes(value), media_type="application/json")

    @api.get("/v1/indexes/{name}/map", response_model=models.MapAnswer)
    async def lists(name: str) -> Any:
        """The lists of an index in two dimensions, by their centroids."""
        served = await core.served(name)
        return answer(await core.apart(lambda: served.once("map", cluster_map.cluster_map)))

    @api.get("/v1/indexes/{name}/map/{number}", response_model=models.MembersAnswer)
    async def one_list(
        name: str,
        number: Annotated[int, Limits(ge=0, le=2**31 - 1, strict=False)],
        tenant: models.Tenant | None = None,
    ) -> Any:
        """The first documents of a list, those of a tenant where the index has tenants."""
        served = await core.served(name)
        whose = parsing.whose_of(tenant)
        return answer(await core.apart(cluster_map.members, served, number, MOST_MEMBERS, whose))

    @api.get("/v1/indexes/{name}/tree", response_model=models.TreeAnswer)
    async def tree(name: str, tenant: models.Tenant | None = None) -> Any:
        """The lists of an index that hold rows as a tree, and the documents nearest to their centroids."""
        served = await core.served(name)
        whose = parsing.whose_of(tenant)
        if whose:  # not kept: there may be any number of tenants
            return answer(await core.apart(tree_of_lists, served, whose))
        return answer(await core.apart(lambda: served.once("tree", lambda one: tree_of_lists(one, whose))))

    async def explain(name: str, body: models.ExplainRequest, _: Facts) -> bytes:
        """Products of a query's token vectors with the stored vectors of a document."""
        served = await core.served(name)
        sides = await _sides(core, served, body)
        whose = parsing.whose_of(body.tenant)
        return as_bytes(await core.apart(heat.explained, served, check_unicode(body.id), sides, whose))

    posts.add("explain", explain, body=models.ExplainRequest, answer=models.ExplainAnswer)


async def _sides(core: Core, served: Served, body: models.ExplainRequest) -> heat.Sides:
    if (body.text is None) == (body.tokens_b64 is None):
        raise parsing.unfit("one of text and tokens_b64 is needed")
    if body.text is None:
        request = models.SearchRequest(tokens_b64=body.tokens_b64)
        return heat.given_side(parsing.dense_of(request, served, core.settings.max_queries))
    text = check_unicode(body.text)
    if not text.strip():
        raise InputError("the text is empty; give the words to search for")
    content = await core.apart(_content, served, check_unicode(body.id), parsing.whose_of(body.tenant))
    deadline = time.monotonic() + core.settings.timeout
    sides: heat.Sides = await core.encoders.call(
        served, lambda model: heat.encoded_sides(model, text, content), deadline
    )
    return sides


def _content(served: Served, name: str, whose: dict[str, Any]) -> str | None:
    """The stored text of a document, or None; blocks. Raises RequestRefusedError for an unknown id."""
    with unknown_ids_are_not_found():
        record = served.records([name], whose, missing="fail")[name]
    return None if record.text is None else f"{record.title or ''} {record.text}".strip()
