"""Search in codes alone, at equal bytes a vector: queries a second at equal recall@10, one thread.

No contender keeps rows: it has the bytes of its codes, those of a rerank included. Contenders are made one
after the other by all cores, and on every other query the least number of lists with which each reaches a
recall is looked for. The fastest of each library are then timed in turns on the queries between, which say,
too, what they find there.
All queries of a half are handed over at once.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from cluscomp.baselines import thread_budget
from cluscomp.bench.checks import SCORE_TIE
from cluscomp.bench.curves import kth_best_scores, recall_of
from cluscomp.bench.harness import OURS, Measured, Stopwatch, Verdict, Work
from cluscomp.bench.scan_contenders import Contender, Searcher, contenders
from cluscomp.bench.settings import Settings
from cluscomp.bench.workbench import Plan, Workbench

K = 10
TARGETS = (0.90, 0.95, 0.99)
PROBES = (2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256)
QUICK_PROBES = (4, 12, 40)
_TUNING_ROUNDS = 3
_LEAST_GAIN = 0.0005


@dataclass(frozen=True)
class Half:
    """Every other query (nq, d), and the score (nq,) of its K-th best row of `rows`."""

    rows: np.ndarray
    queries: np.ndarray
    kth_best: np.ndarray

    def recall(self, ids: np.ndarray) -> float:
        """Of hits (nq, K)."""
        return recall_of(self.rows, self.queries, ids, self.kth_best, SCORE_TIE)


@dataclass(frozen=True)
class Tuned:
    """A contender at one setting. recall, seconds: of the half that chooses among settings."""

    contender: Contender
    search: Searcher
    setting: Mapping[str, int | str]
    recall: float
    seconds: float

    def ids(self, half: Half) -> np.ndarray:
        """Ids (nq, K) of a half."""
        return self.search(half.queries, **self.setting)

    def text(self) -> str:
        """Key, bytes and setting."""
        rerank = self.setting.get("refine_factor")
        candidates = "" if rerank is None else f", refine_factor {rerank}"
        return f"{self.contender.name} at {self.setting['nprobe']} lists{candidates}"


@dataclass
class Race:
    """To one recall. fastest: of each library. best: recall of each library's best. others: why a contender
    is not the fastest.
    """

    target: float
    fastest: dict[str, Tuned] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    def enter(self, points: Sequence[Tuned]) -> None:
        """All settings of one contender."""
        library, best = points[0].contender.library, max(point.recall for point in points)
        self.best[library] = max(best, self.best.get(library, 0.0))
        reached = [point for point in points if point.recall >= self.target]
        if not reached:
            self.others.append(f"{points[0].contender.name} finds {best:.4f} at most")
            return
        pair = min(reached, key=_seconds), self.fastest.get(library)
        ranked = sorted((point for point in pair if point is not None), key=_seconds)
        self.fastest[library] = ranked[0]
        self.others += [
            f"{slower.text()}: {slower.seconds / ranked[0].seconds:.2f} times as long"
            for slower in ranked[1:]
        ]

    def measured(self, case: str, data: str, half: Half, stopwatch: Stopwatch) -> Measured:
        """The fastest in turns. Failed where another library reaches the recall and we do not."""
        runs = {library: self.fastest[library] for library in self.best if library in self.fastest}
        found = [f"{one.text()}: recall {half.recall(one.ids(half)):.4f}" for one in runs.values()]
        return Measured(
            case=f"{case}, recall@{K} {self.target:g}",
            data=data,
            seconds=stopwatch.alternate({name: partial(one.ids, half) for name, one in runs.items()}),
            verdict=Verdict(OURS in runs or not runs, "; ".join(found) or "nobody reaches it"),
            work=Work(queries=len(half.queries)),
            notes=tuple(self.others),
            missing={
                library: f"{library} does not reach it (best {best:.4f})"
                for library, best in self.best.items()
                if library not in runs
            },
        )


def _seconds(point: Tuned) -> float:
    return point.seconds


def plans(settings: Settings, code_bytes: int) -> list[Plan]:
    """500 000 rows in 1024 lists, 1000 queries, the contenders of so many bytes a vector.

    Raises UsageError where no code of ours has so few bytes, or nearly so many.
    """
    n = settings.rows(500_000, 6_000)
    n_lists = min(1024, max(1, n // 100))
    taking_part = contenders(settings, code_bytes, n_lists, K)
    case = f"n={n} IVF{n_lists}, {code_bytes} bytes"
    return [Plan(case, partial(_run, case, n, taking_part))]


def _run(case: str, n: int, taking_part: Sequence[Contender], bench: Workbench) -> list[Measured]:
    rows, queries = bench.data.base_and_queries(n, bench.settings.pick(1000, 60))
    tuning, reporting = (_half(rows.x, queries[first::2]) for first in (0, 1))
    probes = QUICK_PROBES if bench.settings.quick else PROBES
    races = [Race(target) for target in TARGETS]
    for contender in taking_part:  # an index that is nowhere the fastest goes before the next one is made
        with thread_budget(os.cpu_count() or 1, bench.settings.baselines):
            search = contender.made(rows.x)
        points = list(_tuned(contender, search, probes, tuning, bench.stopwatch))
        for race in races:
            race.enter(points)
        del points, search
    return [race.measured(case, rows.name, reporting, bench.stopwatch) for race in races]


def _half(rows: np.ndarray, queries: np.ndarray) -> Half:
    queries = np.ascontiguousarray(queries)
    return Half(rows, queries, kth_best_scores(rows, queries, K))


def _tuned(
    contender: Contender, search: Searcher, probes: Sequence[int], half: Half, stopwatch: Stopwatch
) -> Iterator[Tuned]:
    """All settings, but none with more lists than reach the highest of the recalls, or than find more. Only
    those with which a further recall is reached are timed; others have endless seconds.
    """
    for settings in contender.settings(probes):
        before = 0.0
        for setting in settings:
            recall = half.recall(search(half.queries, **setting))  # also the warm-up
            seconds = math.inf
            if any(before < target <= recall for target in TARGETS):
                seconds = stopwatch.least(partial(search, half.queries, **setting), _TUNING_ROUNDS)
            yield Tuned(contender, search, setting, recall, seconds)
            if recall >= TARGETS[-1] or recall < before + _LEAST_GAIN:
                break
            before = recall
