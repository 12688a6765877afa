"""Is a run worse than its baseline? Paired randomisation, which assumes no distribution of the scores.

Suppose that a system differs from its baseline by delta on average, and symmetrically: the sign of each
query's difference minus delta is then a coin. Flipping the coins of a random subset S of the queries makes
the mean no smaller than it was exactly when delta >= mean of the differences in S. So the means of random
subsets answer the question for every delta at once, and their low quantile is a lower confidence bound.

Sources: Fisher, "The design of experiments", 1935; Smucker, Allan, Carterette, "A comparison of statistical
significance tests for information retrieval evaluation", CIKM 2007; Hartigan, "Using subsample values as
typical values", JASA 1969.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.eval.metrics import Run, evaluate_per_query
from cluscomp.eval.qrels import Qrels

EXACT_QUERIES = 13  # so many queries have 8192 subsets: all of them are tried
MIN_RESAMPLES = 1000
_BLOCK_BYTES = 1 << 23


@dataclass(frozen=True)
class Comparison:
    """A run against its baseline on the judged queries.

    mean, baseline_mean: of the metric. difference: mean - baseline_mean. wins, ties, losses: queries.
    p_value: two-sided, of the hypothesis that both are equal. lower_bound: the true difference is above it
    with this confidence (one-sided); -inf where so few queries allow no such statement. non_inferior: the run
    loses less than `margin` with this confidence.
    """

    metric: str
    n_queries: int
    mean: float
    baseline_mean: float
    difference: float
    wins: int
    ties: int
    losses: int
    p_value: float
    lower_bound: float
    margin: float
    confidence: float
    non_inferior: bool

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values; an infinite bound is None."""
        value = asdict(self)
        value["lower_bound"] = None if np.isinf(self.lower_bound) else self.lower_bound
        return value


def compare_runs(
    run: Run,
    baseline: Run,
    qrels: Qrels,
    metric: str = "ndcg@10",
    *,
    margin: float = 0.01,
    confidence: float = 0.95,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare two runs {query id: {document id: score}} by one metric on all judged queries.

    metric: as `evaluate` names it. margin: loss that is still acceptable, in units of the metric (0.01 is one
    point). n_resamples: random subsets of the queries, at least 1000; up to 13 queries all subsets are tried.
    Unanswered queries count 0 in either run. Raises UsageError for a margin, confidence or n_resamples out of
    range, and what `evaluate` raises.
    """
    _check(margin, confidence, n_resamples)
    ours, theirs = (
        np.array([values[metric] for values in evaluate_per_query(r, qrels, (metric,)).values()])
        for r in (run, baseline)
    )
    differences = ours - theirs
    sums, sizes, total = _subsets(differences, n_resamples, seed)
    # A subset whose mean the hypothesis reaches speaks for it; the empty one always does.
    means = np.sort(np.divide(sums, sizes, out=np.full(len(sums), -np.inf), where=sizes > 0))
    allowed = int((1 - confidence) * total + 1e-9) - (total - len(sums))
    flipped = np.abs(differences.sum() - 2 * sums)
    extreme = np.count_nonzero(flipped >= abs(differences.sum()) * (1 - 1e-12))
    at_margin = np.count_nonzero(means <= -margin) + (total - len(sums))
    return Comparison(
        metric=metric,
        n_queries=len(differences),
        mean=float(ours.mean()),
        baseline_mean=float(theirs.mean()),
        difference=float(differences.mean()),
        wins=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        losses=int((differences < 0).sum()),
        p_value=float((extreme + total - len(sums)) / total),
        lower_bound=float(means[allowed]) if allowed >= 0 else -np.inf,
        margin=margin,
        confidence=confidence,
        non_inferior=bool(at_margin <= (1 - confidence) * total + 1e-9),
    )


def _check(margin: float, confidence: float, n_resamples: int) -> None:
    checks.number("margin", margin, low=0)
    checks.number("confidence", confidence, low=0.5, below=1)
    checks.integer("n_resamples", n_resamples, MIN_RESAMPLES)


def _subsets(differences: np.ndarray, n_resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Sums and sizes of subsets, and the number of trials: with random ones the data itself is one more."""
    n = len(differences)
    if n <= EXACT_QUERIES:
        member = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return member @ differences, member.sum(axis=1), 2**n
    rng = checks.rng(seed)
    sums, sizes = np.empty(n_resamples), np.empty(n_resamples)
    block = max(1, _BLOCK_BYTES // n)
    for start in range(0, n_resamples, block):
        stop = min(start + block, n_resamples)
        member = rng.integers(0, 2, (stop - start, n), dtype=np.int8)
        sums[start:stop], sizes[start:stop] = member @ differences, member.sum(axis=1, dtype=np.int64)
    return sums, sizes, n_resamples + 1
