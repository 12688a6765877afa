"""The weight of two fused runs, chosen on judged queries and measured on others."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.errors import TooFewRowsError, UsageError
from cluscomp.eval.fusion import fuse_runs
from cluscomp.eval.metrics import Run, evaluate_per_query
from cluscomp.eval.qrels import Qrels
from cluscomp.fusion import DEPTH

GRID = tuple(step / 20 for step in range(21))
EQUAL = 0.5


@dataclass(frozen=True)
class TunedWeight:
    """Outcome of `tune_weight`.

    weight: of the first run, chosen on all judged queries; the second has 1 - weight. held_out: average of
    the metric where each query is fused by the weight that was chosen without its fold. equal: the average
    with weight .5. first, second: of either run alone. by_fold: the weight that was chosen without each fold.
    run: the held-out fused run, for `compare_runs`.
    """

    metric: str
    weight: float
    held_out: float
    equal: float
    first: float
    second: float
    n_queries: int
    by_fold: tuple[float, ...]
    run: dict[str, dict[str, float]] = field(default_factory=dict, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values, without the run."""
        value = asdict(self)
        del value["run"]
        return value


def tune_weight(
    runs: Sequence[Run],
    qrels: Qrels,
    *,
    folds: int = 5,
    metric: str = "ndcg@10",
    depth: int = DEPTH,
    seed: int = 0,
) -> TunedWeight:
    """Choose the weight of two runs in a convex combination; measure it on queries with no part in it.

    Weights 0, .05, ..., 1 are tried; of equally good ones the nearest to .5 is taken. Queries are dealt to
    the folds at random.

    Args:
        runs: the two runs {query id: {document id: score}}.
        qrels: judgements {query id: {document id: level}}.
        folds: parts of the queries, at least 2; each is held out once.
        metric: as `evaluate` names it.
        depth: documents of each list that take part.
        seed: of the dealing.

    Returns:
        TunedWeight.

    Raises:
        UsageError: not two runs; a parameter out of its range.
        TooFewRowsError: fewer judged queries than folds.
    """
    if len(runs) != 2:
        raise UsageError(f"there are {len(runs)} runs; the weight of exactly 2 can be tuned")
    folds = checks.integer("folds", folds, 2)
    fused = [fuse_runs(runs, weights=(weight, 1 - weight), depth=depth) for weight in GRID]
    values = np.array([_values(run, qrels, metric) for run in fused])
    queries = [query_id for query_id, levels in qrels.items() if levels]
    if len(queries) < folds:
        raise TooFewRowsError(
            f"there are {len(queries)} judged queries for {folds} folds; judge more, or ask for fewer folds"
        )
    fold_of = checks.rng(seed).permutation(len(queries)) % folds
    chosen = [_best_place(values[:, fold_of != fold]) for fold in range(folds)]
    places = [chosen[fold] for fold in fold_of]
    return TunedWeight(
        metric=metric,
        weight=GRID[_best_place(values)],
        held_out=_mean(values[places, np.arange(len(queries))]),
        equal=_mean(values[GRID.index(EQUAL)]),
        first=_mean(_values(runs[0], qrels, metric)),
        second=_mean(_values(runs[1], qrels, metric)),
        n_queries=len(queries),
        by_fold=tuple(GRID[place] for place in chosen),
        run=_picked(fused, queries, places),
    )


def _values(run: Run, qrels: Qrels, metric: str) -> list[float]:
    return [row[metric] for row in evaluate_per_query(run, qrels, (metric,)).values()]


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return math.fsum(values) / len(values)


def _best_place(values: np.ndarray) -> int:
    """values: (weights, queries). The place of the best weight; the nearest to .5 among equals."""
    means = [_mean(row) for row in values]
    return max(range(len(GRID)), key=lambda place: (means[place], -abs(GRID[place] - EQUAL)))


def _picked(
    fused: Sequence[Mapping[str, dict[str, float]]], queries: Sequence[str], places: Sequence[int]
) -> dict[str, dict[str, float]]:
    return {q: fused[place][q] for q, place in zip(queries, places, strict=True) if q in fused[place]}
