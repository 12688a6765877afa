"""What training again would gain on new rows: k-means, or codebooks, on half of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cluscomp.indexes.health.report import HealthItem, judged, unknown
from cluscomp.indexes.stages.codec import Codec
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.stages.registry import make_codec, make_partition
from cluscomp.indexes.stages.training_facts import spread
from cluscomp.progress import Progress, as_stage

FEWEST_PER_CENTROID = 10
"""New rows a centroid, in each half: with fewer the comparison would say more of chance than of training."""
MOST_PER_CENTROID = 64


@dataclass(frozen=True)
class _Halves:
    """Rows behind the transforms to learn from, and others to look at."""

    learned: np.ndarray
    held_out: np.ndarray

    def gain(self, before: float, after_learned: float, after_held_out: float) -> float:
        """Share of the mean cost `before` that is gained.

        Centroids fit the rows they were learned from by as much too well as they fit others too badly: the
        mean of both is what they would cost if they were learned from many rows.
        """
        return 1 - (after_learned + after_held_out) / 2 / before if before else 0.0


def gain_item(pipeline: Pipeline, rows: np.ndarray, progress: Progress | None) -> HealthItem:
    """What the lists, or without lists the codes, would gain if they were learned from new rows (n, dim)."""
    k = pipeline.partition.nlist if pipeline.partition is not None else pipeline.codec.codewords
    if not k:
        return unknown("gain", "not recorded: the key learns nothing from rows")
    if len(rows) < 2 * FEWEST_PER_CENTROID * k:
        return unknown(
            "gain",
            f"not recorded: {len(rows)} new rows are too few to learn {k} centroids from; pass at least "
            f"{2 * FEWEST_PER_CENTROID * k}",
        )
    few = spread(rows, 2 * MOST_PER_CENTROID * k)
    projected = pipeline.project(pipeline.stored_rows(few))
    halves = _Halves(np.ascontiguousarray(projected[::2]), np.ascontiguousarray(projected[1::2]))
    ticks = as_stage(progress, "gain")
    if pipeline.partition is None:
        value, what = _codec_gain(pipeline, halves, ticks), "codes would have a {:.1%} smaller error"
    else:
        value, what = _list_gain(pipeline, halves, ticks), "rows would lie {:.1%} closer to their centroids"
    sentence = f"trained on the {len(rows)} new rows, {what.format(value)}"
    return judged("gain", value, sentence, "convert the index into a new one, from vectors")


def _list_gain(pipeline: Pipeline, halves: _Halves, progress: Progress | None) -> float:
    old = pipeline.partition
    assert old is not None
    new = make_partition(old.spec, old.dim, old.metric)
    assert new is not None
    new.train(halves.learned, pipeline.seed, progress)

    def cost(partition: type(old), x: np.ndarray) -> float:  # type: ignore[valid-type]
        residuals = partition.residuals(x, partition.assign(x))
        return float(np.einsum("nd,nd->n", residuals, residuals).mean(dtype=np.float64))

    before = (cost(old, halves.learned) + cost(old, halves.held_out)) / 2
    return halves.gain(before, cost(new, halves.learned), cost(new, halves.held_out))


def _codec_gain(pipeline: Pipeline, halves: _Halves, progress: Progress | None) -> float:
    new = make_codec(pipeline.spec.codec, pipeline.codec.dim)
    new.train(halves.learned, pipeline.seed, progress)

    def error(codec: Codec, x: np.ndarray) -> float:
        lost = x - codec.decode(codec.encode(x))
        return float(np.einsum("nd,nd->n", lost, lost).mean(dtype=np.float64))

    before = (error(pipeline.codec, halves.learned) + error(pipeline.codec, halves.held_out)) / 2
    return halves.gain(before, error(new, halves.learned), error(new, halves.held_out))
