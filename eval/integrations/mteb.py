"""An index back-end for MTEB's search wrapper.

import mteb
from mteb.models import SearchEncoderWrapper
from cluscomp.eval.integrations.mteb import CluscompSearchIndex

model = mteb.get_model("sentence-transformers/all-MiniLM-L6-v2")
backend = CluscompSearchIndex("OPQ48,IVF64,PQ48", model=model)
mteb.evaluate(SearchEncoderWrapper(model, index_backend=backend), tasks=[...])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cluscomp.arrays import as_rows
from cluscomp.checks import one_of
from cluscomp.errors import NotTrainedError, UsageError
from cluscomp.indexes.any_index import AnyIndex
from cluscomp.indexes.factory import index_factory
from cluscomp.indexes.index import Index

METRICS = {"cosine": "cosine", "dot": "ip", "euclidean": "l2"}
"""Similarity, as sentence-transformers and MTEB name it -> metric of an index."""


def metric_of(similarity: Any) -> str:
    """Metric of an index for a similarity: "cosine", "dot", "euclidean", or an enum of these.

    Raises UnknownKeyError.
    """
    name = str(getattr(similarity, "value", similarity))
    return METRICS[one_of("similarity", name, METRICS)]


def single_vectors(index: AnyIndex) -> Index:
    """The index itself; UsageError where its documents are several vectors each, or words."""
    if not isinstance(index, Index):
        raise UsageError(
            f"the index {index.key!r} is for words or for several vectors a document, but here each document "
            "is one vector; take a key such as 'IVF256,SQ8'"
        )
    return index


class CluscompSearchIndex:
    """Back-end of `mteb.models.SearchEncoderWrapper` (IndexEncoderSearchProtocol) on a compressed index.

    index_key: of the index that is trained on and filled with each corpus. model: an MTEB model, whose
    similarity decides the metric; or metric: "cosine", "ip" or "l2". search_kwargs: of `Index.search`, such
    as {"nprobe": 16}. seed: of training.

    index: of the last corpus; MTEB clears it after its searches. bytes_per_document: all files of the last
    index over its documents, kept when it is cleared.

    Raises UnknownKeyError and UsageError at once; the errors of training when a corpus comes.
    """

    def __init__(
        self,
        index_key: str,
        *,
        model: Any = None,
        metric: str | None = None,
        search_kwargs: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        from cluscomp.indexes.keys.grammar import parse_key

        parse_key(index_key)
        if (model is None) == (metric is None):
            raise UsageError("give the model, whose similarity decides the metric, or the metric")
        self.index_key = index_key
        self.metric = metric or metric_of(model.mteb_model_meta.similarity_fn_name)
        self.search_kwargs = dict(search_kwargs or {})
        self.seed = seed
        self.index: Index | None = None
        self.bytes_per_document: float | None = None
        self._ids: list[str] = []

    def add_documents(self, embeddings: Any, idxs: Sequence[str]) -> None:
        """Add a corpus, or a part of it: embeddings (n, d) with n ids. The first part is trained on."""
        rows = as_rows(embeddings, name="embeddings")
        if self.index is None:
            made = index_factory(self.index_key, rows.shape[1], self.metric, seed=self.seed)
            self.index = single_vectors(made).train(rows)
        self.index.add(rows)
        self._ids += [str(name) for name in idxs]
        self.bytes_per_document = self.index.nbytes()["total"] / len(self.index)

    def search(
        self,
        embeddings: Any,
        top_k: int,
        similarity_fn: Callable[..., Any] | None = None,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        query_idx_to_id: Mapping[int, str] | None = None,
    ) -> tuple[list[list[float]], list[list[int]]]:
        """Scores and document numbers of the best top_k for each query (nq, d), missing hits left out.

        With top_ranked {query id: document ids} only those are ranked, by the scores of the index, and the
        numbers count within them. similarity_fn: not used, the index has its own. Raises NotTrainedError
        without documents.
        """
        if self.index is None:
            raise NotTrainedError("no documents were added; call add_documents first")
        queries = as_rows(embeddings, name="embeddings")
        if top_ranked is None:
            k = min(top_k, len(self.index))
            return _listed(*self.index.search(queries, k, **self.search_kwargs))
        if query_idx_to_id is None:
            raise UsageError("top_ranked needs query_idx_to_id, which says whose it is")
        return self._rerank(self.index, queries, top_k, top_ranked, query_idx_to_id)

    def clear(self) -> None:
        """Forget the corpus."""
        self.index = None
        self._ids = []

    def _rerank(
        self, index: Index, queries: np.ndarray, top_k: int, top_ranked: Mapping[str, Sequence[str]],
        names: Mapping[int, str],
    ) -> tuple[list[list[float]], list[list[int]]]:  # fmt: skip
        number_of = {name: number for number, name in enumerate(self._ids)}
        scores: list[list[float]] = []
        numbers: list[list[int]] = []
        everything: dict[str, Any] = {"nprobe": index.spec.nlist} if index.spec.partition is not None else {}
        for row in range(len(queries)):
            wanted = [number_of[name] for name in top_ranked.get(names[row], ())]
            found, positions = index.search(queries[row : row + 1], len(index), **everything)
            score_of = np.full(len(index), -np.inf, dtype=np.float32)
            score_of[positions[0]] = found[0]
            order: list[int] = np.argsort(-score_of[wanted], kind="stable")[:top_k].tolist() if wanted else []
            scores.append([float(score_of[wanted[place]]) for place in order])
            numbers.append(order)
        return scores, numbers


def _listed(scores: np.ndarray, positions: np.ndarray) -> tuple[list[list[float]], list[list[int]]]:
    found = [row >= 0 for row in positions]
    return (
        [row[keep].tolist() for row, keep in zip(scores, found, strict=True)],
        [row[keep].tolist() for row, keep in zip(positions, found, strict=True)],
    )
