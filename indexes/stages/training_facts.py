"""What is kept of the rows that an index learned from: costs, code errors, and numbers in the lists."""

from __future__ import annotations

from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks
from cluscomp.clustering.assign import run_assigner
from cluscomp.clustering.blocks import take_rows
from cluscomp.indexes.stages.ivf import Ivf
from cluscomp.indexes.stages.pipeline import BLOCK_ROWS, MIN_TRAINING_SAMPLE, Pipeline
from cluscomp.indexes.stages.tally import MOST_ROWS, figures_of, summary

MOST_GROUPS = 64
"""Groups of neighbouring lists whose rows are counted together."""


def training_facts(pipeline: Pipeline, sample: np.ndarray, rows: int) -> dict[str, Any]:
    """JSON values about the rows (n, dim) of kernel dtype that a pipeline was just trained on.

    rows: how many the index was trained for, of which the sample is a part. "trained_on": n. "lists": rows
    that were assigned, their number in each group of lists, and "cv", the deviation of the sizes of lists
    over their mean beyond that of chance.
    """
    found: dict[str, Any] = {"rows": rows, "trained_on": len(sample)}
    few = spread(sample, MOST_ROWS)
    projected = pipeline.project(pipeline.stored_rows(few))
    labels = None if pipeline.partition is None else pipeline.partition.assign(projected)
    found |= summary(figures_of(pipeline, projected, labels, pipeline.codes(projected, labels)))
    if pipeline.partition is not None:
        found["lists"] = _occupancy(pipeline, pipeline.partition, spread(sample, MIN_TRAINING_SAMPLE))
    return found


def spread(rows: np.ndarray, limit: int) -> np.ndarray:
    """At most `limit` rows, evenly spaced."""
    n = len(rows)
    return rows if n <= limit else take_rows(rows, np.linspace(0, n - 1, limit).astype(np.int64))


def _occupancy(pipeline: Pipeline, partition: Ivf, rows: np.ndarray) -> dict[str, Any]:
    sizes = np.zeros(partition.nlist, dtype=np.int64)
    for block in iter_blocks(len(rows), BLOCK_ROWS):
        projected = pipeline.project(pipeline.stored_rows(rows[block]))
        sizes += np.bincount(partition.assign(projected), minlength=partition.nlist)
    counts = grouped(partition, sizes)
    return {"rows": len(rows), "groups": counts.tolist(), "cv": round(list_cv(sizes), 6)}


def grouped(partition: Ivf, sizes: np.ndarray) -> np.ndarray:
    """Rows (groups,) int64 of lists that hold `sizes` rows (nlist,), in groups of neighbours.

    Lists belong to the best of the first MOST_GROUPS centroids: all levels of the native core agree on it.
    """
    anchors = np.ascontiguousarray(partition.centroids[:MOST_GROUPS])
    groups, _ = run_assigner(native.Assigner(anchors, partition.metric), partition.centroids)
    return np.bincount(groups, weights=sizes, minlength=len(anchors)).astype(np.int64)


def list_cv(sizes: np.ndarray) -> float:
    """Standard deviation of the sizes of lists over their mean, beyond that of rows thrown at random."""
    mean = float(sizes.mean())
    return float(np.sqrt(max(0.0, float(sizes.var()) / mean**2 - 1 / mean))) if mean else 0.0
