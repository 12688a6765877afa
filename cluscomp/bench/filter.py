"""Search among the rows that pass a filter: queries a second at equal recall@10 among them, one thread.

Against faiss with an IDSelectorBitmap, and hnswlib with a function that says of an id whether it passes, the
only filter that it has. A filter passes rows by an attribute that has nothing to do with the vectors; all
know the filter before the clock runs, since ours keeps the bits of a condition.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from cluscomp.bench.checks import SCORE_TIE
from cluscomp.bench.curves import Point, kth_best_scores, recall_of
from cluscomp.bench.data import Rows
from cluscomp.bench.filter_rivals import FaissRows, HnswRows
from cluscomp.bench.harness import OURS, Measured
from cluscomp.bench.scan import at_recall, setting_text
from cluscomp.bench.settings import Settings
from cluscomp.bench.workbench import Plan, Workbench
from cluscomp.indexes.factory import index_factory

BASELINES = ("faiss", "hnswlib")
THREADS = 1
K = 10
TARGET = 0.95
SHARES = (0.5, 0.1, 0.01, 0.001)
M = 192
PROBES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CANDIDATES = (40, 80)
EFFORTS = (10, 20, 40, 80, 160, 320, 640, 1280)
"""Candidates that hnswlib keeps while it searches (ef)."""
LONGEST = 20.0
"""Seconds of a setting from which no greater effort is tried."""

Search = Callable[..., np.ndarray]
"""Ids (nq, K) of all queries, at one setting."""


@dataclass(frozen=True)
class Contender:
    """made: the search among the rows of rank below a number. settings: its arguments, least effort first.
    rising: each takes longer and finds more than the one before; those behind the target are left out.
    """

    made: Callable[[int], Search]
    settings: Sequence[tuple[int, ...]]
    rising: bool = False


def plans(settings: Settings) -> list[Plan]:
    """500 000 rows in 1024 lists, and without lists; 200 queries and four filters each. They are one plan,
    since hnswlib has the same graph for both.
    """
    n = settings.rows(500_000, 6_000)
    keys = f"IVF{min(1024, max(1, n // 100))},PQ{M}x4,RFlat", "Flat"
    return [Plan(f"n={n} {keys[0]} and {keys[1]}", partial(_run, n, keys))]


def _run(n: int, keys: Sequence[str], bench: Workbench) -> list[Measured]:
    data, queries = bench.data.base_and_queries(n, bench.settings.pick(200, 20))
    ranks = np.random.default_rng(bench.settings.seed).permutation(n)
    graph = HnswRows(data.x, ranks, bench.settings.seed) if "hnswlib" in bench.settings.baselines else None
    return [measured for key in keys for measured in _measured(key, data, ranks, queries, bench, graph)]


def _measured(
    key: str, data: Rows, ranks: np.ndarray, queries: np.ndarray, bench: Workbench, graph: HnswRows | None
) -> Iterator[Measured]:
    n, contenders = len(data.x), _contenders(key, data.x, ranks, queries, bench.settings, graph)
    for share in SHARES if not bench.settings.quick else SHARES[:2]:
        most = max(K, round(share * n))
        kth_best = kth_best_scores(data.x[ranks < most], queries, K)

        def recall(ids: np.ndarray, kth_best: np.ndarray = kth_best) -> float:
            return recall_of(data.x, queries, ids, kth_best, SCORE_TIE)

        points = _points(bench, contenders, most, recall)
        yield at_recall(f"n={n} {key}, {share:g} pass", data.name, points, TARGET, len(queries))


def _contenders(
    key: str,
    x: np.ndarray,
    ranks: np.ndarray,
    queries: np.ndarray,
    settings: Settings,
    graph: HnswRows | None,
) -> dict[str, Contender]:
    ours: Any = index_factory(key, x.shape[1], "ip", seed=settings.seed)
    ours.train(x).add(x, attributes={"rank": ranks})
    nlist = ours.spec.nlist
    lists = [*(probes for probes in PROBES if probes < nlist), nlist]
    grid = [(probes, candidates) for probes in lists for candidates in CANDIDATES[:nlist]]
    made = {OURS: Contender(partial(_ours, ours, queries), grid)}
    if "faiss" in settings.baselines:
        made["faiss"] = Contender(FaissRows(key, x, ranks).searcher(queries, K), grid)
    if graph is not None:
        efforts = [(effort,) for effort in EFFORTS]
        made["hnswlib"] = Contender(graph.searcher(queries, K), efforts, rising=True)
    return made


def _points(
    bench: Workbench, contenders: Mapping[str, Contender], most: int, recall: Callable[[np.ndarray], float]
) -> dict[str, list[Point]]:
    """Recall among the rows that pass, and times, of all settings."""
    runs: dict[str, Callable[[], np.ndarray]] = {}
    reached: dict[str, list[tuple[str, str, float]]] = {}
    for name, contender in contenders.items():
        search, reached[name] = contender.made(most), []
        for setting in contender.settings:
            run, text = partial(search, *setting), _text(setting)
            start = time.perf_counter()
            found = recall(run())  # also the warm-up
            runs[f"{name} {text}"] = run
            reached[name].append((f"{name} {text}", text, found))
            if contender.rising and (found >= TARGET or time.perf_counter() - start > LONGEST):
                break
    seconds = bench.stopwatch.alternate(runs)
    return {
        name: [Point(text, found, seconds[run]) for run, text, found in settings]
        for name, settings in reached.items()
    }


def _text(setting: tuple[int, ...]) -> str:
    return f"ef {setting[0]}" if len(setting) == 1 else setting_text((setting[0], setting[1]))


def _ours(index: Any, queries: np.ndarray, most: int) -> Search:
    def search(n_probe: int, candidates: int) -> np.ndarray:
        options = {"nprobe": n_probe, "refine_factor": candidates // K, "filter": f"rank < {most}"}
        found: np.ndarray = index.search(queries, K, **options)[1]
        return found

    return search
