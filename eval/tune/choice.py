"""Which of the measured points keeps all limits, which is best, and which comes nearest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cluscomp import checks
from cluscomp.eval.report.pareto import pareto_front
from cluscomp.vocabulary import Prefer


@dataclass(frozen=True)
class TunePoint:
    """A key at one setting of its search. bytes_per_document: all files of the index with its ids, over the
    documents. ms: median of single queries. recall: of the 10 exact neighbours among 10 hits. ndcg: nDCG@10,
    None without judgements.
    """

    key: str
    nprobe: int | None
    refine_factor: int | None
    bytes_per_document: float
    ms: float
    recall: float
    ndcg: float | None = None

    @property
    def parameters(self) -> dict[str, int]:
        """Keyword arguments of `Index.search`."""
        given = {"nprobe": self.nprobe, "refine_factor": self.refine_factor}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def quality(self) -> float:
        """nDCG@10 where it is known, else recall."""
        return self.recall if self.ndcg is None else self.ndcg

    def text(self) -> str:
        """Key, settings and figures on one line."""
        settings = "".join(f" {name.replace('_', '-')} {value}" for name, value in self.parameters.items())
        ndcg = "" if self.ndcg is None else f", nDCG@10 {self.ndcg:.4f}"
        return (
            f"{self.key}{settings}: {self.bytes_per_document:.1f} bytes a document, "
            f"{self.ms:.3g} ms a query, recall@10 {self.recall:.3f}{ndcg}"
        )


@dataclass(frozen=True)
class Limits:
    """What a point must keep; None is no limit. Bytes a document, milliseconds a query, floors of quality.

    Raises UsageError for values that no point could have.
    """

    max_bytes: float | None = None
    max_ms: float | None = None
    min_recall: float | None = None
    min_ndcg: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_ms"):
            value = getattr(self, name)
            if value is not None:
                checks.number(name, value, above=0)
        for name in ("min_recall", "min_ndcg"):
            value = getattr(self, name)
            if value is not None:
                checks.number(name, value, low=0, high=1)

    def misses(self, point: TunePoint) -> dict[str, float]:
        """Limits that the point does not keep, with how far it is off: log of the ratio to the limit."""
        found = {}
        for name, value in (("max_bytes", point.bytes_per_document), ("max_ms", point.ms)):
            limit = getattr(self, name)
            if limit is not None and value > limit:
                found[name] = math.log(value / limit)
        for name, floor_value in (("min_recall", point.recall), ("min_ndcg", point.ndcg)):
            floor = getattr(self, name)
            if floor is not None and (floor_value is None or floor_value < floor):
                found[name] = math.log(floor / max(floor_value or 0.0, 1e-9))
        return found

    def relaxed(self, point: TunePoint) -> str:
        """The limits that would have to change for this point, as flags."""
        values = {
            "max_bytes": _up(point.bytes_per_document, 1),
            "max_ms": _up(point.ms, 3),
            "min_recall": _down(point.recall),
            "min_ndcg": _down(point.ndcg or 0.0),
        }
        return " ".join(f"--{name.replace('_', '-')} {values[name]:g}" for name in self.misses(point))


def choose(points: Sequence[TunePoint], limits: Limits, prefer: Prefer) -> TunePoint | None:
    """The best point that keeps the limits, None without one; what comes after the preferred value decides
    ties.
    """
    feasible = [point for point in points if not limits.misses(point)]
    orders = {
        "bytes": lambda p: (p.bytes_per_document, -p.quality, p.ms),
        "speed": lambda p: (p.ms, -p.quality, p.bytes_per_document),
        "quality": lambda p: (-p.quality, p.bytes_per_document, p.ms),
    }
    return min(feasible, key=orders[prefer]) if feasible else None


def nearest(points: Sequence[TunePoint], limits: Limits) -> TunePoint:
    """The point whose worst miss is smallest."""
    return min(points, key=lambda p: (max(limits.misses(p).values(), default=0.0), p.bytes_per_document))


def front(points: Sequence[TunePoint]) -> list[TunePoint]:
    """Points that no other beats in bytes, speed and quality, the smallest first."""
    values = [(point.bytes_per_document, point.ms, point.quality) for point in points]
    return [points[i] for i in pareto_front(values, (False, False, True))]


def _up(value: float, digits: int) -> float:
    return math.ceil(value * 10**digits) / 10**digits


def _down(value: float) -> float:
    return math.floor(value * 1000) / 1000
