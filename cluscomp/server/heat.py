"""Why a document of several vectors is a hit: products of the query's vectors with the stored ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.arrays import normalize_rows
from cluscomp.encoders.hybrid import HybridEncoder
from cluscomp.errors import InputError, UsageError
from cluscomp.inputs.ids import ids_of_kind
from cluscomp.server.encoding import as_queries
from cluscomp.server.problems import unknown_ids_are_not_found
from cluscomp.server.searching import Queries
from cluscomp.server.served import Served


@dataclass(frozen=True)
class Sides:
    """Vectors and tokens of the query, and of the document's text.

    Tokens are None where the encoder does not tell them.
    """

    query: np.ndarray
    query_tokens: list[str] | None = None
    text: np.ndarray | None = None
    text_tokens: list[str] | None = None


def encoded_sides(model: Any, text: str, content: str | None) -> Sides:
    """Encode a query, and the text of a document again, whose stored vectors have no tokens any more."""
    model = model.vectors if isinstance(model, HybridEncoder) else model
    query = as_queries(model.encode_queries([text])).vectors
    if content is None:
        return Sides(query, tokens_of(model, text, "query", len(query)))
    vectors = as_queries(model.encode_documents([content])).vectors
    return Sides(
        query,
        tokens_of(model, text, "query", len(query)),
        vectors,
        tokens_of(model, content, "document", len(vectors)),
    )


def given_side(queries: Queries) -> Sides:
    """A query that came as vectors. Raises InputError for more than one."""
    if queries.n != 1:
        raise InputError(f"{queries.n} queries; one is explained at a time")
    return Sides(queries.vectors)


def tokens_of(model: Any, text: str, side: str, n: int) -> list[str] | None:
    """Words of the encoder's vocabulary behind n vectors, if the encoder tells them."""
    tell = getattr(model, "tokens", None)
    words: list[str] | None = None if tell is None else tell(text, side)
    return words if words is not None and len(words) == n else None


def explained(served: Served, name: str, sides: Sides, whose: dict[str, Any]) -> dict[str, Any]:
    """Products (query vectors, stored vectors), and the tokens nearest to each stored vector; blocks.

    whose: `tenant`, if one is said. Raises UsageError (one vector a document, codes without a way back, or no
    tenant said), RequestRefusedError (no such id).
    """
    index = served.dense
    stored = _stored(served, name, whose)
    query = normalize_rows(sides.query) if index.metric == "cosine" else sides.query
    products = query.astype(np.float32) @ stored.T
    best = products.argmax(axis=1)
    return {
        "index": served.name,
        "generation": served.generation,
        "id": name,
        "score": float(index.score(sides.query, ids_of_kind([name], index.id_kind), **whose)[0, 0]),
        "query": sides.query_tokens or [str(number) for number in range(len(query))],
        "vectors": _behind(sides, stored),
        "products": [[round(value, 5) for value in row] for row in products.tolist()],
        "best": best.tolist(),
    }


def _stored(served: Served, name: str, whose: dict[str, Any]) -> np.ndarray:
    if not served.several_vectors:
        raise UsageError(
            f"{served.name!r} stores one vector a document; only several can be compared by token"
        )
    index = served.dense
    with unknown_ids_are_not_found():
        vectors, _ = index.vectors(ids_of_kind([name], index.id_kind), **whose)
    found: np.ndarray = vectors
    return found


def _behind(sides: Sides, stored: np.ndarray) -> list[list[str]]:
    """Tokens of the text by the stored vector that is nearest to them, in order of the text."""
    behind: list[list[str]] = [[] for _ in range(len(stored))]
    if sides.text is not None and sides.text_tokens is not None:
        nearest = (sides.text @ stored.T).argmax(axis=1)
        for token, number in zip(sides.text_tokens, nearest.tolist(), strict=True):
            behind[number].append(token)
    return behind
