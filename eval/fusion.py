"""One ranking of several: convex combination of normalised scores, or reciprocal ranks.

Sources: Bruch, Gai, Ingber, "An analysis of fusion functions for hybrid retrieval", TOIS 2023 (convex
combination, theoretical minimum); Cormack, Clarke, Buettcher, "Reciprocal rank fusion outperforms Condorcet
and individual rank learning methods", SIGIR 2009.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cluscomp import checks
from cluscomp.errors import DimensionError, NonFiniteError, UsageError
from cluscomp.eval.metrics import Run
from cluscomp.eval.ranking import rank_documents
from cluscomp.vocabulary import FUSION_METHODS, NORMALISATIONS, FusionMethod, Normalisation

DEPTH = 100
RANK_CONSTANT = 60.0

Scores = dict[str, float]
Points = Callable[[Scores], Scores]
"""What the best documents of one list, best first, get for it before its weight."""


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
    shares = _weights(weights, len(runs))
    points = _points(method, len(runs), c, normalise, minima)
    depth = checks.integer("depth", depth, 1)
    fused = {}
    for query_id in dict.fromkeys(query_id for run in runs for query_id in run):
        total: Scores = {}
        for run, share, give in zip(runs, shares, points, strict=True):
            best = _best(run.get(query_id, {}), depth, query_id)
            for doc_id, value in give(best).items():
                total[doc_id] = total.get(doc_id, 0.0) + share * value
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


def _weights(weights: Sequence[float] | None, n_runs: int) -> list[float]:
    if weights is None:
        return [1 / n_runs] * n_runs
    found = [checks.number("weights", weight, low=0) for weight in _one_each("weights", weights, n_runs)]
    if not any(found):
        raise UsageError(f"all {n_runs} weights are 0; at least one run must count")
    return found


def _points(
    method: FusionMethod, n_runs: int, c: float, normalise: Normalisation, minima: Sequence[float] | None
) -> list[Points]:
    """The rule of each run."""
    checks.one_of("method", method, FUSION_METHODS)
    checks.one_of("normalise", normalise, NORMALISATIONS)
    if (minima is None) == (normalise == "tmm"):
        raise UsageError(
            f"normalise is {normalise!r} and minima are {'missing' if minima is None else 'given'}; "
            "'tmm' needs the least score that each run can have, and the others have no use for it"
        )
    if method == "rrf":
        constant = checks.number("c", c, low=0)
        return [lambda best: _reciprocal_ranks(best, constant)] * n_runs
    if minima is not None:
        lowest = [checks.number("minima", least) for least in _one_each("minima", minima, n_runs)]
        return [lambda best, low=low: _scaled(best, low, _highest(best)) for low in lowest]  # type: ignore[misc]
    return [_by_deviation if normalise == "dbsf" else _by_range] * n_runs


def _one_each(name: str, values: Sequence[float], n_runs: int) -> list[float]:
    if len(values) != n_runs:
        raise DimensionError(f"there are {len(values)} {name} for {n_runs} runs; give one for each")
    return list(values)


def _reciprocal_ranks(best: Scores, c: float) -> Scores:
    return {doc_id: 1 / (c + rank) for rank, doc_id in enumerate(best, 1)}


def _by_range(best: Scores) -> Scores:
    return _scaled(best, min(best.values(), default=0.0), _highest(best))


def _by_deviation(best: Scores) -> Scores:
    values = np.array(list(best.values()) or [0.0])
    mean, spread = float(values.mean()), 3 * float(values.std())
    return _scaled(best, mean - spread, mean + spread)


def _highest(best: Scores) -> float:
    return max(best.values(), default=0.0)


def _scaled(best: Scores, low: float, high: float) -> Scores:
    if len(set(best.values())) < 2 or high <= low:
        return dict.fromkeys(best, 1.0)
    return {doc_id: (score - low) / (high - low) for doc_id, score in best.items()}
