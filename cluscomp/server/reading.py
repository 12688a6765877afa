"""Routes that tell: health, counters, indexes, documents by id."""
# The framework reads annotations of routes as values: no `from __future__ import annotations` here.

from typing import TYPE_CHECKING, Any

from cluscomp.errors import RequestRefusedError
from cluscomp.server import models
from cluscomp.server.conditions import check_unicode
from cluscomp.server.core import Core
from cluscomp.server.parsing import unfit, whose_of
from cluscomp.server.posts import Facts, Posts, as_bytes
from cluscomp.server.problems import unknown_ids_are_not_found
from cluscomp.server.served import Served
from cluscomp.server.shown import shown_fields

if TYPE_CHECKING:
    from fastapi import FastAPI


_NOTHING = {"title": None, "text": None, "attributes": None, "vectors": None, "terms": None}


def add_reading(api: "FastAPI", posts: Posts, core: Core) -> None:
    """Add /health, /ready, /metrics, /v1/indexes and documents:get."""
    from fastapi.responses import PlainTextResponse, Response

    @api.get("/health", response_class=PlainTextResponse)
    async def health() -> str:
        """Whether the event loop is alive."""
        return "ok"

    @api.get("/ready", response_class=PlainTextResponse)
    async def ready() -> str:
        """Whether requests are taken."""
        if core.draining:
            raise RequestRefusedError("the server is about to end", 503, "draining")
        return "ready"

    @api.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Any:
        """Counters in the text form of Prometheus."""
        text, media_type = core.metrics.text()
        return Response(text, media_type=media_type)

    @api.get("/v1/indexes", response_model=models.IndexList)
    async def indexes() -> Any:
        """All served indexes."""
        states = core.registry.open_states()
        facts = await core.apart(lambda: [facts_of(core, served) for served in states])
        opened = {served.name for served in states}
        closed = [name for name in core.registry.names() if name not in opened]
        return {"indexes": facts, "closed": closed}

    @api.get("/v1/indexes/{name}", response_model=models.IndexFacts)
    async def one_index(name: str) -> Any:
        """What is known of an index."""
        served = await core.served(name)
        return await core.apart(facts_of, core, served)

    async def get(name: str, body: models.GetRequest, _: Facts) -> bytes:
        """Documents by id."""
        if len(body.ids) > core.settings.max_k:
            raise unfit(f"{len(body.ids)} ids, but this server gives at most {core.settings.max_k} documents")
        served = await core.served(name)
        found = await core.apart(documents, served, body)
        return as_bytes({"index": name, "generation": served.generation, "documents": found})

    posts.add("documents:get", get, body=models.GetRequest, answer=models.GetAnswer)


def facts_of(core: Core, served: Served) -> dict[str, Any]:
    """What `IndexFacts` says; blocks when first asked."""
    return {**served.facts, "takes_texts": core.encoders.takes_texts(served)}


def documents(served: Served, body: models.GetRequest) -> list[dict[str, Any]]:
    """Documents by id, in order; blocks. Raises RequestRefusedError for an id that is not there, UsageError
    where no tenant is said.
    """
    wanted = list(dict.fromkeys(check_unicode(one) for one in body.ids))
    with unknown_ids_are_not_found():
        found = shown_fields(served, wanted, body.include, whose_of(body.tenant), "fail")
    return [{"id": one, **_NOTHING, **found[one]} for one in body.ids]
