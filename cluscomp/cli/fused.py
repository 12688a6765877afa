"""The run of an index fused with another one, for `cluscomp eval --fuse`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluscomp.eval.qrels import Qrels
    from cluscomp.eval.retrieval import EvalReport

Run = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Fused:
    """weight: of the index's run. run: of both. metrics: of "index", "other" and "fused", by metric."""

    weight: float
    run: Run
    metrics: dict[str, dict[str, float]]

    @classmethod
    def of(cls, report: EvalReport, other: Run, qrels: Qrels, weight: float) -> Fused:
        """Fuse by convex combination. report: of the index, whose metrics and depth are taken."""
        from cluscomp.eval.fusion import fuse_runs
        from cluscomp.eval.metrics import evaluate

        run = fuse_runs([report.run, other], weights=(weight, 1 - weight))
        names = list(report.metrics)
        metrics = {"index": report.metrics, "other": evaluate(other, qrels, names)}
        return cls(weight, run, {**metrics, "fused": evaluate(run, qrels, names)})

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Metrics, and a row for each run: what it is, then its figures."""
        columns = list(self.metrics["fused"])
        names = {"index": "index", "other": "--fuse", "fused": f"both, weight {self.weight:g} of the index"}
        return columns, [
            [names[what], *(f"{values[column]:.4f}" for column in columns)]
            for what, values in self.metrics.items()
        ]

    def to_json(self) -> dict[str, Any]:
        """Weight and metrics as JSON values."""
        return {"weight": self.weight, "metrics": self.metrics}
