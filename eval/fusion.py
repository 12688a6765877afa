"""One ranking of several runs (cluscomp.fusion has the rules)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from cluscomp.errors import NonFiniteError, UsageError
from cluscomp.eval.metrics import Run
from cluscomp.eval.ranking import rank_documents
from cluscomp.fusion import DEPTH, RANK_CONSTANT, Fusion
from cluscomp.vocabulary import FusionMethod, Normalisation

Scores = dict[str, float]


def fuse_runs(
    runs: Sequence[Run],
    *,
    method: FusionMethod = "cc",
    weights: Sequence[float] | None = None,
    depth: int = DEPTH,
    c: float = RANK_CONSTANT,
    normalise: Normalisation = "minmax",
    minima: Sequence[float] | None = None,
) -> dict[str, Scores]:
    """Fuse runs of the same queries: a document gets the weighted sum of what each list gives it.

    "cc", convex combination: a list gives a document its score, normalised over the list's `depth` best
    documents of that query. "rrf", reciprocal rank fusion: it gives 1 / (c + rank), ranks counted from 1. A
    document that is not among the `depth` best of a list gets nothing from it. Equal scores of a list are
    ranked as `rank_documents` does.

    Args:
        runs: two or more runs {query id: {document id: score}}, larger scores better.
        method: "cc" or "rrf". Reciprocal ranks need no scores, but fall below the better of two lists where
            these differ much in quality.
        weights: one of each run, at least 0; None weighs all equally, with sum 1.
        depth: documents of each list and query that take part.
        c: of "rrf"; a larger one makes the first ranks more alike.
        normalise: of "cc". "minmax": the last of the list gets 0, the first 1. "tmm": the score of `minima`
            gets 0, the first of the list 1. "dbsf": mean - 3 deviations gets 0, mean + 3 deviations 1 (of the
            list's scores). All documents of a list with one distinct score get 1.
        minima: the least score that each run can have, for "tmm": -1 for cosines, 0 for BM25.

    Returns:
        The fused run, the queries in the order in which the runs name them, the documents of each best first.

    Raises:
        UsageError: fewer than two runs; a parameter out of its range; minima without "tmm", or "tmm" without.
        DimensionError: not as many weights or minima as runs.
        NonFiniteError: an infinite score, or NaN.
        DTypeError: ids that are no strings, scores that are no numbers.
    """
    if len(runs) < 2:
        raise UsageError(f"there are {len(runs)} runs to fuse, at least 2 are needed")
    rule = Fusion.of(
        len(runs), method=method, weights=weights, depth=depth, c=c, normalise=normalise, minima=minima
    )
    fused = {}
    for query_id in dict.fromkeys(query_id for run in runs for query_id in run):
        total: Scores = {}
        for number, run in enumerate(runs):
            best = _best(run.get(query_id, {}), rule.depth, query_id)
            points = rule.points(number, np.array([list(best.values())], dtype=np.float64))[0]
            for doc_id, value in zip(best, points.tolist(), strict=True):
                total[doc_id] = total.get(doc_id, 0.0) + rule.weights[number] * value
        fused[query_id] = {doc_id: total[doc_id] for doc_id in rank_documents(total, query_id=query_id)}
    return fused


def _best(scores: Mapping[str, float], depth: int, query_id: str) -> Scores:
    best = {doc_id: float(scores[doc_id]) for doc_id in rank_documents(scores, query_id=query_id)[:depth]}
    for doc_id, score in best.items():
        if not math.isfinite(score):
            raise NonFiniteError(
                f"query {query_id!r}: the score of document {doc_id!r} is {score}; only finite scores can be "
                "fused"
            )
    return best
