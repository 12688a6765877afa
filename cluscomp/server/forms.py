"""The forms in which queries and documents come: texts, vectors, terms, or vectors beside one of the two."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from cluscomp.server import models, parsing
from cluscomp.server.conditions import check_unicode
from cluscomp.server.core import Core
from cluscomp.server.encoding import as_queries
from cluscomp.server.searching import Queries
from cluscomp.server.served import Served
from cluscomp.terms import HybridRows

MOST_DOCUMENTS = 100_000


async def queries_of(
    core: Core, served: Served, body: models.SearchRequest, texts: list[str] | None, deadline: float
) -> Queries:
    """Queries of a search. texts: of the body. Raises what parsing and encoding raise."""

    async def encoded() -> Queries:
        return await core.encoders.queries(served, texts or [], deadline)

    async def words() -> Any:
        return await core.encoders.terms(served, lambda one: one.encode_queries(texts), deadline)

    return await _rows(served, body, core.settings.max_queries, encoded, words)


async def documents_of(core: Core, served: Served, body: models.PutRequest) -> Queries:
    """Rows of documents. Raises what parsing and encoding raise."""
    parsing.check_forms(body, served)
    for text in body.texts or ():
        check_unicode(text)
    deadline = time.monotonic() + core.settings.timeout

    async def encoded() -> Queries:
        made = await core.encoders.call(served, lambda model: model.encode_documents(body.texts), deadline)
        return as_queries(made)

    async def words() -> Any:
        return await core.encoders.terms(served, lambda one: one.encode_documents(body.texts), deadline)

    return await _rows(served, body, MOST_DOCUMENTS, encoded, words)


async def _rows(
    served: Served,
    body: models.SearchRequest | models.PutRequest,
    most: int,
    encoded: Callable[[], Awaitable[Queries]],
    words: Callable[[], Awaitable[Any]],
) -> Queries:
    """Rows in the form that the index takes. encoded: makes all of the texts. words: makes terms of them."""
    has_terms = body.terms is not None
    if not parsing.given(body, parsing.VECTORS):
        return Queries(parsing.terms_of(body, served, most)) if has_terms else await encoded()
    if not parsing.given(body, parsing.WORDS):
        return parsing.vectors_of(body, served, most)
    dense = parsing.dense_of(body, served, most)
    terms = parsing.terms_of(body, served, most) if has_terms else await words()
    return Queries(HybridRows(dense.vectors, terms, dense.lengths))
