"""A collection as a comparison searches it: one vector or several of each text, and judgements."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.errors import DimensionError
from cluscomp.eval.qrels import Qrels
from cluscomp.multivector import Ragged

Vectors = np.ndarray | Ragged
"""(n, d) float32, one vector a text; or token vectors of all texts, float32 or float16."""


@dataclass(frozen=True)
class Collection:
    """A dataset as it is searched.

    documents, queries: both of one vector a text, or both of several. qrels: judgements, None where there are
    none. fingerprint: of everything above. flags: of `cluscomp build-index` for the same documents.
    eval_flags: of `cluscomp eval`.
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

    @property
    def multi(self) -> bool:
        """Whether a document is several vectors."""
        return isinstance(self.documents, Ragged)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.documents.dim if isinstance(self.documents, Ragged) else self.documents.shape[1])

    @property
    def vectors_per_document(self) -> float:
        """Mean number of vectors of a document, 1 without token vectors."""
        return len(rows_of(self.documents)) / len(self.documents)


def rows_of(vectors: Vectors) -> np.ndarray:
    """The matrix, which of token vectors has the rows of all texts below each other."""
    return vectors.rows if isinstance(vectors, Ragged) else vectors


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
    dims = rows_of(documents).shape[1], rows_of(queries).shape[1]
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
        parts = (vectors.rows, vectors.offsets) if isinstance(vectors, Ragged) else (vectors,)
        for array in parts:
            digest.update(str(array.shape).encode())
            digest.update(np.ascontiguousarray(array).data)
    digest.update(repr((ids.tolist(), query_ids, qrels)).encode())
    return digest.hexdigest()
