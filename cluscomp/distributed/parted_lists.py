"""Training of lists by several processes (`train="distributed"`), each with a part of the sample.

The sample is a file that all of them see. Between the steps of k-means, centroids go out and sums and counts
come back; the bits are those of one process (clustering/parted.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cluscomp.arrays import normalize_rows
from cluscomp.clustering.parted import Crew, RowsPart
from cluscomp.errors import UsageError
from cluscomp.indexes.stages.ivf import Ivf
from cluscomp.indexes.stages.list_training import apply_steps
from cluscomp.indexes.stages.transform import Transform
from cluscomp.inputs.embeddings import open_embeddings
from cluscomp.progress import Progress
from cluscomp.vocabulary import Metric


class SamplePart(NamedTuple):
    """Rows first to last of the file `sample`, and what is done with them before they are clustered."""

    sample: str
    first: int
    last: int
    normalizes: bool
    steps: Sequence[Transform]
    metric: Metric

    def rows(self) -> RowsPart:
        """The rows, read and transformed."""
        rows = open_embeddings(self.sample).read(self.first, self.last)
        base = normalize_rows(rows) if self.normalizes else rows
        return RowsPart(apply_steps(self.steps, base), self.metric)


CrewOf = Callable[[Sequence[SamplePart]], AbstractContextManager[Crew]]


@dataclass(frozen=True)
class PartedLists:
    """A `ListTrainer`. sample: file of all rows that it will be given. workers: parts to cut them into."""

    sample: Path
    normalizes: bool
    workers: int
    crew_of: CrewOf

    def __call__(
        self,
        partition: Ivf,
        rows: np.ndarray,
        steps: Sequence[Transform],
        seed: int,
        progress: Progress | None,
    ) -> None:
        """Train the partition. Raises UsageError where `rows` are not those of the file."""
        n, stored = rows.shape[0], open_embeddings(self.sample).n
        if n != stored:
            raise UsageError(
                f"lists train on {n} rows at most, but the sample has {stored}; pass max_train_rows={n}, or "
                "train on one machine"
            )
        first = np.linspace(0, n, min(self.workers, n) + 1).astype(np.int64)
        metric = partition.kmeans_metric
        parts = [
            SamplePart(str(self.sample), int(start), int(stop), self.normalizes, steps, metric)
            for start, stop in pairwise(first)
        ]
        with self.crew_of(parts) as crew:
            partition.train_parts(crew, first, seed, progress)
