"""Search among the rows that pass a filter: queries a second at equal recall@10 among them, one thread.

Against faiss with an IDSelectorBitmap. A filter passes rows by an attribute that has nothing to do with the
vectors; both contenders know the filter before the clock runs, since ours keeps the bits of a condition.
"""

from __future__ import annotations

from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from cluscomp.baselines import library
from cluscomp.bench.checks import SCORE_TIE
from cluscomp.bench.curves import Point, kth_best_scores, recall_of
from cluscomp.bench.harness import OURS, Measured
from cluscomp.bench.scan import Search, at_recall, setting_text
from cluscomp.bench.settings import Settings
from cluscomp.bench.workbench import Plan, Workbench
from cluscomp.indexes.factory import index_factory

BASELINES = ("faiss",)
THREADS = 1
K = 10
TARGET = 0.95
SHARES = (0.5, 0.1, 0.01, 0.001)
M = 192
PROBES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CANDIDATES = (40, 80)


def plans(settings: Settings) -> list[Plan]:
    """500 000 rows in 1024 lists, and without lists; 200 queries and four filters each."""
    n = settings.rows(500_000, 6_000)
    lists = min(1024, max(1, n // 100))
    return [Plan(f"n={n} {key}", partial(_run, n, key)) for key in (f"IVF{lists},PQ{M}x4,RFlat", "Flat")]


def _run(n: int, key: str, bench: Workbench) -> list[Measured]:
    data, queries = bench.data.base_and_queries(n, bench.settings.pick(200, 20))
    ranks = np.random.default_rng(bench.settings.seed).permutation(n)
    ours: Any = index_factory(key, data.x.shape[1], "ip", seed=bench.settings.seed)
    ours.train(data.x).add(data.x, attributes={"rank": ranks})
    makers = {OURS: partial(_ours, ours)}
    if "faiss" in bench.settings.baselines:
        faiss = library("faiss")
        makers["faiss"] = partial(_faiss, faiss, _faiss_index(faiss, key, data.x), ranks)
    measured = []
    for share in SHARES if not bench.settings.quick else SHARES[:2]:
        searches = {name: make(max(K, round(share * n)), queries) for name, make in makers.items()}
        points = _points(bench, data.x, queries, ranks < max(K, round(share * n)), ours.spec.nlist, searches)
        measured.append(at_recall(f"n={n} {key}, {share:g} pass", data.name, points, TARGET, len(queries)))
    return measured


def _points(
    bench: Workbench, x: np.ndarray, queries: np.ndarray, passes: np.ndarray, nlist: int,
    searches: dict[str, Search],
) -> dict[str, list[Point]]:  # fmt: skip
    """Recall among the rows that pass, and times, of all settings."""
    lists = [*(probes for probes in PROBES if probes < nlist), nlist]
    settings = [(probes, candidates) for probes in lists for candidates in CANDIDATES[:nlist]]
    kth_best = kth_best_scores(x[passes], queries, K)
    runs = {
        (name, setting): partial(search, *setting)
        for setting in settings
        for name, search in searches.items()
    }
    recalls = {key: recall_of(x, queries, run(), kth_best, SCORE_TIE) for key, run in runs.items()}
    seconds = bench.stopwatch.alternate({f"{name} {setting_text(s)}": run for (name, s), run in runs.items()})
    points: dict[str, list[Point]] = {name: [] for name in searches}
    for (name, setting), recall in recalls.items():
        text = setting_text(setting)
        points[name].append(Point(text, recall, seconds[f"{name} {text}"]))
    return points


def _ours(index: Any, most: int, queries: np.ndarray) -> Search:
    def search(n_probe: int, candidates: int) -> np.ndarray:
        options = {"nprobe": n_probe, "refine_factor": candidates // K, "filter": f"rank < {most}"}
        found: np.ndarray = index.search(queries, K, **options)[1]
        return found

    return search


def _faiss_index(faiss: ModuleType, key: str, x: np.ndarray) -> Any:
    index = faiss.index_factory(x.shape[1], key.replace("x4", "x4fs"), faiss.METRIC_INNER_PRODUCT)
    if "IVF" in key:
        ivf = faiss.downcast_index(index.base_index)
        ivf.cp.min_points_per_centroid = 1  # only silences its warning about few rows
        ivf.pq.cp.min_points_per_centroid = 1
    index.train(x)
    index.add(x)
    return index


def _faiss(faiss: ModuleType, index: Any, ranks: np.ndarray, most: int, queries: np.ndarray) -> Search:
    bits = np.packbits(ranks < most, bitorder="little")
    selector = faiss.IDSelectorBitmap(bits)

    def search(n_probe: int, candidates: int) -> np.ndarray:
        if hasattr(index, "base_index"):
            lists = faiss.SearchParametersIVF(nprobe=n_probe, sel=selector)
            options = faiss.IndexRefineSearchParameters(k_factor=candidates / K, base_index_params=lists)
        else:
            options = faiss.SearchParameters(sel=selector)
        return np.asarray(index.search(queries, K, params=options)[1])

    return search
