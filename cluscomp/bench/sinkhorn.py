"""Entropic transport, a fixed number of iterations, against POT's log-domain and plain-domain solvers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from cluscomp.bench.checks import squared_distances
from cluscomp.bench.harness import OURS, Case, Measured, Verdict
from cluscomp.bench.settings import Settings
from cluscomp.bench.workbench import Plan, Workbench, contenders
from cluscomp.clustering import train_kmeans
from cluscomp.clustering.transport.sinkhorn import sinkhorn

BASELINES = ("pot",)
N_CLUSTERS = 256
SOLVERS = (("log", 0.003), ("plain", 0.05))
"""POT's solver and epsilon; the plain one underflows at small epsilon."""
PLAN_TOLERANCE = 1e-6
"""By which entries of two plans, times the number of rows, may differ."""


def plans(settings: Settings) -> list[Plan]:
    """One case a solver of POT."""
    n, steps = settings.rows(20_000, 1_000), settings.pick(100, 10)
    return [Plan(_name(n, steps, *solver), partial(_run, n, steps, *solver)) for solver in SOLVERS]


def _name(n: int, steps: int, solver: str, epsilon: float) -> str:
    return f"n={n} k={N_CLUSTERS} epsilon={epsilon}, {steps} iterations, POT {solver}"


def _run(n: int, steps: int, solver: str, epsilon: float, bench: Workbench) -> list[Measured]:
    rows = bench.data.embeddings(n)
    cost = _costs(rows.x, bench.settings.seed)

    def ours() -> Any:
        return sinkhorn(cost, epsilon=epsilon, n_iter=steps, tol=0, cost_scale="range")

    case = Case(
        name=_name(n, steps, solver, epsilon),
        data=rows.name,
        contenders=contenders(
            bench.settings, ours, {"pot": lambda m: pot_plan(m, cost, epsilon, steps, solver)}
        ),
        check=partial(check_plans, n),
        notes=("costs are those to 3-step k-means centroids; POT gets them in float64, scaled to [-1, 1]",),
    )
    return bench.measure(case)


def _costs(x: np.ndarray, seed: int) -> np.ndarray:
    """Squared distances (n, k) float32 to the centroids of a short k-means."""
    centroids = train_kmeans(x, N_CLUSTERS, n_iter=3, seed=seed).centroids
    cost = np.empty((x.shape[0], N_CLUSTERS), dtype=np.float32)
    for j in range(N_CLUSTERS):
        cost[:, j] = squared_distances(x, centroids, np.full(x.shape[0], j))
    return cost


def pot_plan(
    ot: ModuleType, cost: np.ndarray, epsilon: float, steps: int, solver: str
) -> Callable[[], np.ndarray]:
    """POT's plan after so many iterations; the costs are widened and scaled outside the time."""
    wide = cost.astype(np.float64)
    mid = (wide.max() + wide.min()) / 2
    scaled = (wide - mid) / (wide.max() - mid + 1e-5)
    solve = ot.bregman.sinkhorn_log if solver == "log" else ot.bregman.sinkhorn_knopp
    a, b = (np.full(size, 1 / size) for size in cost.shape)
    return lambda: solve(a, b, scaled, epsilon, numItermax=steps, stopThr=0, warn=False)


def check_plans(n: int, found: Mapping[str, Any]) -> Verdict:
    """Our plan, made from the potentials, equals the baseline's."""
    ours = found[OURS].plan()
    differences = {name: float(np.abs(ours - plan).max() * n) for name, plan in found.items() if name != OURS}
    passed = all(difference <= PLAN_TOLERANCE for difference in differences.values())
    parts = [f"{value:.1e} from {name}" for name, value in differences.items()]
    detail = (
        f"largest difference of plan entries times n: {', '.join(parts)}" if parts else "nothing to compare"
    )
    return Verdict(passed, f"{detail} (at most {PLAN_TOLERANCE:g})")
