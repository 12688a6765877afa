"""Nearest centroid of every row, against IndexFlatL2.search(x, 1) and a blocked matrix product of torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from cluscomp.bench.checks import check_labels
from cluscomp.bench.harness import Case, Measured, Work
from cluscomp.bench.settings import Settings
from cluscomp.bench.workbench import Plan, Workbench, contenders
from cluscomp.clustering import assign, train_kmeans

BASELINES = ("faiss", "torch")
SHAPES = (
    (256, 384), (1024, 384), (4096, 384), (256, 768), (4096, 128), (16384, 128), (256, 8), (256, 16), (16, 8),
)  # fmt: skip
TORCH_BLOCK = 4096  # rows whose products with all centroids are held at once


def plans(settings: Settings) -> list[Plan]:
    """One case a shape (k, d); few rows get at most a quarter as many centroids."""
    n = settings.rows(100_000, 4_000)
    shapes = dict.fromkeys((min(k, max(1, n // 4)), d) for k, d in SHAPES)
    return [Plan(f"n={n} k={k} d={d}", partial(_run, n, k, d)) for k, d in shapes]


def _run(n: int, k: int, d: int, bench: Workbench) -> list[Measured]:
    rows = bench.data.vectors(n, d)
    x = rows.x
    centroids = train_kmeans(x, k, n_iter=3, seed=bench.settings.seed).centroids
    case = Case(
        name=f"n={n} k={k} d={d}",
        data=rows.name,
        contenders=contenders(
            bench.settings,
            lambda: assign(x, centroids),
            {
                "faiss": lambda m: faiss_assign(m, x, centroids),
                "torch": lambda m: torch_assign(m, x, centroids),
            },
        ),
        check=lambda labels: check_labels(x, centroids, labels),
        work=Work(flops=2.0 * n * k * d),
        notes=("centroids: 3 k-means steps from random rows",),
    )
    return bench.measure(case)


def faiss_assign(faiss: ModuleType, x: Any, centroids: Any, index: Any = None) -> Callable[[], Any]:
    """Exact search for one neighbour; the index (IndexFlatL2) is filled beforehand, outside the time."""
    index = index or faiss.IndexFlatL2(x.shape[1])
    index.add(centroids)
    return lambda: index.search(x, 1)[1][:, 0]


def torch_assign(torch: ModuleType, x: Any, centroids: Any) -> Callable[[], Any]:
    """Blocks of rows times all centroids, plus half the norms, and the largest."""
    rows, c = torch.as_tensor(x), torch.as_tensor(centroids)
    return lambda: torch_labels(torch, rows, c)


def torch_labels(torch: ModuleType, rows: Any, centroids: Any) -> Any:
    """Labels (n,) int64 tensor of the nearest centroids (k, d) of rows (n, d)."""
    half = -(centroids * centroids).sum(1) / 2
    parts = rows.split(TORCH_BLOCK)
    return torch.cat([torch.addmm(half, part, centroids.T).argmax(1) for part in parts])
