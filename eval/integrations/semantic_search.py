"""sentence-transformers' `util.semantic_search` on a compressed index, one vector or several a text.

from cluscomp.eval.integrations.semantic_search import semantic_search

hits = semantic_search(query_embeddings, corpus_embeddings, top_k=10)  # exact, as util.semantic_search
hits = semantic_search(query_embeddings, cluscomp.open_index("folder"), top_k=10)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.array_forms import as_numpy
from cluscomp.errors import UsageError
from cluscomp.eval.integrations.embeddings import on_cpu, token_matrices
from cluscomp.indexes.base import StoredIndex
from cluscomp.indexes.factory import index_factory
from cluscomp.indexes.index import open_index
from cluscomp.indexes.kind import kind_of

METRICS = {"cos_sim": "cosine", "pytorch_cos_sim": "cosine", "dot_score": "ip", "maxsim": "ip"}
"""Functions of `sentence_transformers.util` -> metric of an index with the same scores."""


def semantic_search(
    query_embeddings: Any,
    corpus_embeddings: Any,
    query_chunk_size: int = 100,
    corpus_chunk_size: int = 500_000,
    top_k: int = 10,
    score_function: Callable[..., Any] | str | None = None,
    *,
    index_key: str | None = None,
    search_kwargs: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> list[list[dict[str, Any]]]:
    """The best top_k entries of a corpus for each query: [[{"corpus_id", "score"}, ...], ...], best first.

    query_embeddings: (nq, d) or (d,), NumPy or torch on any device. corpus_embeddings: (n, d), numbered from
    0; or an index, or the folder of one, built before: then corpus_id is the id in the index. Where texts
    have several vectors each (MultiVectorEncoder), both are lists of (t_i, d) arrays or tensors, or arrays
    (n, t, d), and scores are MaxSim; queries may be (t, d) for a single one.

    score_function: `cos_sim`, `dot_score` or `maxsim` of sentence_transformers.util, or their names; None is
    cos_sim, maxsim for several vectors, and the metric of an index that was built before. index_key: of the
    index made of embeddings (default "Flat", "Pool(f=1),Flat" for several vectors: exact). search_kwargs: of
    its `search`. The chunk sizes are accepted in their places; blocks are chosen inside.

    Raises UsageError (another function; top_k below 1; an index with another metric), DimensionError,
    NonFiniteError, DTypeError.
    """
    top_k = checks.integer("top_k", top_k, 1)
    index = corpus_embeddings
    if isinstance(index, (str, os.PathLike)):
        index = open_index(index)
    if isinstance(index, StoredIndex):
        _require_same(index, score_function)
    else:
        index = _built(corpus_embeddings, score_function, index_key, seed)
    several = kind_of(index.spec).ragged
    queries = token_matrices(query_embeddings) if several else _matrix(query_embeddings)
    if not len(index):
        return [[] for _ in range(len(queries))]
    scores, ids = index.search(queries, min(top_k, len(index)), **dict(search_kwargs or {}))
    found = np.isfinite(scores)
    return [
        [{"corpus_id": n, "score": s} for n, s in zip(names[keep].tolist(), row[keep].tolist(), strict=True)]
        for names, row, keep in zip(ids, scores, found, strict=True)
    ]


def _built(corpus: Any, score_function: Any, index_key: str | None, seed: int) -> Any:
    several = _has_several_vectors(corpus)
    rows = token_matrices(corpus) if several else _matrix(corpus)
    dim = int((rows[0] if several else rows).shape[-1])
    metric = _metric(score_function) or ("ip" if several else "cosine")
    key = index_key or ("Pool(f=1),Flat" if several else "Flat")
    index = index_factory(key, dim, metric, seed=seed)
    if kind_of(index.spec).ragged != several:
        raise UsageError(
            f"index key {key!r} is for {'one vector' if several else 'several vectors'} a text, but each "
            f"text of the corpus has {'several' if several else 'one'}; keys of several begin with a pool"
        )
    index.train(rows)
    return index.add(rows)


def _has_several_vectors(corpus: Any) -> bool:
    """Whether each text is a matrix: in an array of three dimensions, or in a list of matrices."""
    first = corpus[0] if isinstance(corpus, (list, tuple)) and corpus else corpus
    if hasattr(first, "ndim"):
        return bool(first.ndim == (2 if first is not corpus else 3))
    return np.ndim(first) == 2 if isinstance(first, (list, tuple)) and first is not corpus else False


def _matrix(embeddings: Any) -> np.ndarray:
    """Embeddings, one vector a text, as one matrix."""
    return as_numpy(on_cpu(embeddings), "embeddings")


def _metric(score_function: Any) -> str | None:
    if score_function is None:
        return None
    name = str(getattr(score_function, "__name__", score_function))
    return METRICS[checks.one_of("score_function", name, METRICS)]


def _require_same(index: StoredIndex[Any], score_function: Any) -> None:
    metric = _metric(score_function)
    if metric not in (None, index.metric):
        raise UsageError(
            f"the index was built for metric {index.metric!r}, but score_function asks for {metric!r}; leave "
            "score_function out, or build the index with that metric"
        )
