"""Contenders in turns: one warm-up each, the check of equality, then rounds A B A B ... in one process.

Turns expose all contenders to the same drift in machine speed, so the ratio of two of them is taken round by
round and its median reported. Times are wall-clock times.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluscomp.progress import Progress

OURS = "cluscomp"


@dataclass(frozen=True)
class Contender:
    """One way to do the work of a case: `run` does all of it and returns what the check compares."""

    name: str
    run: Callable[[], Any]


@dataclass(frozen=True)
class Verdict:
    """Whether results are equal as far as the case asks for, and the figures that say so."""

    passed: bool
    detail: str


@dataclass(frozen=True)
class Work:
    """What a plain method would do: the unit in which speed is stated, the same for every contender.

    flops: floating-point operations (2 for a multiply-add), or None where no figure is fair. bytes: that a
    memory-bound method would read, or None where arithmetic is the limit. queries: answered. peak_gflops: of
    the device that does it; None = the processor, whose peak the run measures.
    """

    flops: float | None = None
    bytes: float | None = None
    queries: int | None = None
    peak_gflops: float | None = None


@dataclass(frozen=True)
class Case:
    """contenders: ours first. check: gets the outputs of the warm-up by name. data: name of the data."""

    name: str
    data: str
    contenders: tuple[Contender, ...]
    check: Callable[[Mapping[str, Any]], Verdict]
    work: Work = Work()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """Outcome of a case. seconds: samples by contender, one a round; empty when the check failed.

    missing: contenders that have no time, with the reason.
    """

    case: str
    data: str
    seconds: Mapping[str, Sequence[float]]
    verdict: Verdict
    work: Work = Work()
    notes: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Stopwatch:
    """Times callables in turns.

    rounds: at least so many. min_seconds: short work goes on until it has been timed for this long in all,
    but for at most 10 times `rounds`. pause: seconds between two contenders, so that the worker threads of
    one, which keep spinning for a moment, do not slow the next. clock, sleep: replaced by tests.
    """

    rounds: int
    min_seconds: float = 1.0
    pause: float = 0.02
    clock: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep
    progress: Progress | None = None

    def alternate(self, runs: Mapping[str, Callable[[], Any]]) -> dict[str, list[float]]:
        """Seconds of every round by name; all runs take their turn in every round."""
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        total = 0.0
        done = 0
        while done < self.rounds or (total < self.min_seconds * len(runs) and done < 10 * self.rounds):
            for name, run in runs.items():
                self.sleep(self.pause)
                start = self.clock()
                run()
                seconds[name].append(self.clock() - start)
                total += seconds[name][-1]
            done += 1
            self._report(done)
        self._report(max(done, self.rounds), finished=True)
        return seconds

    def least(self, run: Callable[[], Any], rounds: int) -> float:
        """Least seconds of some rounds of one callable, to choose by, not to report."""
        times = []
        for _ in range(rounds):
            start = self.clock()
            run()
            times.append(self.clock() - start)
        return min(times)

    def _report(self, done: int, *, finished: bool = False) -> None:
        if self.progress is not None and (finished or done < self.rounds):
            self.progress("rounds", min(done, self.rounds), self.rounds)


def host_array(output: Any) -> Any:
    """A torch tensor as a NumPy array on the host; anything else as it is."""
    return output.cpu().numpy() if hasattr(output, "cpu") else output


def measure(case: Case, stopwatch: Stopwatch) -> Measured:
    """Warm up, check, time. Contenders whose results are not equal are not timed: there is nothing to win."""
    outputs = {contender.name: host_array(contender.run()) for contender in case.contenders}
    verdict = case.check(outputs)
    del outputs
    seconds: dict[str, list[float]] = {}
    if verdict.passed:
        seconds = stopwatch.alternate({contender.name: contender.run for contender in case.contenders})
    missing = {} if verdict.passed else {c.name: "not timed" for c in case.contenders}
    return Measured(case.name, case.data, seconds, verdict, case.work, case.notes, missing)
