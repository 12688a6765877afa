"""Engines: what runs the steps of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Protocol

from cluscomp import checks
from cluscomp.clustering.parted import Crew, LocalCrew
from cluscomp.distributed.job import Job
from cluscomp.distributed.parted_lists import SamplePart
from cluscomp.distributed.steps import Step, run_step
from cluscomp.errors import UsageError
from cluscomp.progress import Progress, silent
from cluscomp.vocabulary import ENGINES


class Engine(Protocol):
    """Runs the steps of a phase."""

    def run(self, job: Job, steps: Sequence[Step], progress: Progress) -> list[dict[str, Any]]:
        """Do all steps; returns their facts in order. The first error ends the phase, and is raised."""
        ...

    def crew(self, job: Job, parts: Sequence[SamplePart]) -> AbstractContextManager[Crew]:
        """What trains lists on the parts of a sample."""
        ...


class LocalEngine:
    """One step after the other in this process, each with all its threads."""

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def run(self, job: Job, steps: Sequence[Step], progress: Progress) -> list[dict[str, Any]]:
        """See Engine."""
        alone = len(steps) == 1
        facts = []
        for done, step in enumerate(steps, 1):
            facts.append(run_step(job, step, progress if alone else silent))
            progress(step.name, done, len(steps))
        return facts

    def crew(self, job: Job, parts: Sequence[SamplePart]) -> AbstractContextManager[Crew]:
        """See Engine."""
        return nullcontext(LocalCrew([part.rows() for part in parts]))


def engine_of(name: str, address: str | None, shards: int) -> AbstractContextManager[Engine]:
    """The engine of a name. shards: steps of a phase.

    Raises UnknownKeyError, UsageError, OptionalDependencyError.
    """
    checks.one_of("engine", name, ENGINES)
    if name == "local":
        if address is not None:
            raise UsageError(f"address={address!r} is that of a Ray cluster; pass engine='ray' with it")
        return LocalEngine()
    from cluscomp.distributed.ray_engine import RayEngine

    return RayEngine(address, shards)
