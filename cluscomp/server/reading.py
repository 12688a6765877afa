"""Routes that tell: health, counters, indexes, documents by id."""
# The framework reads annotations of routes as values: no `from __future__ import annotations` here.

from typing import TYPE_CHECKING, Any

import numpy as np

from cluscomp.errors import InputError, RequestRefusedError
from cluscomp.indexes.records import Record
from cluscomp.inputs.ids import ids_of_kind
from cluscomp.server import models
from cluscomp.server.conditions import check_unicode
from cluscomp.server.core import Core
from cluscomp.server.parsing import unfit, whose_of
from cluscomp.server.posts import Facts, Posts, as_bytes
from cluscomp.server.served import Served, as_json

if TYPE_CHECKING:
    from fastapi import FastAPI


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
        facts = await core.apart(lambda: [served.facts for served in states])
        opened = {served.name for served in states}
        closed = [name for name in core.registry.names() if name not in opened]
        return {"indexes": facts, "closed": closed}

    @api.get("/v1/indexes/{name}", response_model=models.IndexFacts)
    async def one_index(name: str) -> Any:
        """What is known of an index."""
        served = await core.served(name)
        return await core.apart(lambda: served.facts)

    async def get(name: str, body: models.GetRequest, _: Facts) -> bytes:
        """Documents by id."""
        if len(body.ids) > core.settings.max_k:
            raise unfit(f"{len(body.ids)} ids, but this server gives at most {core.settings.max_k} documents")
        served = await core.served(name)
        found = await core.apart(documents, served, body)
        return as_bytes({"index": name, "generation": served.generation, "documents": found})

    posts.add("documents:get", get, body=models.GetRequest, answer=models.GetAnswer)


def documents(served: Served, body: models.GetRequest) -> list[dict[str, Any]]:
    """Documents by id, in order; blocks. Raises RequestRefusedError for an id that is not there, UsageError
    where no tenant is said.
    """
    ids, include = body.ids, body.include
    wanted = list(dict.fromkeys(check_unicode(one) for one in ids))
    try:
        known = ids_of_kind(wanted, served.index.id_kind)
        found = served.index.get(known, vectors="vector" in include, **whose_of(body.tenant))
    except InputError as exc:
        raise RequestRefusedError(str(exc), 404, "unknown-id") from exc
    by_id = {one: _shown(one, record, include) for one, record in zip(wanted, found, strict=True)}
    return [by_id[one] for one in ids]


def _shown(name: str, record: Record, include: Any) -> dict[str, Any]:
    """A document as it is sent."""
    title, text = (record.title, record.text) if "text" in include else (None, None)
    vector = record.vector
    return {
        "id": name,
        "title": title,
        "text": text,
        "attributes": as_json(record.attributes) if "attributes" in include else None,
        "vectors": np.atleast_2d(vector).tolist() if isinstance(vector, np.ndarray) else None,
        "terms": vector if isinstance(vector, dict) else None,
    }
