"""Items that are read off the index as it stands: growth, sizes of lists, deleted rows, segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cluscomp.indexes.health.drift import NOT_RECORDED
from cluscomp.indexes.health.report import HealthItem, judged, unknown
from cluscomp.indexes.segments.segment import list_sizes
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.stages.training_facts import list_cv

EVEN = 0.25
"""Deviation of list sizes over their mean below which lists count as even."""


def growth_item(pipeline: Pipeline, rows: int, training: Mapping[str, Any]) -> HealthItem | None:
    """Rows now over those at training; None without lists, whose number was chosen for so many."""
    if pipeline.partition is None:
        return None
    before = training.get("rows")
    if not before:
        return unknown("growth", NOT_RECORDED)
    sentence = f"{rows} rows now, {before} when the index was trained for {pipeline.spec.nlist} lists"
    return judged("growth", rows / before, sentence, "convert it to a key with more lists")


def list_sizes_item(
    pipeline: Pipeline, segments: Sequence[StoredSegment], training: Mapping[str, Any]
) -> HealthItem | None:
    """How uneven lists are now over how uneven they were; None without lists or rows."""
    partition = pipeline.partition
    if partition is None or not segments:
        return None
    now = list_cv(list_sizes(segments, partition.nlist))
    lists = training.get("lists")
    if not lists:
        return unknown("list sizes", f"{NOT_RECORDED}; the sizes of lists deviate by {now:.2f} of their mean")
    before = lists["cv"]
    sentence = f"sizes of lists deviate by {now:.2f} of their mean, {before:.2f} when the index was trained"
    remedy = "searches read more rows than they need: convert it into a new index"
    return judged("list sizes", max(now, EVEN) / max(before, EVEN), sentence, remedy)


def deleted_item(rows: int, deleted: int) -> HealthItem:
    """Share of deleted rows that are still stored."""
    stored = rows + deleted
    sentence = f"{deleted} of {stored} stored rows are deleted"
    return judged("deleted", deleted / stored if stored else 0.0, sentence, "compact drops them")


def segments_item(n: int) -> HealthItem:
    """Segments."""
    return judged("segments", n, f"the rows are in {n} segment{'s' * (n != 1)}", "compact merges them")
