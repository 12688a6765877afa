"""IVF search with 4-bit codes and exact rerank: queries a second at equal recall@10, one thread.

Against faiss IVF,PQx4fs,RFlat and ScaNN with the same number of lists, 96 bytes of code and 1536 for the
rerank a row (d = 384). All queries are handed over at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from cluscomp.baselines import library
from cluscomp.bench import scan_bytes
from cluscomp.bench.checks import SCORE_TIE
from cluscomp.bench.curves import Point, kth_best_scores, recall_of, seconds_at
from cluscomp.bench.harness import OURS, Measured, Verdict, Work
from cluscomp.bench.settings import Settings
from cluscomp.bench.workbench import Plan, Workbench
from cluscomp.indexes.factory import index_factory

BASELINES = ("faiss", "scann")
THREADS = 1
K = 10
TARGETS = (0.95, 0.99)
M = 192
GRID = tuple(itertools.product((8, 16, 24, 32, 48, 64, 96, 128), (20, 40, 80, 160)))
QUICK_GRID = tuple(itertools.product((8, 32, 60), (20, 100)))
"""(lists to visit, candidates for the rerank) of every measured setting."""

Search = Callable[[int, int], np.ndarray]
"""search(lists to visit, candidates for the rerank) -> ids (nq, k)."""


@dataclass(frozen=True)
class Size:
    """n rows in n_lists lists. grid: (lists to visit, candidates) of every measured setting."""

    n: int
    n_lists: int
    n_queries: int
    grid: tuple[tuple[int, int], ...]


def plans(settings: Settings) -> list[Plan]:
    """500 000 rows in 1024 lists, 1000 queries; in codes alone where their bytes are given."""
    if settings.code_bytes is not None:
        return scan_bytes.plans(settings, settings.code_bytes)
    n = settings.rows(500_000, 6_000)
    size = Size(
        n=n,
        n_lists=min(1024, max(1, n // 100)),
        n_queries=settings.pick(1000, 50),
        grid=QUICK_GRID if settings.quick else GRID,
    )
    return [Plan(_name(size), partial(_run, size))]


def _name(size: Size) -> str:
    return f"n={size.n} IVF{size.n_lists},PQ{M}x4,RFlat"


def _run(size: Size, bench: Workbench) -> list[Measured]:
    rows, queries = bench.data.base_and_queries(size.n, size.n_queries)
    searches = _searches(bench.settings, size, rows.x, queries)
    kth_best = kth_best_scores(rows.x, queries, K)
    settings = dict.fromkeys((min(lists, size.n_lists), candidates) for lists, candidates in size.grid)
    runs = {
        (name, setting): partial(search, *setting)
        for setting in settings
        for name, search in searches.items()
    }
    recalls = {
        key: recall_of(rows.x, queries, run(), kth_best, SCORE_TIE) for key, run in runs.items()
    }  # also the warm-up
    seconds = bench.stopwatch.alternate({_key(*key): run for key, run in runs.items()})
    points: dict[str, list[Point]] = {name: [] for name in searches}
    for (name, setting), recall in recalls.items():
        points[name].append(Point(setting_text(setting), recall, seconds[_key(name, setting)]))
    return [at_recall(_name(size), rows.name, points, target, len(queries)) for target in TARGETS]


def _key(name: str, setting: tuple[int, int]) -> str:
    return f"{name} {setting_text(setting)}"


def setting_text(setting: tuple[int, int]) -> str:
    """(lists to visit, candidates) in words."""
    return f"{setting[0]} lists, {setting[1]} candidates"


def at_recall(
    case: str, data: str, points: Mapping[str, list[Point]], target: float, n_queries: int
) -> Measured:
    """Times of all contenders at one recall. Failed when we do not reach it."""
    reached = {name: seconds_at(curve, target) for name, curve in points.items()}
    best = {name: max(point.recall for point in curve) for name, curve in points.items()}
    return Measured(
        case=f"{case}, recall@{K} {target:g}",
        data=data,
        seconds={name: seconds for name, seconds in reached.items() if seconds is not None},
        verdict=Verdict(
            reached[OURS] is not None,
            "best recall: " + ", ".join(f"{name} {recall:.4f}" for name, recall in best.items()),
        ),
        work=Work(queries=n_queries),
        notes=(f"{n_queries} queries in one call",),
        missing={
            name: f"recall {target:g} not reached (best {best[name]:.4f})"
            for name, seconds in reached.items()
            if seconds is None
        },
    )


# ---- the contenders --------------------------------------------------------------------------------


def _searches(settings: Settings, size: Size, x: np.ndarray, queries: np.ndarray) -> dict[str, Search]:
    searches = {OURS: _ours(size, x, queries, settings.seed)}
    if "faiss" in settings.baselines:
        searches["faiss"] = _faiss(library("faiss"), size, x, queries)
    if "scann" in settings.baselines:
        searches["scann"] = _scann(library("scann"), size, x, queries)
    return searches


def _ours(size: Size, x: np.ndarray, queries: np.ndarray, seed: int) -> Search:
    index: Any = index_factory(f"IVF{size.n_lists},PQ{M}x4,RFlat", x.shape[1], "ip", seed=seed)
    index.train(x)
    index.add(x)

    def search(n_probe: int, candidates: int) -> np.ndarray:
        return index.search(queries, K, nprobe=n_probe, refine_factor=candidates // K)[1]

    return search


def _faiss(faiss: ModuleType, size: Size, x: np.ndarray, queries: np.ndarray) -> Search:
    index = faiss.index_factory(x.shape[1], f"IVF{size.n_lists},PQ{M}x4fs,RFlat", faiss.METRIC_INNER_PRODUCT)
    ivf = faiss.downcast_index(index.base_index)
    ivf.cp.min_points_per_centroid = 1  # only silences its warning about few rows
    ivf.pq.cp.min_points_per_centroid = 1
    index.train(x)
    index.add(x)

    def search(n_probe: int, candidates: int) -> np.ndarray:
        ivf.nprobe = n_probe
        index.k_factor = candidates / K
        return np.asarray(index.search(queries, K)[1])

    return search


def _scann(scann: ModuleType, size: Size, x: np.ndarray, queries: np.ndarray) -> Search:
    builder: Any = scann.scann_ops_pybind.builder(x, K, "dot_product")
    tree = builder.tree(
        num_leaves=size.n_lists, num_leaves_to_search=1, training_sample_size=min(size.n, 250_000)
    )
    coded = tree.score_ah(x.shape[1] // M, anisotropic_quantization_threshold=0.2)
    searcher = coded.reorder(size.grid[0][1]).build()

    def search(n_probe: int, candidates: int) -> np.ndarray:
        ids, _ = searcher.search_batched(
            queries,
            final_num_neighbors=K,
            leaves_to_search=n_probe,
            pre_reorder_num_neighbors=candidates,
        )
        return np.asarray(ids).astype(np.int64)

    return search
