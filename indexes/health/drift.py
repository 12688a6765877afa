"""Items that compare rows with those that the index learned from, by the figures kept of both.

Training fits its rows better than others of their kind. Costs and errors are therefore compared with what
rows like those of the training may cost, that is

    (their mean) * (1 + fit * (k / n) ** 0.75)

for k centroids, or codewords of a sub-space, learned from n rows. fit is 1 for lists and `Codec.overfit` for
codes: measured on halves of real collections, of which one was trained on (docs/notes/lifecycle.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.indexes.health.report import HealthItem, judged, unknown
from cluscomp.indexes.segments.by_list import leading_parts
from cluscomp.indexes.segments.segment import list_sizes
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.stages.tally import combined, figures_of, summary
from cluscomp.indexes.stages.training_facts import grouped

LIST_FIT, FIT_POWER = 1.0, 0.75
NEGLIGIBLE_ERROR = 1e-3
"""Code errors below this share of the mean squared length change no ranks worth a training."""
FEWEST_SAMPLED = 32
"""Rows without which a mean says nothing."""
SMALL_SHARE = 0.01
"""Of the rows: below it, rows that were added are a reason to watch only."""
RETRAIN = "convert the index into a new one, from vectors"
NOT_RECORDED = "not recorded: the index was trained by an older version"


@dataclass(frozen=True)
class Figures:
    """What is known of the rows of an index. training: of those that it learned from, or where nothing is
    learned of those that were added first; empty where that is not known. stored: of each segment. first: how
    many segments, from the first on, hold the rows that were there first: several where these were cut by
    lists.
    """

    training: Mapping[str, Any]
    stored: tuple[Mapping[str, Any], ...]
    reference: str
    first: int = 1

    def groups(self) -> list[Mapping[str, Any]]:
        """Figures of all rows, and of those added after the first."""
        found = [combined(self.stored), combined(self.stored[self.first :])]
        return [one for one in found if one.get("sampled", 0) >= FEWEST_SAMPLED]


def figures(
    pipeline: Pipeline, segments: Sequence[StoredSegment], training: Mapping[str, Any], sample: int
) -> Figures:
    """Figures that were recorded; of segments that have none, those of decoded rows where a rerank keeps
    finer codes. sample: rows to decode, at most.
    """
    stored = tuple(
        dict(segment.statistics) or _measured(pipeline, segment, max(1, sample // len(segments)))
        for segment in segments
    )
    if not training and not pipeline.learns_from_rows:
        first = next((number for number, one in enumerate(stored) if one), None)
        if first is not None and first + 1 < len(stored):
            return Figures(stored[first], stored[first + 1 :], "that were added first")
    return Figures(training, stored, "of the training", _n_first(pipeline, segments))


def _n_first(pipeline: Pipeline, segments: Sequence[StoredSegment]) -> int:
    partition = pipeline.partition
    return 1 if partition is None else leading_parts(segments, partition.nlist)


def _measured(pipeline: Pipeline, segment: StoredSegment, sample: int) -> dict[str, Any]:
    if pipeline.refine is None or not (pipeline.codec.can_drift or pipeline.partition is not None):
        return {}
    vectors = segment.vectors(pipeline)
    numbers = np.unique(np.linspace(0, vectors.n - 1, min(vectors.n, sample)).astype(np.int64))
    base = vectors.base_rows(numbers)
    if base is None:
        return {}
    found = figures_of(pipeline, pipeline.project(base), vectors.lists(numbers), vectors.codes(numbers))
    return {"rows": vectors.n, **summary(found)}


def cost_item(pipeline: Pipeline, known: Figures) -> HealthItem | None:
    """Mean squared distance of rows to their centroids; None without lists."""
    partition = pipeline.partition
    if partition is None:
        return None
    wanted = known.training.get("cost")
    groups = [group for group in known.groups() if "cost" in group]
    if not wanted or not groups or not wanted["mean"]:
        return unknown("cost", _why(known, "cost"))
    n = known.training.get("trained_on", 0)
    allowed = wanted["mean"] * _fit(LIST_FIT, partition.nlist, n)
    ratios = [group["cost"]["mean"] / allowed for group in groups]
    return _ratio_item("cost", known, groups, ratios, "squared distance to their centroids")


def error_item(pipeline: Pipeline, known: Figures) -> HealthItem | None:
    """Mean squared error of codes; None where it does not depend on what was learned."""
    if not pipeline.codec.can_drift:
        return None
    wanted, groups = known.training.get("error"), [group for group in known.groups() if "error" in group]
    if wanted is None or not groups:
        return unknown("code error", _why(known, "error"))
    allowed = wanted * _fit(
        pipeline.codec.overfit, pipeline.codec.codewords, known.training.get("trained_on", 0)
    )
    if not allowed:
        return unknown("code error", "not recorded: codes of the training rows had no errors")
    ratios = [group["error"] / allowed for group in groups]
    if all(group["error"] <= NEGLIGIBLE_ERROR * group["square"] for group in groups):
        share = max(group["error"] / group["square"] if group["square"] else 0.0 for group in groups)
        text = f"codes lose {share:.2g} of the mean squared length, too little to matter"
        return judged("code error", max(ratios), text, "", most="ok")
    return _ratio_item("code error", known, groups, ratios, "squared error of their codes")


def _ratio_item(
    name: str, known: Figures, groups: Sequence[Mapping[str, Any]], ratios: Sequence[float], what: str
) -> HealthItem:
    worst = int(np.argmax(ratios))
    share = groups[worst]["rows"] / groups[0]["rows"]
    sentence = (
        f"{_which(worst, share)} have {ratios[worst]:.2f} times the mean {what} of rows like those "
        f"{known.reference}"
    )
    most = "watch" if share < SMALL_SHARE else "retrain"
    return judged(name, ratios[worst], sentence, RETRAIN, most=most)  # type: ignore[arg-type]


def occupancy_item(
    pipeline: Pipeline, segments: Sequence[StoredSegment], known: Figures
) -> HealthItem | None:
    """Population stability index of the lists, in groups of neighbours; None without lists.

    sum over groups of (q - p) ln(q / p), p of the training and q of the rows, less what chance makes of it.
    """
    partition = pipeline.partition
    if partition is None:
        return None
    lists = known.training.get("lists")
    if not lists or len(lists["groups"]) != len(grouped(partition, np.zeros(partition.nlist))):
        return unknown("occupancy", _why(known, "lists"))
    before = np.array(lists["groups"], dtype=np.float64)
    parts = segments, segments[known.first :]
    counts = [grouped(partition, list_sizes(part, partition.nlist)) for part in parts]
    counts = [count for count in counts if count.sum() >= FEWEST_SAMPLED]
    if not counts or not before.sum():
        return unknown("occupancy", _why(known, "rows"))
    found = [stability_index(before, count) for count in counts]
    worst = int(np.argmax(found))
    share = counts[worst].sum() / counts[0].sum()
    sentence = f"{_which(worst, share)} are in other lists than those of the training, by {found[worst]:.3f}"
    most = "watch" if share < SMALL_SHARE else "retrain"
    return judged("occupancy", found[worst], sentence, RETRAIN, most=most)  # type: ignore[arg-type]


def _which(number: int, share: float) -> str:
    return f"rows added after the first ({share:.1%} of all)" if number else "rows"


def stability_index(before: np.ndarray, now: np.ndarray) -> float:
    """Population stability index of counts (groups,), at least 0; half a row is added to each group, and what
    two samples of one population are expected to have is taken off.
    """
    p, q = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (before, now))
    chance = (len(p) - 1) * (1 / before.sum() + 1 / now.sum())
    return max(0.0, float(((q - p) * np.log(q / p)).sum()) - chance)


def _fit(fit: float, learned: int, n: int) -> float:
    """How much more other rows of their kind may cost than the n that something was learned from."""
    return 1 + fit * float(learned / n) ** FIT_POWER if n else 1.0


def _why(known: Figures, what: str) -> str:
    if not known.training:
        return NOT_RECORDED if known.stored else "no rows are stored"
    if what not in known.training and what != "rows":
        return NOT_RECORDED
    if not any(known.stored):
        return "not recorded: the rows were added by an older version, and no finer codes tell what they were"
    return f"not recorded: fewer than {FEWEST_SAMPLED} rows were looked at"
