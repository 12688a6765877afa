"""The steps of a build in shards, in phases: those of one phase may run at the same time, in any order, and
more than once.

    train                          once
    choose I, place                where the lists of rows are placed in order (BIVF): of each shard, and once
    encode I                       of each shard
    commit                         once, by the caller
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from cluscomp.distributed.encoding import encode
from cluscomp.distributed.job import Job
from cluscomp.distributed.lists import choose, place
from cluscomp.distributed.training import train
from cluscomp.errors import CluscompError
from cluscomp.progress import Progress

TRAIN, CHOOSE, PLACE, ENCODE = "train", "choose", "place", "encode"


class Step(NamedTuple):
    """A step, and the shard that it is of, None for one of all."""

    name: str
    shard: int | None = None


def phases(job: Job) -> list[list[Step]]:
    """All steps before the commit."""
    shards = range(job.plan.shards)
    found = [[Step(TRAIN)]]
    if job.places_in_order:
        found += [[Step(CHOOSE, number) for number in shards], [Step(PLACE)]]
    return [*found, [Step(ENCODE, number) for number in shards]]


def run_step(job: Job, step: Step, progress: Progress) -> dict[str, Any]:
    """Do a step, unless it is done; returns facts that are small.

    An error of ours names the shard. Raises UsageError for a shard that does not exist.
    """
    if step.shard is not None:
        job.require_shard(step.shard)
    try:
        if step.name == TRAIN:
            train(job, progress)
        elif step.name == PLACE:
            place(job, progress)
        elif step.shard is not None and step.name == CHOOSE:
            choose(job, step.shard, progress)
        elif step.shard is not None:
            return encode(job, step.shard, progress).facts()
    except CluscompError as exc:
        if step.shard is None:
            raise
        raise of_shard(exc, step.shard) from exc
    return {}


def run_step_at(folder: Path, step: Step, progress: Progress) -> dict[str, Any]:
    """`run_step` in another process than that which planned."""
    return run_step(Job.open(folder), step, progress)


def of_shard(error: CluscompError, number: int) -> CluscompError:
    """The same error with the shard in its message."""
    *before, message = error.args
    return type(error)(*before, f"shard {number}: {message}")
