"""What the cases share: settings, data, the stopwatch; and how a case waits until its turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from cluscomp.baselines import library
from cluscomp.bench.data import DataSource
from cluscomp.bench.harness import OURS, Case, Contender, Measured, Stopwatch, measure
from cluscomp.bench.settings import Settings


@dataclass(frozen=True)
class Workbench:
    """Handed to each case when its turn comes. stopwatch: with the progress of this case."""

    settings: Settings
    data: DataSource
    stopwatch: Stopwatch

    def measure(self, case: Case) -> list[Measured]:
        """`harness.measure` as the list that a plan returns."""
        return [measure(case, self.stopwatch)]


@dataclass(frozen=True)
class Plan:
    """A case by name; `run` makes its data, measures, and lets go of all memory before the next one."""

    name: str
    run: Callable[[Workbench], list[Measured]]


def contenders(
    settings: Settings,
    ours: Callable[[], Any],
    baselines: Mapping[str, Callable[[ModuleType], Callable[[], Any]]],
) -> tuple[Contender, ...]:
    """Ours, then those of `baselines` that the settings ask for, each made with the module of its library."""
    chosen = [
        Contender(name, make(library(name))) for name, make in baselines.items() if name in settings.baselines
    ]
    return (Contender(OURS, ours), *chosen)
