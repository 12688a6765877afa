"""Routes that change an index; without an admin token the server does not have them."""
# The framework reads annotations of routes as values: no `from __future__ import annotations` here.

import time
from typing import TYPE_CHECKING, Any

from cluscomp.errors import DimensionError, RequestRefusedError
from cluscomp.inputs.ids import ids_of_kind
from cluscomp.server import models, parsing
from cluscomp.server.conditions import check_unicode
from cluscomp.server.core import Core
from cluscomp.server.encoding import as_queries
from cluscomp.server.searching import Queries
from cluscomp.server.served import Served
from cluscomp.server.writing import WriterThread

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

MOST_DOCUMENTS = 100_000


def add_changes(api: "FastAPI", core: Core) -> None:
    """Add documents, documents:delete, refresh and compact."""
    from fastapi import Depends, Request

    writer = WriterThread(core.registry)
    core.at_end(writer.close)

    async def admin(request: Request) -> None:
        """Raises RequestRefusedError unless the request has the admin token."""
        _require_admin(request)

    only_admin: Any = [Depends(admin)]

    @api.post("/v1/indexes/{name}/documents", response_model=models.Changed, dependencies=only_admin)
    async def put(name: str, body: models.PutRequest) -> Any:
        """Add documents, or put them in the place of those that have their ids."""
        served = await core.served(name)
        rows = await _rows(core, served, body)
        return await writer.change(name, lambda index: _put(index, body, rows))

    @api.post("/v1/indexes/{name}/documents:delete", response_model=models.Changed, dependencies=only_admin)
    async def delete(name: str, body: models.DeleteRequest) -> Any:
        """Delete documents: all of them, or none."""
        await core.served(name)
        return await writer.change(name, lambda index: _delete(index, body))

    @api.post("/v1/indexes/{name}/refresh", response_model=models.Changed, dependencies=only_admin)
    async def refresh(name: str) -> Any:
        """Serve the newest state of the folder at once."""
        await core.served(name)
        return await writer.change(name, lambda index: (0, 0))

    @api.post("/v1/indexes/{name}/compact", response_model=models.Changed, dependencies=only_admin)
    async def compact(name: str, body: models.CompactRequest) -> Any:
        """Merge segments and drop deleted documents; every search finds what it found before."""
        await core.served(name)
        return await writer.change(name, lambda index: _compact(index, body))


def _require_admin(request: "Request") -> None:
    facts = request.scope["cluscomp"]
    if facts.get("admin"):
        return
    if facts.get("token"):
        raise RequestRefusedError("the admin token is needed for changes", 403, "token")
    raise RequestRefusedError("the admin token is needed: Authorization: Bearer TOKEN", 401, "token")


async def _rows(core: Core, served: Served, body: models.PutRequest) -> Queries:
    names = ("texts", "vectors", "vectors_b64", "tokens_b64")
    given = [name for name in names if getattr(body, name) is not None]
    if len(given) != 1:
        raise parsing.unfit(f"one of {', '.join(names)} is needed, and {len(given)} are given")
    if body.texts is None:
        rows = parsing.vectors_of(body, served, MOST_DOCUMENTS)
    else:
        rows = await _encoded(core, served, body.texts)
    if rows.n != len(body.ids):
        raise DimensionError(f"{len(body.ids)} ids, but {rows.n} documents; each needs one")
    return rows


async def _encoded(core: Core, served: Served, texts: list[str]) -> Queries:
    for text in texts:
        check_unicode(text)
    deadline = time.monotonic() + core.settings.timeout
    encoded = await core.encoders.call(served, lambda model: model.encode_documents(texts), deadline)
    return as_queries(encoded)


def _put(index: Any, body: models.PutRequest, rows: Queries) -> tuple[int, int]:
    """Texts are stored where the index stores some."""
    names = ids_of_kind([check_unicode(one) for one in body.ids], index.id_kind)
    belonging: dict[str, Any] = {} if rows.lengths is None else {"lengths": rows.lengths}
    if body.texts is not None and index.has_texts:
        belonging["documents"] = body.texts
    replaced = index.upsert(rows.vectors, names, attributes=body.attributes, **belonging)
    return len(names), replaced


def _delete(index: Any, body: models.DeleteRequest) -> tuple[int, int]:
    names = ids_of_kind([check_unicode(one) for one in body.ids], index.id_kind)
    tenant = None if body.tenant is None else check_unicode(body.tenant)
    return index.delete(names, missing=body.missing, tenant=tenant), 0


def _compact(index: Any, body: models.CompactRequest) -> tuple[int, int]:
    index.compact(segments=body.segments, dead=body.dead)
    return 0, 0
