"""`health` of an index: all items, in one order."""

from __future__ import annotations

from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.errors import UsageError
from cluscomp.indexes.health.drift import cost_item, error_item, figures, occupancy_item
from cluscomp.indexes.health.probe import Searched, probe_item
from cluscomp.indexes.health.report import Health, HealthItem, worst
from cluscomp.indexes.health.retraining import gain_item
from cluscomp.indexes.health.shape import deleted_item, growth_item, list_sizes_item, segments_item
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.segments.rows import rows_of_dim
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.progress import Progress

SAMPLE = 4096
"""Rows that are decoded for segments without figures."""


class HasHealth:
    """What an index needs to be examined: its stages, its segments, and what is known of its training."""

    spec: IndexSpec
    key: str
    dim: int
    pipeline: Pipeline
    _segments: tuple[Any, ...]
    _training: dict[str, Any]

    def health(
        self,
        sample: int = SAMPLE,
        probe: bool = False,
        new: Any = None,
        *,
        lengths: Any = None,
        progress: Progress | None = None,
    ) -> Health:
        """Tell whether the index still fits its rows, or should be trained anew.

        Compares figures that were kept when the index was trained with those kept of every add: how far rows
        lie from their centroids, which lists they fall into, and what their codes lose. What was not recorded
        is said to be so, never guessed. Nothing is changed: training anew is `convert_index` into a new
        folder.

        Args:
            sample: rows to decode, at most, for segments of older versions, which have no figures; only finer
                codes of a rerank tell them.
            probe: also search with 256 stored rows, by default and through all lists.
            new: vectors (n, dim) that are to be added, an array or a VectorSource: also train on half of
                them, and say what that would gain.
            lengths: token vectors of each document of `new`, for keys with a pool.
            progress: called as progress(stage, done, total) while it trains.

        Returns:
            A `Health`: its state is "ok", "watch" or "retrain", and each item has its number, its thresholds
            and a sentence.

        Raises:
            NotTrainedError: the key has to learn first.
            UsageError: lengths without documents, or sample is out of its range.
            DimensionError, DTypeError, NonFiniteError, TooLargeError: new is wrong.
            CorruptIndexError: positions in a folder are inconsistent.

        """
        most = checks.integer("sample", sample, 1)
        self.pipeline.require_trained()
        segments, training = self._segments, self._training
        rows = None if new is None else self._new_vectors(new, lengths)
        deleted = sum(segment.n_deleted for segment in segments)
        live = sum(segment.n_rows for segment in segments) - deleted
        known = figures(self.pipeline, segments, training, most)
        found: list[HealthItem | None] = [
            cost_item(self.pipeline, known),
            occupancy_item(self.pipeline, segments, known),
            error_item(self.pipeline, known),
            growth_item(self.pipeline, live, training),
            list_sizes_item(self.pipeline, segments, training),
            deleted_item(live, deleted),
            segments_item(len(segments)),
            probe_item(self._searched()) if probe and live else None,
            None if rows is None else gain_item(self.pipeline, rows, progress),
        ]
        items = tuple(item for item in found if item is not None)
        shown = tuple({"stored": part.n_rows, **part.statistics} for part in segments)
        return Health(self.key, worst(items), live, training.get("rows"), items, shown)

    def _new_vectors(self, new: Any, lengths: Any) -> np.ndarray:
        """Vectors (n, dim) of kernel dtype, as they would be stored."""
        if kind_of(self.spec).terms:
            raise UsageError(f"new={type(new).__name__}: rows of {self.key!r} are terms, and no vectors")
        if lengths is not None:
            raise UsageError(f"lengths belong to documents, but {self.key!r} stores single vectors")
        if hasattr(new, "blocks"):
            new = new.read(0, new.n)
        return rows_of_dim(new, self.dim, "rows", largest=self.pipeline.largest)

    def _searched(self) -> Searched:
        return self  # type: ignore[return-value]
