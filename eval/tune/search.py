"""`tune`: measure keys on a collection and choose under limits."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.arrays import as_rows, to_float32
from cluscomp.errors import EmptyInputError, InfeasibleError, UsageError
from cluscomp.eval.compare.collection import Collection, make_collection
from cluscomp.eval.compare.config import CompareConfig, KeySpec
from cluscomp.eval.compare.measure import EXACT_RECALL
from cluscomp.eval.compare.run import compare_indexes
from cluscomp.eval.qrels import Qrels
from cluscomp.eval.tune.candidates import bytes_per_document, candidate_keys
from cluscomp.eval.tune.choice import Limits, TunePoint, choose, front, nearest
from cluscomp.indexes.keys.grammar import parse_key
from cluscomp.progress import Progress
from cluscomp.vocabulary import PREFERENCES, Prefer

MIN_QUERIES = 10
FALLBACK_KEYS = 3


@dataclass(frozen=True)
class TuneResult:
    """points: all that were measured. pareto: those that no other beats in bytes, time and quality. chosen:
    the best that keeps the limits. n_documents, n_queries: tuned on. sampled: on a part of the documents, so
    that times will be longer on all of them.
    """

    points: list[TunePoint]
    pareto: list[TunePoint]
    chosen: TunePoint
    limits: Limits
    n_documents: int
    n_queries: int
    sampled: bool


def tune(
    documents: Any,
    *,
    ids: Any = None,
    queries: Any = None,
    query_ids: Any = None,
    qrels: Qrels | None = None,
    metric: str = "ip",
    max_bytes: float | None = None,
    max_ms: float | None = None,
    min_recall: float | None = None,
    min_ndcg: float | None = None,
    prefer: Prefer | None = None,
    keys: Sequence[str] | None = None,
    max_documents: int = 100_000,
    n_queries: int = 500,
    seed: int = 0,
    results: str | Path | None = None,
    progress: Progress | None = None,
) -> TuneResult:
    """Find the index key and search parameters that are best under limits.

    documents: (n, d) array. ids: their ids, which count as bytes; needed with qrels. queries: (nq, d);
    without them n_queries documents, held out, at most a tenth of all. qrels with query_ids: judgements;
    without them quality is the recall of the 10 exact neighbours. max_bytes: bytes a document, ids and all
    files of the index counted. max_ms: median milliseconds of one query, on this machine with the threads of
    the native core. min_recall: of the 10 exact neighbours. min_ndcg: nDCG@10. prefer: "bytes", "speed" or
    "quality"; None: the fewest bytes where a floor is given, else the best quality.
    keys: to try; None: those of `candidate_keys`, but for keys that need more than max_bytes.
    max_documents: without judgements, more documents are sampled; bytes are those of all documents all the
    same. results: folder that keeps the rows of an interrupted run.

    Raises InfeasibleError naming the nearest point when none keeps all limits; UsageError.
    """
    limits = Limits(max_bytes, max_ms, min_recall, min_ndcg)
    wanted = _preference(prefer, limits, qrels)
    rows = to_float32(as_rows(documents, name="documents"))
    n, dim = rows.shape
    id_bytes = _mean_id_bytes(ids)
    metric = checks.metric(metric)
    sizes = {key: bytes_per_document(key, n, dim, metric, id_bytes) for key in _keys(keys, n, dim)}
    collection = _collection(
        rows, ids, queries, query_ids, qrels, metric,
        max_documents=max_documents, n_queries=n_queries, seed=seed,
    )  # fmt: skip
    points = _measure(collection, _small_enough(sizes, limits), sizes, seed, results, progress)
    chosen = choose(points, limits, wanted)
    if chosen is None:
        best = nearest(points, limits)
        raise InfeasibleError(
            f"none of {len(points)} measured points keeps the limits; the nearest is {best.text()}; it is "
            f"feasible with {limits.relaxed(best)}"
        )
    n_documents = len(collection.documents)
    return TuneResult(
        points, front(points), chosen, limits, n_documents, len(collection.queries), n_documents < 0.9 * n
    )


def _preference(prefer: str | None, limits: Limits, qrels: Qrels | None) -> Prefer:
    if limits.min_ndcg is not None and qrels is None:
        raise UsageError("min_ndcg needs judgements (qrels); without them give min_recall")
    if prefer is None:
        floor = limits.min_recall is not None or limits.min_ndcg is not None
        return "bytes" if floor else "quality"
    return checks.one_of("prefer", prefer, PREFERENCES)


def _keys(keys: Sequence[str] | None, n: int, dim: int) -> list[str]:
    if keys is not None and not keys:
        raise UsageError("keys is empty; give at least one, or None for those that suit the collection")
    found = list(dict.fromkeys(str(parse_key(key)) for key in keys or candidate_keys(n, dim)))
    for key in found:
        parse_key(key).stage_dims(dim)
    return found


def _small_enough(sizes: dict[str, float], limits: Limits) -> list[str]:
    """Keys within the bytes; without one the smallest, so that the nearest point can be named."""
    limit = limits.max_bytes
    fitting = [key for key, size in sizes.items() if limit is None or size <= limit]
    return fitting or sorted(sizes, key=lambda key: sizes[key])[:FALLBACK_KEYS]


def _mean_id_bytes(ids: Any) -> float:
    if ids is None or len(ids) == 0:
        return 0.0
    if isinstance(ids[0], str):
        return float(np.mean([len(name.encode("utf-8")) for name in ids])) + 8
    return 8.0


def _collection(
    rows: np.ndarray, ids: Any, queries: Any, query_ids: Any, qrels: Qrels | None, metric: str,
    *, max_documents: int, n_queries: int, seed: int,
) -> Collection:  # fmt: skip
    """What is measured on: all documents with judgements, else a sample, with queries held out or given."""
    names = np.arange(len(rows)) if ids is None else np.asarray(ids, dtype=object)
    if qrels is not None:
        if queries is None or query_ids is None or ids is None:
            raise UsageError("qrels need ids, queries and query_ids, which they name")
        kept = [row for row, name in enumerate(query_ids) if name in qrels]
        if not kept:
            raise EmptyInputError(f"none of the {len(qrels)} judged queries is among the query_ids")
        found = to_float32(as_rows(queries, name="queries"))[kept]
        return make_collection(
            "tune", rows, names, found, [query_ids[row] for row in kept], qrels, metric=metric
        )
    order = checks.rng(seed).permutation(len(rows))
    held = 0 if queries is not None else min(n_queries, len(rows) // 10)
    if queries is None and held < MIN_QUERIES:
        raise EmptyInputError(
            f"{len(rows)} documents give {held} queries to tune on, but {MIN_QUERIES} are needed; pass "
            "queries"
        )
    kept_rows = np.sort(order[held : held + max_documents])
    asked = rows[np.sort(order[:held])]
    if queries is not None:
        asked = to_float32(as_rows(queries, name="queries"))
    return make_collection(
        "tune", rows[kept_rows], names[kept_rows], asked, range(len(asked)), None, metric=metric
    )


def _measure(
    collection: Collection, keys: list[str], sizes: dict[str, float], seed: int, results: str | Path | None,
    progress: Progress | None,
) -> list[TunePoint]:  # fmt: skip
    specs = tuple(KeySpec("cluscomp", key, key) for key in keys)
    config = CompareConfig("Tuning", (), specs, {"refine_factor": (2, 4, 10)}, k=10, seed=seed, repeats=1)
    with ExitStack() as stack:
        folder = results or stack.enter_context(tempfile.TemporaryDirectory(prefix="cluscomp-tune-"))
        found = compare_indexes(config, folder, collections=[collection], progress=progress)
    return [
        TunePoint(
            key=row["key"],
            nprobe=row["nprobe"],
            refine_factor=row["refine_factor"],
            bytes_per_document=sizes[row["key"]],
            ms=row["latency_p50_ms"],
            recall=row[EXACT_RECALL],
            ndcg=row["ndcg@10"],
        )
        for row in found.good
    ]
