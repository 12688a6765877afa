"""Which documents and queries a collection takes: where not all have room, by hashes of their names."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from cluscomp.demo.beir_folder import MadeDocument


def with_clear_queries(documents: Sequence[MadeDocument]) -> list[MadeDocument]:
    """The documents, without the queries that several of them would answer."""
    asked = Counter(document.query.casefold() for document in documents)
    return [d if asked[d.query.casefold()] == 1 else replace(d, query="") for d in documents]


def spread(documents: Iterable[MadeDocument], limit: int) -> list[MadeDocument]:
    """At most `limit` of the documents by the hash of the name, in the order of names."""
    by_hash = sorted(documents, key=lambda document: name_hash(document.name))
    return sorted(by_hash[: max(limit, 0)], key=lambda document: document.name)


def spread_asked_first(documents: Sequence[MadeDocument], limit: int) -> list[MadeDocument]:
    """The same; those that have a query come first."""
    chosen = spread((d for d in documents if d.query), limit)
    chosen += spread((d for d in documents if not d.query), limit - len(chosen))
    return sorted(chosen, key=lambda document: document.name)


def name_hash(name: str) -> bytes:
    """An order of names that means nothing and is the same everywhere."""
    return hashlib.sha256(name.encode()).digest()
