"""Routes that change an index; without an admin token the server does not have them."""

from __future__ import annotations

from typing import Any

from cluscomp.errors import DimensionError
from cluscomp.inputs.ids import ids_of_kind
from cluscomp.server import models, parsing
from cluscomp.server.conditions import check_unicode, filter_text, filter_value
from cluscomp.server.core import Core
from cluscomp.server.forms import documents_of
from cluscomp.server.posts import Facts, Posts, as_bytes
from cluscomp.server.problems import unknown_ids_are_not_found
from cluscomp.server.searching import Queries
from cluscomp.server.served import Served
from cluscomp.server.writing import Change, WriterThread


def add_changes(posts: Posts, core: Core) -> None:
    """Add documents, documents:delete, refresh and compact."""
    writer = WriterThread(core.registry)
    core.at_end(writer.close)

    async def changed(name: str, change: Change) -> bytes:
        await core.served(name)
        return as_bytes(await writer.change(name, change))

    async def put(name: str, body: models.PutRequest, _: Facts) -> bytes:
        """Add documents, or put them in the place of those that have their ids."""
        rows = await _rows(core, await core.served(name), body)
        return await changed(name, lambda index: _put(index, body, rows))

    async def delete(name: str, body: models.DeleteRequest, _: Facts) -> bytes:
        """Delete documents, by id or by a condition on attributes: all of them, or none."""
        chosen = _chosen(body)
        return await changed(name, lambda index: _delete(index, body, chosen))

    async def refresh(name: str, _: None, __: Facts) -> bytes:
        """Serve the newest state of the folder at once."""
        return await changed(name, lambda index: (0, 0))

    async def compact(name: str, body: models.CompactRequest, _: Facts) -> bytes:
        """Merge segments and drop deleted documents; every search finds what it found before."""
        return await changed(name, lambda index: _compact(index, body))

    posts.add("documents", put, body=models.PutRequest, answer=models.Changed, admin=True)
    posts.add("documents:delete", delete, body=models.DeleteRequest, answer=models.Changed, admin=True)
    posts.add("refresh", refresh, body=None, answer=models.Changed, admin=True)
    posts.add("compact", compact, body=models.CompactRequest, answer=models.Changed, admin=True)


async def _rows(core: Core, served: Served, body: models.PutRequest) -> Queries:
    rows = await documents_of(core, served, body)
    if rows.n != len(body.ids):
        raise DimensionError(f"{len(body.ids)} ids, but {rows.n} documents; each needs one")
    return rows


def _put(index: Any, body: models.PutRequest, rows: Queries) -> tuple[int, int]:
    """Texts are stored where the index stores some."""
    names = ids_of_kind([check_unicode(one) for one in body.ids], index.id_kind)
    belonging: dict[str, Any] = {} if rows.lengths is None else {"lengths": rows.lengths}
    if body.texts is not None and index.has_texts:
        belonging["documents"] = body.texts
    replaced = index.upsert(rows.vectors, names, attributes=body.attributes, **belonging)
    return len(names), replaced


def _chosen(body: models.DeleteRequest) -> dict[str, Any]:
    """Which documents a deletion takes, as `delete` has it but for ids. Raises RequestRefusedError."""
    if (body.ids is None) == (body.filter is None):
        raise parsing.unfit("one of ids and filter is needed")
    tenant = None if body.tenant is None else check_unicode(body.tenant)
    if body.filter is None:
        return {"tenant": tenant, "missing": body.missing}
    return {"tenant": tenant, "filter": filter_value(filter_text(body.filter))}


def _delete(index: Any, body: models.DeleteRequest, chosen: dict[str, Any]) -> tuple[int, int]:
    if body.ids is None:
        return index.delete(**chosen), 0
    with unknown_ids_are_not_found():
        names = ids_of_kind([check_unicode(one) for one in body.ids], index.id_kind)
        return index.delete(names, **chosen), 0


def _compact(index: Any, body: models.CompactRequest) -> tuple[int, int]:
    index.compact(segments=body.segments, dead=body.dead)
    return 0, 0
