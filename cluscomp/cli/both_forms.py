"""Queries of hybrid indexes whose vectors come from a file: terms come from another, or from their texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cluscomp import errors
from cluscomp.cli.common import flag
from cluscomp.cli.queries import QuerySet, read_query_terms

if TYPE_CHECKING:
    from cluscomp.indexes.any_index import AnyIndex

QueryTerms = Annotated[
    Path | None,
    flag(
        "--query-terms",
        help="Of a hybrid index, weighted terms of the queries of --query-embeddings: .jsonl, .npz.",
    ),
]


def with_terms(vectors: QuerySet, terms: Path, *, named: bool) -> QuerySet:
    """Queries in both forms, of vectors and a file of terms. named: whether the vectors have ids of their
    own.

    Raises InputError and DimensionError where both are not of the same queries, and what reading raises.
    """
    from cluscomp.inputs.term_matrix import is_term_matrix

    found = read_query_terms(terms, None)
    own = None if is_term_matrix(terms) else found.ids
    ids = in_order(vectors, own, named, "rows of terms")
    return _joined(ids, vectors, found.vectors)


def with_texts(index: AnyIndex, vectors: QuerySet, queries: Sequence[Any], *, named: bool) -> QuerySet:
    """Queries in both forms, of vectors and their texts, which are split as those of the index were.

    Raises InputError and DimensionError where both are not of the same queries, UsageError where the index
    knows no encoder of its terms, and what encoding raises.
    """
    ids = in_order(vectors, [query.id for query in queries], named, "texts")
    return _joined(ids, vectors, _encoded(index, [query.text for query in queries]))


def with_texts_by_id(index: AnyIndex, vectors: QuerySet, texts: Mapping[str, str]) -> QuerySet:
    """As `with_texts`, texts by the ids of the queries. Raises InputError for one without a text."""
    missing = [name for name in vectors.ids if name not in texts]
    if missing:
        raise errors.InputError(
            f"{len(missing)} of {len(vectors.ids)} query vectors have no text, the first with the id "
            f"{missing[0]!r}; say the ids of the vectors with --query-ids, or pass --query-terms"
        )
    return _joined(vectors.ids, vectors, _encoded(index, [texts[name] for name in vectors.ids]))


def in_order(vectors: QuerySet, ids: Sequence[str] | None, named: bool, what: str) -> list[str]:
    """Ids of the queries, once both are found to be the same. ids: of the rows, None where they have none."""
    from cluscomp.inputs.in_step import in_step

    own = vectors.ids if named else None
    rows: list[Any] = [None] * len(vectors.ids) if ids is None else list(ids)
    list(in_step(rows, lambda name: (name,), ids=own, n=len(vectors.ids), what=what))
    return vectors.ids if ids is None else list(ids)


def _encoded(index: AnyIndex, texts: list[str]) -> Any:
    from cluscomp.encoders.remembered import remembered_words

    return remembered_words(index.encoder, "pass --query-terms FILE").encode_queries(texts)


def _joined(ids: list[str], vectors: QuerySet, terms: Any) -> QuerySet:
    from cluscomp.terms import HybridRows

    return QuerySet(ids, HybridRows(vectors.vectors, terms, vectors.lengths))
