"""Exact search, over all documents or a part of them for each query: what losses are measured against."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from cluscomp.arrays import iter_blocks, normalize_rows, to_float32
from cluscomp.errors import IncompleteResultsWarning, SubsampleWarning
from cluscomp.eval.compare.collection import Vectors
from cluscomp.indexes.factory import index_factory
from cluscomp.multivector import Ragged, maxsim
from cluscomp.terms import HybridRows, TermRows

_BLOCK_BYTES = 1 << 27
Allowed = Callable[[slice], np.ndarray]
"""Queries of a slice -> boolean (queries, documents): which documents each of them may find."""


def exact_search(
    queries: Vectors,
    documents: Vectors,
    k: int,
    metric: str,
    *,
    allowed: Allowed | None = None,
    terms: str = "terms",
) -> tuple[np.ndarray, np.ndarray]:
    """Best k documents of each query in float32: scores, positions (nq, k), -inf and -1 where missing.

    queries: (nq, d), documents: (n, d), n >= k; or both ragged, when scores are MaxSim; or both terms, when
    they are BM25, with terms="sparse" inner products; or both forms, which are fused. metric: "ip", "cosine"
    or "l2" (negative squared distance). Equal scores are ordered by position.
    """
    if isinstance(documents, (TermRows, HybridRows)):
        return _by_index(queries, documents, k, metric, "Sparse(bm25)" if terms == "terms" else "Sparse")
    scores = np.empty((len(queries), k), dtype=np.float32)
    positions = np.empty((len(queries), k), dtype=np.int64)
    score = _maxsim if isinstance(documents, Ragged) else _products
    rows, wanted = _prepared(documents, metric), _prepared(queries, metric)
    for block in iter_blocks(len(queries), max(1, _BLOCK_BYTES // (4 * len(documents)))):
        values = score(wanted, rows, block, metric)
        if allowed is not None:
            values[~allowed(block)] = -np.inf
        scores[block], positions[block] = _best(values, k)
    return scores, positions


def _by_index(
    queries: Vectors, documents: TermRows | HybridRows, k: int, metric: str, key: str
) -> tuple[np.ndarray, np.ndarray]:
    """By an index that is exact. key: of the terms."""
    if isinstance(documents, TermRows):
        index: Any = index_factory(key, 1)
    else:
        vectors = "Flat" if documents.lengths is None else "Pool(f=1),Flat"
        index = index_factory(f"{vectors}+{key}", documents.vectors.shape[1], metric)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SubsampleWarning)
        index.train(documents)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IncompleteResultsWarning)
        found: tuple[np.ndarray, np.ndarray] = index.add(documents).search(queries, k)
    return found


def _products(queries: Any, rows: Any, block: slice, metric: str) -> np.ndarray:
    values = queries[block] @ rows.T
    if metric == "l2":
        values *= 2
        values -= np.einsum("ij,ij->i", rows, rows)
        values -= np.einsum("ij,ij->i", queries[block], queries[block])[:, None]
    return values


def _maxsim(queries: Any, documents: Any, block: slice, metric: str) -> np.ndarray:
    asked = queries.part(block)
    return maxsim(asked.rows, asked.lengths, documents.rows, documents.lengths)


def _prepared(x: Vectors, metric: str) -> Vectors:
    if isinstance(x, Ragged):
        return Ragged(normalize_rows(to_float32(x.rows)), x.offsets) if metric == "cosine" else x
    rows = np.asarray(x, dtype=np.float32)
    return normalize_rows(rows) if metric == "cosine" else rows


def _best(values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    # The k-th best value bounds the answer; ties with it are settled by position in the stable sort.
    if k < values.shape[1]:
        bound = np.partition(values, values.shape[1] - k, axis=1)[:, values.shape[1] - k]
    else:
        bound = values.min(axis=1)
    scores = np.full((len(values), k), -np.inf, dtype=np.float32)
    positions = np.full((len(values), k), -1, dtype=np.int64)
    for row, limit in enumerate(bound):
        found = np.flatnonzero(values[row] >= limit)
        order = np.argsort(-values[row, found], kind="stable")[:k]
        scores[row] = values[row, found[order]]
        positions[row] = np.where(np.isneginf(scores[row]), -1, found[order])
    return scores, positions
