"""One row: quality, size, speed, losses and balance of a stored index at one setting of its search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cluscomp.eval.compare.adapter import Opened
from cluscomp.eval.compare.collection import Collection, rows_of
from cluscomp.eval.compare.exact import exact_search
from cluscomp.eval.compare.late_losses import split_late_losses
from cluscomp.eval.compare.losses import LossSplit, split_losses
from cluscomp.eval.compare.results import Row
from cluscomp.eval.metrics import Run, evaluate
from cluscomp.eval.paired import compare_runs
from cluscomp.eval.qrels import Qrels
from cluscomp.eval.retrieval import EvalReport, evaluate_index, run_from_results
from cluscomp.indexes.describe import list_balance
from cluscomp.multivector import Ragged

MARGIN = 0.01
NEIGHBOURS = 10
EXACT_RECALL = f"exact_recall@{NEIGHBOURS}"
CAUSES = ("pooling", "coarse", "quantization", "rerank")


def with_missing(ids: np.ndarray) -> np.ndarray:
    """Ids and one None, which -1, the number of a missing hit, takes as the last."""
    longer = np.empty(len(ids) + 1, dtype=object)
    longer[:-1], longer[-1] = ids, None
    return longer


class Named:
    """An opened index whose hits carry the ids of the collection."""

    def __init__(self, opened: Opened, ids: np.ndarray) -> None:
        self._opened = opened
        self._ids = with_missing(ids)

    def __len__(self) -> int:
        return len(self._ids) - 1

    def search(self, queries: np.ndarray, k: int, **parameters: Any) -> tuple[np.ndarray, np.ndarray]:
        """Scores and ids (nq, k)."""
        scores, positions = self._opened.search(queries, k, **parameters)
        return scores, self._ids[positions]


@dataclass(frozen=True)
class Yardstick:
    """The uncompressed search of a collection: what every row is compared with.

    neighbours: the exact 10 nearest documents of each query as judgements of level 1. pooled: for
    `split_late_losses`.
    """

    collection: Collection
    k: int
    run: Run
    neighbours: Qrels
    values: dict[str, float]
    pooled: dict[Any, dict[str, float]] = field(default_factory=dict)

    @property
    def qrels(self) -> Qrels:
        """Judgements; the exact neighbours where nobody judged."""
        return self.neighbours if self.collection.qrels is None else self.collection.qrels

    @property
    def metrics(self) -> tuple[str, ...]:
        """Judged measures."""
        return () if self.collection.qrels is None else judged_metrics(self.k)

    def measure(self, scores: np.ndarray, positions: np.ndarray) -> dict[str, float]:
        """The measures whose losses are split."""
        ids = with_missing(self.collection.document_ids)[positions]
        return self.values_of(run_from_results(self.collection.query_ids, scores, ids))

    def values_of(self, run: Run) -> dict[str, float]:
        """nDCG@10 where there are judgements, and recall of the exact neighbours."""
        recall = evaluate(run, self.neighbours, (f"recall@{NEIGHBOURS}",))
        judged = evaluate(run, self.collection.qrels, ("ndcg@10",)) if self.collection.qrels else {}
        return {**judged, EXACT_RECALL: next(iter(recall.values()))}


def judged_metrics(k: int) -> tuple[str, ...]:
    """Columns of judged quality for k results a query."""
    return ("ndcg@10", f"recall@{k}", "mrr@10")


def yardstick(collection: Collection, k: int) -> Yardstick:
    """Search a collection exactly, without compression."""
    n = len(collection.documents)
    depth = min(max(k, NEIGHBOURS), n)
    scores, positions = exact_search(
        collection.queries, collection.documents, depth, collection.metric, terms=collection.terms
    )
    ids, k = collection.document_ids[positions], min(k, n)
    run = run_from_results(collection.query_ids, scores, ids, limit=k)
    nearest = {
        name: dict.fromkeys(row[:NEIGHBOURS], 1) for name, row in zip(collection.query_ids, ids, strict=True)
    }
    blank = Yardstick(collection, k, run, nearest, {})
    return replace(blank, values=blank.values_of(run))


def measure_row(opened: Opened, exact: Yardstick, k: int, parameters: dict[str, int], repeats: int) -> Row:
    """Measured columns of a row."""
    collection = exact.collection
    queries = collection.queries
    report = evaluate_index(
        Named(opened, collection.document_ids),
        rows_of(queries),
        collection.query_ids,
        exact.qrels,
        lengths=queries.lengths if isinstance(queries, Ragged) else None,
        k=k,
        metrics=judged_metrics(k),
        search_kwargs=parameters,
        repeats=repeats,
    )
    values = exact.values_of(report.run)
    row: Row = {name: report.metrics[name] if exact.metrics else None for name in judged_metrics(k)}
    row[EXACT_RECALL] = values[EXACT_RECALL]
    return row | _speed(report) | _losses(opened, exact, parameters, values) | _test(report.run, exact)


def _speed(report: EvalReport) -> Row:
    return {
        "queries_per_second": report.queries_per_second,
        "latency_p50_ms": report.latency_p50_ms,
        "latency_p95_ms": report.latency_p95_ms,
        "latency_p99_ms": report.latency_p99_ms,
        "missing_hits": report.n_missing,
    }


def _losses(opened: Opened, exact: Yardstick, parameters: dict[str, int], values: dict[str, float]) -> Row:
    """Loss against the exact search, in total for every library, by cause for ours."""
    row: Row = {}
    for name in ("ndcg@10", EXACT_RECALL):
        row[f"loss_{name}"] = exact.values[name] - values[name] if name in values else None
    split = _split(opened, exact, parameters, values)
    for name in ("ndcg@10", EXACT_RECALL):
        for cause in CAUSES:
            part = None if split is None else getattr(split, cause)
            row[f"{cause}_loss_{name}"] = None if part is None else part.get(name)
    return row


def _split(
    opened: Opened, exact: Yardstick, parameters: dict[str, int], values: dict[str, float]
) -> LossSplit | None:
    if opened.index is None:
        return None
    common = (exact.collection, exact.k, parameters, exact.measure, exact.values, values)
    if exact.collection.form not in ("dense", "tokens"):
        return None
    if exact.collection.form == "tokens":
        return split_late_losses(opened, *common, exact.pooled)
    return split_losses(opened.index, *common)


def _test(run: Run, exact: Yardstick) -> Row:
    if not exact.metrics:
        return dict.fromkeys(("p_value", "loss_below", "non_inferior"))
    found = compare_runs(run, exact.run, exact.qrels, "ndcg@10", margin=MARGIN)
    return {
        "p_value": found.p_value,
        "loss_below": 0.0 - found.lower_bound,
        "non_inferior": found.non_inferior,
    }


def stored_columns(opened: Opened, n_bytes: int, seconds: float, n_documents: int) -> Row:
    """Columns that hold for all settings of a stored index."""
    row: Row = {
        "bytes_per_document": n_bytes / n_documents,
        "index_bytes": n_bytes,
        "code_bytes_per_document": None,
        "build_seconds": seconds,
    }
    balance = None
    if opened.index is not None:
        row["code_bytes_per_document"] = opened.index.code_bytes_per_document
        balance = list_balance(opened.index)
    for name in ("nlist", "cv", "max_over_mean", "empty", "above_4x_mean", "expected_scan"):
        row[f"lists_{name}"] = None if balance is None else balance[name]
    return row


def used_parameters(parameters: dict[str, int], known: Sequence[str]) -> Row:
    """A column for every search parameter, None where it has no effect."""
    return {name: parameters.get(name) for name in known}
