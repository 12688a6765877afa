"""An index fused with the run of another search, and the sides of a hybrid index, for `cluscomp eval` and
`search`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from cluscomp import errors
from cluscomp.cli.common import flag
from cluscomp.vocabulary import FusionMethod, Normalisation

if TYPE_CHECKING:
    from cluscomp.eval.qrels import Qrels
    from cluscomp.eval.retrieval import EvalReport
    from cluscomp.indexes.any_index import AnyIndex
    from cluscomp.indexes.hybrid.index import HybridIndex
    from cluscomp.terms import HybridRows

Run = dict[str, dict[str, float]]
FUSION = ("weight", "depth", "method", "normalise")
CONDITIONS, WORDS_ONLY = ("filter", "tenant"), ("query_cut", "heap_factor")
NAMES = {"index": "index", "other": "--fuse", "dense": "vectors", "lexical": "words", "both": "both"}

Weight = Annotated[
    float | None,
    flag(
        "--fuse-weight",
        help="Weight of the vectors of a hybrid index, or of the index; words, or --fuse, have the rest. "
        "(default: the index's, at first .5)",
        env=False,
        min=0,
        max=1,
    ),
]
Depth = Annotated[
    int | None,
    flag("--fuse-depth", help="Documents of each side that take part. (default: 100)", env=False, min=1),
]
Method = Annotated[
    FusionMethod | None,
    flag("--fuse-method", help="cc: normalised scores; rrf: reciprocal ranks. (default: cc)", env=False),
]
Normalise = Annotated[
    Normalisation | None,
    flag("--fuse-normalise", help="How cc scales the scores of a side. (default: minmax)", env=False),
]


@dataclass(frozen=True)
class FusionFlags:
    """Flags that say how two rankings become one; None: as usual."""

    weight: float | None
    depth: int | None
    method: FusionMethod | None
    normalise: Normalisation | None

    def of_index(self, index: AnyIndex) -> dict[str, Any]:
        """Keyword arguments of the search of a hybrid index; UsageError where another has flags."""
        from cluscomp.indexes.kind import kind_of

        given = {name: value for name, value in vars(self).items() if value is not None}
        if given and not kind_of(index.spec).both:
            names = ", ".join(f"--fuse-{name}" for name in given)
            raise errors.UsageError(
                f"{names}: nothing is fused, since {str(index.key)!r} is no hybrid key (build-index "
                "--hybrid), and no --fuse RUN is given"
            )
        return given

    def of_runs(self) -> dict[str, Any]:
        """Keyword arguments of `fuse_runs` for two runs."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        weight = given.pop("weight", None)
        return given if weight is None else {**given, "weights": (weight, 1 - weight)}


@dataclass(frozen=True)
class Fused:
    """weight: of the index, or of the vectors. run: of both. metrics: of each part and of both, by metric.
    costs: code bytes a document and milliseconds of a search of each, where both are sides of an index.
    """

    weight: float
    run: Run
    metrics: dict[str, dict[str, float]]
    costs: dict[str, dict[str, float | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, report: EvalReport, other: Run, qrels: Qrels, flags: FusionFlags) -> Fused:
        """Fuse with a run. report: of the index, whose metrics and depth are taken."""
        from cluscomp.eval.fusion import fuse_runs
        from cluscomp.eval.metrics import evaluate
        from cluscomp.fusion import WEIGHT

        run = fuse_runs([report.run, other], **flags.of_runs())
        names = list(report.metrics)
        metrics = {"index": report.metrics, "other": evaluate(other, qrels, names)}
        weight = WEIGHT if flags.weight is None else flags.weight
        return cls(weight, run, {**metrics, "both": evaluate(run, qrels, names)})

    @classmethod
    def sides(
        cls, report: EvalReport, index: HybridIndex, queries: HybridRows, ids: Sequence[str], qrels: Qrels,
        depth: int, options: dict[str, Any],
    ) -> Fused:  # fmt: skip
        """Each side of a hybrid index by itself. report: of both together, whose metrics are taken. depth:
        hits of a query. options: of the search of both.
        """
        from cluscomp.eval.retrieval import evaluate_index

        common: dict[str, Any] = {"k": depth, "metrics": list(report.metrics)}
        effort = {name: value for name, value in options.items() if name not in (*FUSION, *WORDS_ONLY)}
        of_words = {name: value for name, value in options.items() if name in (*CONDITIONS, *WORDS_ONLY)}
        dense: Any = index.dense
        lexical: Any = index.lexical
        reports = {
            "dense": evaluate_index(
                dense, queries.vectors, ids, qrels, lengths=queries.lengths, search_kwargs=effort, **common
            ),
            "lexical": evaluate_index(lexical, queries.terms, ids, qrels, search_kwargs=of_words, **common),
            "both": report,
        }
        costs = {
            name: {
                "code_bytes_per_document": one.code_bytes_per_document,
                "latency_p50_ms": one.latency_p50_ms,
            }
            for name, one in reports.items()
        }
        weight = options.get("weight", index.weight)
        return cls(weight, report.run, {name: one.metrics for name, one in reports.items()}, costs)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Names of the metrics, and a row for each run: what it is, its figures, bytes and time."""
        columns = list(self.metrics["both"])
        of = "the vectors" if self.costs else "the index"
        names = {**NAMES, "both": f"both, weight {self.weight:g} of {of}"}
        rows = [
            [names[what], *(f"{values[column]:.4f}" for column in columns)]
            for what, values in self.metrics.items()
        ]
        for row, cost in zip(rows, self.costs.values(), strict=False):
            row += [f"{cost['code_bytes_per_document']:.1f}", f"{cost['latency_p50_ms']:.2f} ms"]
        return columns, rows

    @property
    def cost_columns(self) -> list[str]:
        """What stands behind the metrics."""
        return ["code bytes / document", "latency p50"] if self.costs else []

    def to_json(self) -> dict[str, Any]:
        """Weight, metrics and costs as JSON values."""
        return {
            "weight": self.weight,
            "metrics": self.metrics,
            **({"costs": self.costs} if self.costs else {}),
        }
