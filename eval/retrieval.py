"""Quality, size and speed of an index on one set of judged queries."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from cluscomp import checks
from cluscomp.errors import DimensionError, EmptyInputError, UsageError
from cluscomp.eval.metrics import DEFAULT_METRICS, evaluate, parse_metrics
from cluscomp.eval.qrels import Qrels

_TIMED_QUERIES = 200
_WARM_UP_QUERIES = 10


class SearchableIndex(Protocol):
    """What `evaluate_index` needs; `nbytes()` and `code_bytes_per_document` are used when they are there."""

    def __len__(self) -> int: ...

    def search(self, queries: np.ndarray, k: int, **kwargs: Any) -> tuple[np.ndarray, Any]:
        """Scores (n, k), -inf where a hit is missing, and ids (n, k)."""
        ...


@dataclass(frozen=True)
class EvalReport:
    """Outcome of `evaluate_index`.

    metrics: averages over all judged queries. bytes_per_document: all parts of the index over its documents,
    None when the index does not tell. code_bytes_per_document: the codes alone. latency_*_ms: percentiles of
    single searches after warm-up. queries_per_second: one search with all queries at once, the median where
    it is repeated. n_queries: queries searched. k: results asked for. n_missing: results that the index could
    not deliver. run: {query id: {document id: score}}, which the metrics were made of.
    """

    metrics: dict[str, float]
    bytes_per_document: float | None
    code_bytes_per_document: float | None
    latency_p50_ms: float
    latency_p95_ms: float
    latency_p99_ms: float
    queries_per_second: float
    n_queries: int
    n_docs: int
    k: int
    n_missing: int
    run: dict[str, dict[str, float]] = field(default_factory=dict, repr=False, compare=False)


def evaluate_index(
    index: SearchableIndex,
    queries: np.ndarray,
    query_ids: Sequence[str],
    qrels: Qrels,
    *,
    k: int = 100,
    metrics: Sequence[str] = DEFAULT_METRICS,
    lengths: np.ndarray | None = None,
    search_kwargs: Mapping[str, Any] | None = None,
    ignore_identical_ids: bool = False,
    repeats: int = 1,
) -> EvalReport:
    """Search with all queries, score the results, and time single searches.

    queries: (n, dim), one row for each of `query_ids`; for a multi-vector index the vectors of all queries
    below each other, with lengths (n,), the number of each. k: results a query, at most len(index) are asked
    for; every cutoff of `metrics` must be within k. search_kwargs: passed to `index.search` (nprobe and the
    like). ignore_identical_ids: drop a hit whose document id equals the query id (then k + 1 hits are
    searched), as BEIR does for collections whose queries are documents (ArguAna, Quora). Off by default: ids
    of other collections may coincide by chance (scifact's do), and dropping those changes the figures.
    repeats: times that the search with all queries is timed.

    Latency: one query at a time, the first 200 after 10 for warm-up. Raises UsageError, DimensionError,
    EmptyInputError, and what `index.search` and `evaluate` raise.
    """
    asked = _Queries(queries, lengths)
    _check(index, asked, query_ids, k, metrics)
    kwargs = dict(search_kwargs or {})
    depth = min(k + ignore_identical_ids, len(index))
    elapsed = []
    for _ in range(max(1, repeats)):
        start = time.perf_counter()
        scores, ids = asked.search(index, 0, len(asked), depth, kwargs)
        elapsed.append(time.perf_counter() - start)
    drop_for = query_ids if ignore_identical_ids else None
    run = run_from_results(query_ids, scores, ids, limit=k, drop_for=drop_for)
    latencies = _latencies_ms(index, asked, depth, kwargs)
    p50, p95, p99 = np.percentile(latencies, [50, 95, 99]).tolist()
    return EvalReport(
        metrics=evaluate(run, qrels, metrics),
        bytes_per_document=_bytes_per_document(index),
        code_bytes_per_document=_as_float(getattr(index, "code_bytes_per_document", None)),
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        latency_p99_ms=p99,
        queries_per_second=len(query_ids) / float(np.median(elapsed)),
        n_queries=len(query_ids),
        n_docs=len(index),
        k=min(k, len(index)),
        n_missing=int(np.isneginf(scores).sum()),
        run=run,
    )


def run_from_results(
    query_ids: Sequence[str],
    scores: np.ndarray,
    ids: Any,
    *,
    limit: int | None = None,
    drop_for: Sequence[str] | None = None,
) -> dict[str, dict[str, float]]:
    """The run {query id: {document id as str: score}} of `index.search` results.

    scores: (n, k); ids: (n, k) int64 or str. Missing results (score -inf) are left out. drop_for: one id a
    query that is left out of its results. limit: results kept of each query.
    """
    run = {}
    for row, query_id in enumerate(query_ids):
        hits = {
            str(doc_id): float(score)
            for score, doc_id in zip(scores[row].tolist(), _listed(ids[row]), strict=True)
            if score != -np.inf
        }
        if drop_for is not None:
            hits.pop(str(drop_for[row]), None)
        run[query_id] = dict(list(hits.items())[:limit])
    return run


class _Queries:
    """Queries of one vector each, or of several where there are lengths."""

    def __init__(self, vectors: np.ndarray, lengths: Any) -> None:
        self._vectors = vectors
        self._ends = None if lengths is None else np.concatenate([[0], np.cumsum(lengths)])

    def __len__(self) -> int:
        return len(self._vectors) if self._ends is None else len(self._ends) - 1

    def search(
        self, index: SearchableIndex, start: int, stop: int, k: int, kwargs: dict[str, Any]
    ) -> tuple[np.ndarray, Any]:
        """Search with queries start to stop."""
        if self._ends is None:
            return index.search(self._vectors[start:stop], k, **kwargs)
        ends = self._ends[start : stop + 1]
        return index.search(self._vectors[ends[0] : ends[-1]], k, lengths=np.diff(ends), **kwargs)


def _check(
    index: SearchableIndex, queries: _Queries, query_ids: Sequence[str], k: int, metrics: Sequence[str]
) -> None:
    checks.integer("k", k, 1)
    for metric in parse_metrics(metrics):
        if metric.cutoff is not None and metric.cutoff > k:
            raise UsageError(f"metric {metric.name!r} needs {metric.cutoff} results, k is {k}; raise k")
    if len(queries) != len(query_ids):
        raise DimensionError(f"there are {len(query_ids)} query ids for {len(queries)} queries")
    if not len(queries):
        raise EmptyInputError("there are 0 queries, at least 1 is needed")
    if not len(index):
        raise EmptyInputError("the index holds 0 documents; add some before evaluating it")


def _latencies_ms(index: SearchableIndex, queries: _Queries, k: int, kwargs: dict[str, Any]) -> np.ndarray:
    for row in range(min(_WARM_UP_QUERIES, len(queries))):
        queries.search(index, row, row + 1, k, kwargs)
    times = []
    for row in range(min(_TIMED_QUERIES, len(queries))):
        start = time.perf_counter()
        queries.search(index, row, row + 1, k, kwargs)
        times.append(1e3 * (time.perf_counter() - start))
    return np.array(times)


def _bytes_per_document(index: SearchableIndex) -> float | None:
    nbytes = getattr(index, "nbytes", None)
    if not callable(nbytes):
        return None
    parts = nbytes()
    return float(parts["total"] if "total" in parts else sum(parts.values())) / len(index)


def _as_float(value: Any) -> float | None:
    return None if value is None else float(value)


def _listed(row: Any) -> list[Any]:
    return list(row.tolist()) if isinstance(row, np.ndarray) else list(row)
