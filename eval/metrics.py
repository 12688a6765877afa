"""Evaluation of a run against judgements, equal to trec_eval."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cluscomp.checks import did_you_mean
from cluscomp.errors import DTypeError, EmptyInputError, UnknownKeyError, UsageError
from cluscomp.eval import formulas
from cluscomp.eval.qrels import Qrels
from cluscomp.eval.ranking import rank_documents

Run = Mapping[str, Mapping[str, float]]
"""{query id: {document id: score}}"""

DEFAULT_METRICS = ("ndcg@10", "recall@100", "mrr@10")

_FORMULAS: Mapping[str, Callable[[formulas.Levels, formulas.Levels, int | None], float]] = {
    "ndcg": formulas.ndcg,
    "recall": formulas.recall,
    "mrr": formulas.reciprocal_rank,
    "map": formulas.average_precision,
    "p": formulas.precision,
    "success": formulas.success,
}
_ALIASES = {"precision": "p", "hit": "success", "r": "recall", "rr": "mrr", "ap": "map"}
_NEED_CUTOFF = ("p", "success")


@dataclass(frozen=True)
class Metric:
    """A metric as it was requested: its name as written, the key of its formula, and the cutoff or None."""

    name: str
    formula: str
    cutoff: int | None

    def __call__(self, ranked: formulas.Levels, judged: formulas.Levels) -> float:
        """Value for one query; see `formulas`."""
        return _FORMULAS[self.formula](ranked, judged, self.cutoff)


def evaluate(run: Run, qrels: Qrels, metrics: Sequence[str] = DEFAULT_METRICS) -> dict[str, float]:
    """Averages of metrics over all judged queries.

    run: {query id: {document id: score}}; order is made of the scores, by trec_eval's rule (`ranking`).
    qrels: {query id: {document id: level}}; levels >= 1 are relevant.
    metrics: "ndcg@k", "recall@k", "mrr@k", "map@k" (each also without "@k"), "p@k", "success@k"; case does
    not matter, and "precision", "hit", "R", "RR", "AP" are known too.

    The denominator is the number of queries with at least one judgement, as with `trec_eval -c`: a query
    that the run does not answer counts 0, and so does one whose judgements are all 0 or negative. Queries
    without judgements are left out. Neither argument is changed.
    Raises UsageError for an unknown metric, EmptyInputError without a judged query, DTypeError,
    NonFiniteError.
    """
    values = list(evaluate_per_query(run, qrels, metrics).values())
    return {name: math.fsum(row[name] for row in values) / len(values) for name in values[0]}


def evaluate_per_query(
    run: Run, qrels: Qrels, metrics: Sequence[str] = DEFAULT_METRICS
) -> dict[str, dict[str, float]]:
    """As `evaluate`, one dict of values for each judged query, in the order of `qrels`."""
    parsed = parse_metrics(metrics)
    judged_queries = {query_id: levels for query_id, levels in qrels.items() if levels}
    if not judged_queries:
        raise EmptyInputError("the judgements hold 0 judged queries, at least 1 is needed")
    if run and not any(query_id in judged_queries for query_id in run):
        warnings.warn(
            f"none of the {len(run)} queries of the run is among the {len(judged_queries)} judged ones "
            f"(for example {next(iter(run))!r}); do run and judgements belong to the same split?",
            stacklevel=3,
        )
    cutoffs = [metric.cutoff for metric in parsed]
    depth = None if None in cutoffs else max(cutoff for cutoff in cutoffs if cutoff)
    results = {}
    for query_id, levels in judged_queries.items():
        _check_levels(query_id, levels)
        ranking = rank_documents(run.get(query_id, {}), query_id=query_id)[:depth]
        ranked = [levels.get(doc_id, 0) for doc_id in ranking]
        judged = list(levels.values())
        results[query_id] = {metric.name: metric(ranked, judged) for metric in parsed}
    return results


def parse_metrics(metrics: Sequence[str]) -> list[Metric]:
    """Metrics by name. Raises UsageError for an unknown one, with the nearest name and all that exist."""
    if isinstance(metrics, str):
        metrics = (metrics,)
    if not metrics:
        raise UsageError("no metric is named; name at least one, for example 'ndcg@10'")
    return [_parse_metric(name) for name in metrics]


def _parse_metric(name: str) -> Metric:
    base, at, cutoff = str(name).strip().lower().partition("@")
    formula = _ALIASES.get(base, base)
    if formula not in _FORMULAS:
        near = did_you_mean(base, [*_FORMULAS, *_ALIASES])
        raise UnknownKeyError(f"metric {name!r} is unknown; {_known_metrics()}{near}")
    if not at and formula not in _NEED_CUTOFF:
        return Metric(name, formula, None)
    if not (cutoff.isascii() and cutoff.isdigit() and int(cutoff) > 0):
        raise UsageError(
            f"metric {name!r} needs a positive cutoff, for example '{base}@10'; {_known_metrics()}"
        )
    return Metric(name, formula, int(cutoff))


def _known_metrics() -> str:
    names = [f"{name}@k" if name in _NEED_CUTOFF else f"{name}[@k]" for name in _FORMULAS]
    return f"known are: {', '.join(names)}"


def _check_levels(query_id: str, levels: Mapping[str, int]) -> None:
    for doc_id, level in levels.items():
        if not hasattr(level, "__index__"):
            raise DTypeError(
                f"query {query_id!r}: document {doc_id!r} is judged {level!r}, a {type(level).__name__}; "
                "relevance levels are integers"
            )
