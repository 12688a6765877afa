"""k-means from the same start with the same number of steps, against faiss.Kmeans and Lloyd in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from cluscomp.bench.assign import torch_labels
from cluscomp.bench.checks import check_not_above, squared_distances
from cluscomp.bench.harness import Case, Measured, Verdict, Work
from cluscomp.bench.settings import Settings
from cluscomp.bench.workbench import Plan, Workbench, contenders
from cluscomp.clustering import assign, train_kmeans

BASELINES = ("faiss", "torch")
STEPS = 10


def plans(settings: Settings) -> list[Plan]:
    """200 000 rows, 4096 clusters; 100 000 rows, 2048 clusters."""
    rows = [settings.rows(200_000, 4_000), settings.rows(100_000, 2_000)]
    shapes = [(n, min(most, max(1, n // 40))) for n, most in zip(rows, (4096, 2048), strict=True)]
    return [Plan(_name(n, k), partial(_run, n, k)) for n, k in dict.fromkeys(shapes)]


def _name(n: int, k: int) -> str:
    return f"n={n} k={k} d=384, {STEPS} steps"


def _run(n: int, k: int, bench: Workbench) -> list[Measured]:
    rows = bench.data.embeddings(n)
    x = rows.x
    rng = np.random.default_rng(bench.settings.seed)
    start = x[np.sort(rng.choice(n, size=k, replace=False))]
    case = Case(
        name=_name(n, k),
        data=rows.name,
        contenders=contenders(
            bench.settings,
            lambda: train_kmeans(x, k, n_iter=STEPS, init=start, tol=0.0).centroids,
            {"faiss": lambda m: faiss_kmeans(m, x, start), "torch": lambda m: torch_kmeans(m, x, start)},
        ),
        check=partial(check_objectives, x, 1e-3 if bench.settings.quick else 1e-5),
        work=Work(flops=2.0 * n * k * x.shape[1] * STEPS),
        notes=(f"start: {k} rows drawn at random, the same for all; no rows left out",),
    )
    return bench.measure(case)


def check_objectives(x: np.ndarray, tolerance: float, centroids: Mapping[str, np.ndarray]) -> Verdict:
    """Mean squared distance in float64 of all rows to the nearest of the final centroids."""
    losses = {name: float(squared_distances(x, c, assign(x, c)).mean()) for name, c in centroids.items()}
    return check_not_above(losses, tolerance, "objective")


def faiss_kmeans(
    faiss: ModuleType, x: np.ndarray, start: np.ndarray, *, gpu: bool = False
) -> Callable[[], np.ndarray]:
    """faiss.Kmeans on all rows."""
    k, d = start.shape

    def run() -> np.ndarray:
        kmeans = faiss.Kmeans(
            d, k, niter=STEPS, nredo=1, gpu=gpu, min_points_per_centroid=1, max_points_per_centroid=x.shape[0]
        )
        kmeans.train(x, init_centroids=start)
        return np.asarray(kmeans.centroids)

    return run


def torch_kmeans(torch: ModuleType, x: Any, start: np.ndarray) -> Callable[[], Any]:
    """Assignment by matrix products, sums by index_add; an empty cluster keeps its centroid."""
    rows = torch.as_tensor(x)

    def step(centroids: Any) -> Any:
        labels = torch_labels(torch, rows, centroids)
        sums = torch.zeros_like(centroids).index_add_(0, labels, rows)
        counts = torch.bincount(labels, minlength=len(centroids))[:, None]
        return torch.where(counts > 0, sums / counts.clamp(min=1), centroids)

    def run() -> Any:
        centroids = torch.as_tensor(start, device=rows.device)
        for _ in range(STEPS):
            centroids = step(centroids)
        return centroids

    return run
