"""The engine of Ray: a step is a task, which gets a path and a number and returns a few facts.

Ray runs a task again that its worker did not survive. Errors of ours are returned, not raised, so that a
wrong row is not tried again; other errors of the system are.

A cluster of this machine, and the workers that will encode, take seconds to start. So they start while this
process trains, which has the same processors.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
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
from cluscomp.distributed.steps import TRAIN, Step, run_step, run_step_at
from cluscomp.progress import Progress, silent

RETRIES = 3


class RayEngine:
    """Steps of one phase as tasks of a Ray cluster. address: as of `RayCluster`. shards: steps that there
    will be of a phase.
    """

    def __init__(self, address: str | None, shards: int) -> None:
        self._starting, self._shards = RayCluster(address), shards
        self._start: Future[None] | None = None
        self._thread: ThreadPoolExecutor | None = None

    def __enter__(self) -> RayEngine:
        if self._starting.is_there:
            self._starting.__enter__()
        else:
            # Linux ends the processes of Ray when the thread ends that started them: it stays until the end.
            self._thread = ThreadPoolExecutor(1)
            self._start = self._thread.submit(self._start_here)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._start is not None:
            wait([self._start])
        self._starting.__exit__(kind, error, trace)
        if self._thread is not None:
            self._thread.shutdown()

    @property
    def _cluster(self) -> RayCluster:
        """The cluster, once it has started."""
        if self._start is not None:
            self._start.result()
        return self._starting

    def run(self, job: Job, steps: Sequence[Step], progress: Progress) -> list[dict[str, Any]]:
        """See Engine. Raises ShardUnavailableError for a step whose workers all died."""
        if steps[0].name == TRAIN and self._start is not None:
            return [run_step(job, step, progress) for step in steps]
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

    def _start_here(self) -> None:
        """Start a cluster, and let the processes start that will encode; does not wait for these."""
        cluster = self._starting.__enter__()
        threads = _threads(cluster, self._shards)
        task = cluster.ray.remote(_nothing)
        task = task.options(num_cpus=threads, runtime_env=environment(threads), max_retries=0)
        for _ in range(min(self._shards, cluster.cpus()[1] // threads)):
            task.remote()

    def _options(self, job: Job, steps: Sequence[Step]) -> dict[str, Any]:
        threads = _threads(self._cluster, len(steps))
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


def _threads(cluster: RayCluster, n_steps: int) -> int:
    """Threads of each of so many steps that run at the same time."""
    widest, total = cluster.cpus()
    return max(1, min(widest, total // n_steps))


def _task(folder: str, name: str, shard: int | None) -> tuple[dict[str, Any], errors.CluscompError | None]:
    """Facts of a step, or the error of ours that it ended with."""
    try:
        return run_step_at(Path(folder), Step(name, shard), silent), None
    except errors.CluscompError as exc:
        return {}, exc


def _nothing() -> None:
    """Import what a step needs; Ray does so to call this."""


def _memory(job: Job, step: Step) -> int:
    """Bytes that the process of a step takes at most."""
    building = job.plan.building
    trains = step.name == TRAIN
    stages = [
        stage.memory_bytes for stage in building.stages if trains or stage.name not in ("sample", "train")
    ]
    return building.baseline_bytes + max(stages)
