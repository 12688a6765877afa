"""The engine of Ray: a step is a task, which gets a path and a number and returns a few facts.

Ray runs a task again that its worker did not survive. Errors of ours are returned, not raised, so that a
wrong row is not tried again; other errors of the system are.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from cluscomp import errors
from cluscomp.clustering.parted import Crew
from cluscomp.distributed.job import Job
from cluscomp.distributed.parted_lists import SamplePart
from cluscomp.distributed.ray_cluster import RayCluster, environment
from cluscomp.distributed.ray_crew import ray_crew
from cluscomp.distributed.steps import TRAIN, Step, run_step_at
from cluscomp.progress import Progress, silent

RETRIES = 3


class RayEngine:
    """Steps of one phase as tasks of a Ray cluster. address: as of `RayCluster`."""

    def __init__(self, address: str | None) -> None:
        self._cluster = RayCluster(address)

    def __enter__(self) -> RayEngine:
        self._cluster.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cluster.__exit__(kind, error, trace)

    def run(self, job: Job, steps: Sequence[Step], progress: Progress) -> list[dict[str, Any]]:
        """See Engine. Raises ShardUnavailableError for a step whose workers all died."""
        ray = self._cluster.ray
        task = ray.remote(_task).options(**self._options(job, steps))
        waiting = {task.remote(str(job.folder), *step): number for number, step in enumerate(steps)}
        facts: list[dict[str, Any]] = [{} for _ in steps]
        done = 0
        try:
            while waiting:
                ready, _ = ray.wait(list(waiting), num_returns=1, timeout=1.0)
                for reference in ready:
                    number = waiting.pop(reference)
                    facts[number] = self._result(reference, steps[number])
                    done += 1
                    progress(steps[0].name, done, len(steps))
        finally:
            for reference in waiting:  # the first error ends the others
                ray.cancel(reference, force=True)
        return facts

    def crew(self, job: Job, parts: Sequence[SamplePart]) -> AbstractContextManager[Crew]:
        """See Engine. Large arrays travel as files of the plan."""
        return ray_crew(self._cluster, job.work, parts)

    def _options(self, job: Job, steps: Sequence[Step]) -> dict[str, Any]:
        widest, total = self._cluster.cpus()
        threads = max(1, min(widest, total // len(steps)))
        memory = _memory(job, steps[0])
        self._cluster.require_memory(memory)
        return {
            "num_cpus": threads,
            "memory": memory,
            "max_retries": RETRIES,
            "retry_exceptions": [OSError],
            "runtime_env": environment(threads),
        }

    def _result(self, reference: Any, step: Step) -> dict[str, Any]:
        ray = self._cluster.ray
        try:
            facts, error = ray.get(reference)
        except ray.exceptions.RayTaskError as exc:
            raise exc.as_instanceof_cause() from exc
        except ray.exceptions.RayError as exc:
            which = step.name if step.shard is None else f"{step.name} of shard {step.shard}"
            raise errors.ShardUnavailableError(
                f"the step {which} was started {RETRIES + 1} times and its worker died each time "
                f"({type(exc).__name__}); look at the memory of the nodes, and run the same call again"
            ) from exc
        if error is not None:
            raise error
        result: dict[str, Any] = facts
        return result


def _task(folder: str, name: str, shard: int | None) -> tuple[dict[str, Any], errors.CluscompError | None]:
    """Facts of a step, or the error of ours that it ended with."""
    try:
        return run_step_at(Path(folder), Step(name, shard), silent), None
    except errors.CluscompError as exc:
        return {}, exc


def _memory(job: Job, step: Step) -> int:
    """Bytes that the process of a step takes at most."""
    building = job.plan.building
    trains = step.name == TRAIN
    stages = [
        stage.memory_bytes for stage in building.stages if trains or stage.name not in ("sample", "train")
    ]
    return building.baseline_bytes + max(stages)
