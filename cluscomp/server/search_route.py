"""The route that searches."""

from __future__ import annotations

import time
from typing import Any

from cluscomp.server import models, parsing
from cluscomp.server.core import Core
from cluscomp.server.forms import queries_of
from cluscomp.server.posts import Facts, Posts, as_bytes
from cluscomp.server.searching import Found
from cluscomp.server.served import Served
from cluscomp.server.shown import shown_fields


def add_search(posts: Posts, core: Core) -> None:
    """Add POST /v1/indexes/{name}/search."""

    async def search(name: str, body: models.SearchRequest, facts: Facts) -> bytes:
        """Find the best documents of each query."""
        return await searched(core, name, body, facts)

    posts.add(
        "search", search, body=models.SearchRequest, answer=models.SearchAnswer, admitted=core.room.entered
    )


async def searched(core: Core, name: str, body: models.SearchRequest, facts: Facts) -> bytes:
    """The answer to a search as JSON. facts: what the log says of the request."""
    began, settings = time.monotonic(), core.settings
    served = await core.served(name)
    asked = settings.timeout if body.timeout_ms is None else min(body.timeout_ms / 1000, settings.timeout)
    deadline = began + asked
    k = parsing.check_k(body, settings)
    options = parsing.options_of(body, served)
    parsing.check_forms(body, served)
    texts = parsing.texts_of(body, settings)
    queries = await queries_of(core, served, body, texts, deadline)
    encoded = time.monotonic() - began if texts is not None else 0.0
    found = await core.searcher.search(served, queries, k, options, deadline)
    facts |= {"index": name, "queue_ms": _ms(found.queued), "batch": found.batch}
    if settings.log_queries and texts is not None:
        facts["texts"] = texts
    names = [_names(row, scores) for row, scores in zip(found.ids, found.scores, strict=True)]
    stored = await core.apart(_stored, served, names, body) if body.include else {}
    return _answer(served, found, encoded, names, stored, options)


def _stored(served: Served, names: list[list[str]], body: models.SearchRequest) -> dict[str, dict[str, Any]]:
    """What a hit shows besides id and score, by id; blocks."""
    ids = sorted({one for row in names for one in row})
    shown = shown_fields(served, ids, body.include, parsing.whose_of(body.tenant))
    return {one: shown.get(one, {}) for one in ids}


def _names(ids: Any, scores: Any) -> list[str]:
    """Ids of the hits of a query, without the places that stayed empty."""
    return [
        str(one) for one, score in zip(ids.tolist(), scores.tolist(), strict=True) if score != -float("inf")
    ]


def _answer(
    served: Served,
    found: Found,
    encoded: float,
    names: list[list[str]],
    stored: dict[str, dict[str, Any]],
    options: dict[str, Any],
) -> bytes:
    complete, probed = coverage(served, options)
    results = []
    for number, (row, scores) in enumerate(zip(names, found.scores.tolist(), strict=True)):
        hits = [{"id": one, "score": score} for one, score in zip(row, scores, strict=False)]
        if found.probed is not None and found.complete is not None:
            complete = bool(found.complete[number])
            probed = None if served.index.spec.partition is None else int(found.probed[number])
        for hit in hits if stored else ():
            hit |= stored[hit["id"]]
        results.append({"found": len(hits), "complete": complete, "probed": probed, "hits": hits})
    answer = {
        "index": served.name,
        "generation": served.generation,
        "took_ms": _ms(found.searched),
        "queue_ms": _ms(found.queued),
        "encode_ms": _ms(encoded),
        "batch": found.batch,
        "results": results,
    }
    return as_bytes(answer)


def coverage(served: Served, options: dict[str, Any]) -> tuple[bool, int | None]:
    """Whether a search with these options scores every row, and the lists that it visits."""
    index = served.index
    if index.spec.partition is None:
        return not index.spec.codec.approximate, None
    probed = int(options.get("nprobe", index.nprobe))
    return not index.spec.sums_tokens and probed >= index.spec.nlist, probed


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
