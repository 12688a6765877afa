"""The rows of one shard, before they are encoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.distributed.job import Job
from cluscomp.indexes.build.plan import BuildPlan
from cluscomp.indexes.build.recipe import Rows
from cluscomp.indexes.build.request import Request
from cluscomp.indexes.build.stage import BuildWork, WorkDone, run_stages
from cluscomp.indexes.build.stages import PLAN
from cluscomp.indexes.build.vectors import CHECK
from cluscomp.indexes.build.work import FinishedWork, WorkFolder
from cluscomp.indexes.stages.pipeline import BLOCK_ROWS
from cluscomp.progress import Progress


@dataclass(frozen=True)
class ShardRows:
    """Part of some rows. request: that they belong to. work: what the stages before have left. plan: sizes
    that fit the memory.
    """

    rows: Rows
    part: slice
    request: Request
    work: WorkDone
    plan: BuildPlan

    @property
    def n(self) -> int:
        """Rows of the shard."""
        return self.part.stop - self.part.start

    @property
    def n_vectors(self) -> int:
        """Their vectors."""
        return self.rows.n_vectors(self.part)

    def blocks(self) -> Iterator[tuple[Any, Any]]:
        """Blocks with their ids, as the writer of a segment takes them."""
        return self.rows.blocks(self.part, self.plan.block_rows)


@contextmanager
def shard_rows(job: Job, number: int, folder: Path, progress: Progress) -> Iterator[ShardRows]:
    """Open the rows of a shard. folder: an empty one to work in."""
    opened = _of_source(job, number, folder, progress) if job.reads_parts else _of_training(job, number)
    with opened as rows:
        yield rows


@contextmanager
def _of_source(job: Job, number: int, folder: Path, progress: Progress) -> Iterator[ShardRows]:
    """Rows that the shard reads, and pools where they are documents."""
    request, own = job.part_request(number), WorkFolder(folder, {})
    try:
        work = BuildWork(own, folder, progress, replace=False, config={})
        work.plan = job.plan.building
        # Values are checked when they are encoded, so that a shard reads its rows once.
        stages = [stage for stage in job.recipe.prepare(request) if stage not in (PLAN, CHECK)]
        run_stages(stages, work, request)
        with job.recipe.rows(work, request) as rows:
            yield ShardRows(rows, slice(0, rows.n), request, work, job.plan.building)
    finally:
        own.close()


@contextmanager
def _of_training(job: Job, number: int) -> Iterator[ShardRows]:
    """Some of the rows that the step train has left."""
    part, work = job.plan.part(number), WorkDone(FinishedWork(job.work))
    request = replace(job.request, described=job.request.described.part(part))
    with job.recipe.rows(work, request) as rows:
        yield ShardRows(rows, part, request, work, job.plan.building)


def projected_vectors(job: Job, shard: ShardRows) -> Iterator[np.ndarray]:
    """Vectors (n, d) float32 of a shard, of which lists are chosen: behind the transforms, in blocks."""
    pipeline, writer = job.index.pipeline, job.recipe.writer
    for block, _ in shard.blocks():
        vectors = writer.vectors(block)
        for part in iter_blocks(vectors.shape[0], BLOCK_ROWS):
            yield pipeline.project(pipeline.stored_rows(vectors[part]))
