"""An index fused with the run of another search, or searched together with an index of words, for `cluscomp
eval`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cluscomp import errors
from cluscomp.cli.common import flag

if TYPE_CHECKING:
    from cluscomp.cli.queries import QuerySet
    from cluscomp.eval.hybrid import HybridIndex, HybridQueries
    from cluscomp.eval.qrels import Qrels
    from cluscomp.eval.retrieval import EvalReport
    from cluscomp.indexes.any_index import AnyIndex

Run = dict[str, dict[str, float]]
NAMES = {"index": "index", "other": "--fuse", "words": "--words"}

Words = Annotated[
    Path | None,
    flag("--words", help="Index of the words of the same documents, to search together.", env=False),
]
Weight = Annotated[
    float,
    flag(
        "--fuse-weight", help="Weight of the index; --words or --fuse has the rest.", env=False, min=0, max=1
    ),
]


@dataclass(frozen=True)
class Fused:
    """weight: of the index. run: of both. metrics: of "index", "other" or "words", and "fused", by metric.
    costs: bytes a document and milliseconds of a search of each, where both are indexes.
    """

    weight: float
    run: Run
    metrics: dict[str, dict[str, float]]
    costs: dict[str, dict[str, float | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, report: EvalReport, other: Run, qrels: Qrels, weight: float) -> Fused:
        """Fuse with a run by convex combination. report: of the index, whose metrics and depth are taken."""
        from cluscomp.eval.fusion import fuse_runs
        from cluscomp.eval.metrics import evaluate

        run = fuse_runs([report.run, other], weights=(weight, 1 - weight))
        names = list(report.metrics)
        metrics = {"index": report.metrics, "other": evaluate(other, qrels, names)}
        return cls(weight, run, {**metrics, "fused": evaluate(run, qrels, names)})

    @classmethod
    def together(
        cls, report: EvalReport, hybrid: HybridIndex, queries: HybridQueries, ids: Sequence[str],
        qrels: Qrels, depth: int, options: dict[str, Any],
    ) -> Fused:  # fmt: skip
        """Search both indexes together. report: of the index of vectors, whose metrics are taken. depth: hits
        of a query.
        """
        from cluscomp.eval.retrieval import evaluate_index

        common: dict[str, Any] = {"k": depth, "metrics": list(report.metrics)}
        words = evaluate_index(hybrid.words, queries.terms, ids, qrels, **common)  # type: ignore[arg-type]
        both = evaluate_index(hybrid, queries, ids, qrels, search_kwargs=options, **common)  # type: ignore[arg-type]
        reports = {"index": report, "words": words, "fused": both}
        costs = {
            name: {"bytes_per_document": one.bytes_per_document, "latency_p50_ms": one.latency_p50_ms}
            for name, one in reports.items()
        }
        return cls(hybrid.weight, both.run, {name: one.metrics for name, one in reports.items()}, costs)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Names of the metrics, and a row for each run: what it is, its figures, bytes and time."""
        columns = list(self.metrics["fused"])
        names = {**NAMES, "fused": f"both, weight {self.weight:g} of the index"}
        rows = [
            [names[what], *(f"{values[column]:.4f}" for column in columns)]
            for what, values in self.metrics.items()
        ]
        for row, cost in zip(rows, self.costs.values(), strict=False):
            row += [f"{cost['bytes_per_document']:.1f}", f"{cost['latency_p50_ms']:.2f} ms"]
        return columns, rows

    @property
    def cost_columns(self) -> list[str]:
        """What stands behind the metrics."""
        return ["bytes / document", "latency p50"] if self.costs else []

    def to_json(self) -> dict[str, Any]:
        """Weight, metrics and costs as JSON values."""
        return {
            "weight": self.weight,
            "metrics": self.metrics,
            **({"costs": self.costs} if self.costs else {}),
        }


def open_hybrid(index: AnyIndex, words: Path, weight: float) -> HybridIndex:
    """Both indexes as one. Raises what opening raises, UsageError, DTypeError."""
    from cluscomp.eval.hybrid import HybridIndex
    from cluscomp.indexes.index import open_index

    return HybridIndex(index, open_index(words), weight=weight)  # type: ignore[arg-type]


def hybrid_queries(hybrid: HybridIndex, queries: QuerySet, texts: Sequence[str] | None) -> HybridQueries:
    """Queries in both forms; texts: of the queries in order. UsageError without."""
    from cluscomp.encoders.remembered import remembered_encoder
    from cluscomp.eval.hybrid import HybridQueries

    if texts is None:
        raise errors.UsageError(
            "--words needs the texts of the queries, which --query-embeddings does not have"
        )
    model = remembered_encoder(hybrid.words.encoder, None, "pass a run to --fuse instead")
    return HybridQueries(queries.vectors, model.encode_queries(list(texts)), queries.lengths)


def in_both_forms(hybrid: HybridIndex, queries: QuerySet) -> QuerySet:
    """The queries as the hybrid index takes them. UsageError where their texts are not known."""
    from cluscomp.cli.queries import QuerySet

    return QuerySet(queries.ids, hybrid_queries(hybrid, queries, queries.texts), queries.texts)
