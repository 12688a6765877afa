"""A collection as a comparison searches it: one vector or several of each text, and judgements."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cluscomp.errors import DimensionError
from cluscomp.eval.compare.config import Form
from cluscomp.eval.qrels import Qrels
from cluscomp.multivector import Ragged
from cluscomp.terms import HybridRows, TermRows

Vectors = np.ndarray | Ragged | TermRows | HybridRows
"""(n, d) float32, one vector a text; token vectors of all texts, float32 or float16; terms; or both."""


@dataclass(frozen=True)
class Collection:
    """A dataset as it is searched.

    documents, queries: of one form. terms: "terms" where terms are counted words, "sparse" where weights
    are those of a model. qrels: judgements, None where there are
    none. fingerprint: of everything above. flags: of `cluscomp build-index` for the same documents.
    eval_flags: of `cluscomp eval`. elsewhere: gives the collection on whose documents what is trained is
    trained a second time (elsewhere.py), or None.
    """

    name: str
    metric: str
    document_ids: np.ndarray
    documents: Vectors
    query_ids: list[str]
    queries: Vectors
    qrels: Qrels | None
    fingerprint: str
    split: str | None = None
    flags: str = ""
    eval_flags: str = ""
    encoder: str | None = None
    terms: str = "terms"
    elsewhere: Callable[[], Collection] | None = field(default=None, compare=False, repr=False)

    @property
    def form(self) -> Form:
        """What a document is."""
        if isinstance(self.documents, TermRows):
            return self.terms
        if isinstance(self.documents, HybridRows):
            return f"{'dense' if self.documents.lengths is None else 'tokens'}+{self.terms}"
        return "tokens" if isinstance(self.documents, Ragged) else "dense"

    @property
    def dim(self) -> int:
        """Length of a vector; 1 of words, which have none."""
        return _dim(self.documents)

    @property
    def vectors_per_document(self) -> float:
        """Mean number of vectors of a document, 1 without token vectors."""
        rows = self.documents.vectors if isinstance(self.documents, HybridRows) else rows_of(self.documents)
        return len(rows) / len(self.documents)


def rows_of(vectors: Vectors) -> Any:
    """The matrix, which of token vectors has the rows of all texts below each other; words as they are."""
    return vectors.rows if isinstance(vectors, Ragged) else vectors


def _dim(vectors: Vectors) -> int:
    if isinstance(vectors, TermRows):
        return 1
    if isinstance(vectors, HybridRows):
        return int(vectors.vectors.shape[1])
    return int(vectors.dim if isinstance(vectors, Ragged) else vectors.shape[1])


def make_collection(
    name: str,
    documents: Vectors,
    ids: Any,
    queries: Vectors,
    query_ids: Any,
    qrels: Qrels | None,
    *,
    metric: str,
) -> Collection:
    """A collection in memory: documents with n ids, queries with nq ids, of one or of several vectors each.

    Raises DimensionError where they do not belong together.
    """
    dims = _dim(documents), _dim(queries)
    if dims[0] != dims[1]:
        raise DimensionError(
            f"dataset {name!r}: documents have dim {dims[0]}, queries {dims[1]}; "
            "both must come from one model"
        )
    column, names = _text_ids(ids), [str(query_id) for query_id in query_ids]
    return Collection(
        name=name,
        metric=metric,
        document_ids=column,
        documents=documents,
        query_ids=names,
        queries=queries,
        qrels=qrels,
        fingerprint=_fingerprint(documents, queries, column, names, qrels, metric),
    )


def _text_ids(ids: Any) -> np.ndarray:
    column = np.empty(len(ids), dtype=object)
    column[:] = [str(name) for name in ids]
    return column


def _fingerprint(
    documents: Vectors, queries: Vectors, ids: np.ndarray, query_ids: list[str], qrels: Qrels | None,
    metric: str,
) -> str:  # fmt: skip
    digest = hashlib.blake2b(metric.encode(), digest_size=16)
    for vectors in (documents, queries):
        for array in _arrays(vectors):
            digest.update(str(array.shape).encode())
            digest.update(np.ascontiguousarray(array).data)
        terms = vectors.terms if isinstance(vectors, HybridRows) else vectors
        if isinstance(terms, TermRows):
            digest.update("\0".join(terms.names).encode())
    digest.update(repr((ids.tolist(), query_ids, qrels)).encode())
    return digest.hexdigest()


def _arrays(vectors: Vectors) -> tuple[np.ndarray, ...]:
    if isinstance(vectors, HybridRows):
        lengths = () if vectors.lengths is None else (np.asarray(vectors.lengths),)
        return vectors.vectors, *lengths, *_arrays(vectors.terms)
    if isinstance(vectors, TermRows):
        return vectors.offsets, vectors.numbers, vectors.weights
    return (vectors.rows, vectors.offsets) if isinstance(vectors, Ragged) else (vectors,)
