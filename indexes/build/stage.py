"""Steps of a build: what each needs and records, and the loop that runs those which are not finished."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluscomp.indexes.build.memory import peak_bytes
from cluscomp.indexes.build.plan import BuildPlan
from cluscomp.indexes.build.request import WHOLE, Request, Shard
from cluscomp.indexes.build.work import FinishedWork, WorkFolder
from cluscomp.indexes.stages.list_training import ListTrainer, train_lists
from cluscomp.indexes.storage.place import Place
from cluscomp.indexes.storage.places import place_of
from cluscomp.progress import Progress

Facts = dict[str, Any]


class WorkDone:
    """What finished stages have left: files in a folder, and their facts."""

    def __init__(self, folder: FinishedWork) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Where a stage leaves a file for later ones."""
        return self.folder.path / name

    def facts(self, stage: str) -> Facts:
        """What a finished stage recorded; empty while it is to do."""
        return self.folder.facts(stage) or {}


class BuildWork(WorkDone):
    """A build under way: the folder that remembers finished stages, and what this process did and measured.

    output: where the index shall stand. replace: an old index there may be replaced. config: further settings
    to record in build.json. plan: set by the stage "plan". lists: trains the lists. ran: stages that ran,
    measured. resumed: stages that were taken over.
    """

    plan: BuildPlan
    folder: WorkFolder

    def __init__(
        self,
        folder: WorkFolder,
        output: str | Path | Place,
        progress: Progress,
        *,
        replace: bool,
        config: Mapping[str, Any],
    ) -> None:
        super().__init__(folder)
        self.progress = progress
        self.output = place_of(output) if isinstance(output, (str, Path)) else output
        self.replace, self.config = replace, dict(config)
        self.lists: ListTrainer = train_lists
        self.ran: list[dict[str, Any]] = []
        self.resumed: list[str] = []

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Measure what is done inside, and report it under this name."""
        start = time.monotonic()
        yield
        self.measure(name, start)

    def measure(self, name: str, start: float) -> None:
        """Report a stage that began at `start` of the monotonic clock and ends now."""
        self.ran.append({"name": name, "seconds": time.monotonic() - start, "peak_memory": peak_bytes()})


@dataclass(frozen=True)
class Stage:
    """One step of a build.

    name: under which it is recorded, and reported where it handled rows. needs: stages whose facts or files
    it uses; when one of them is done again with other facts, this one is, too. run: does the work and returns
    facts (JSON values) to record, "rows" among them where rows were handled; None records nothing, so that
    the step is always done again. holds: whether what it left, and recorded with these facts, can be used.

    Checking rows and writing them is of the shard. What training needs is of all rows, so that all shards
    train alike: reading texts, encoding or pooling, and the sample.
    """

    name: str
    needs: tuple[str, ...]
    run: Callable[[BuildWork, Request, Shard], Facts | None]
    holds: Callable[[BuildWork, Request, Facts], bool] = lambda work, request, facts: True


def run_stages(stages: Sequence[Stage], work: BuildWork, request: Request, shard: Shard = WHOLE) -> None:
    """Run the stages in order; finished ones are taken over."""
    for stage in stages:
        known = work.folder.facts(stage.name)
        if known is not None and stage.holds(work, request, known):
            facts: Facts | None = known
            if known.get("rows"):
                work.resumed.append(stage.name)
        else:
            facts = _run(stage, work, request, shard)
            if known not in (None, facts):
                work.folder.forget(_dependents(stages, stage.name))
            if facts is not None:
                work.folder.finish(stage.name, **facts)
        if facts and facts.get("rows"):
            work.progress(stage.name, facts["rows"], facts["rows"])


def _run(stage: Stage, work: BuildWork, request: Request, shard: Shard) -> Facts | None:
    start = time.monotonic()
    facts = stage.run(work, request, shard)
    if facts is None:
        return None
    if facts.get("rows"):
        work.measure(stage.name, start)
    as_recorded: Facts = json.loads(json.dumps(facts))
    return as_recorded


def _dependents(stages: Sequence[Stage], name: str) -> tuple[str, ...]:
    """Later stages that need a stage, or one that needs it."""
    stale = [name]
    first = [stage.name for stage in stages].index(name) + 1
    for stage in stages[first:]:
        if set(stage.needs) & set(stale):
            stale.append(stage.name)
    return tuple(stale[1:])
