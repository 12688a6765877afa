"""Balanced k-means with equal clusters, against plain k-means: ours and faiss's, all rows, the same steps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from cluscomp.bench.harness import OURS, Case, Contender, Measured, Verdict
from cluscomp.bench.kmeans import faiss_kmeans
from cluscomp.bench.settings import Settings
from cluscomp.bench.workbench import Plan, Workbench, contenders
from cluscomp.clustering import train_kmeans
from cluscomp.clustering.balanced.kmeans import BalancedKMeans
from cluscomp.clustering.balanced.report import balance_report

BASELINES = ("faiss",)
PLAIN = "KMeans"
OWN = (PLAIN,)
"""Contenders of our own beside the one that is measured."""
STEPS = 10
SHAPES = ((200_000, 384), (1_000_000, 128))
GAP = 1e-3
"""Share of the inertia by which ours may be above the least possible one."""


def plans(settings: Settings) -> list[Plan]:
    """One case a shape (rows, dim), 1024 clusters."""
    shapes = [(settings.rows(n, 4_000), dim) for n, dim in SHAPES]
    return [Plan(_name(n, dim), partial(_run, n, dim)) for n, dim in shapes]


def _clusters(n: int) -> int:
    return min(1024, max(1, n // 40))


def _name(n: int, dim: int) -> str:
    return f"n={n} k={_clusters(n)} d={dim} exact, {STEPS} steps"


def _run(n: int, dim: int, bench: Workbench) -> list[Measured]:
    rows, k = bench.data.vectors(n, dim), _clusters(n)
    x, seed = rows.x, bench.settings.seed
    start = x[np.sort(np.random.default_rng(seed).choice(n, size=k, replace=False))]
    ours, *baselines = contenders(
        bench.settings,
        lambda: BalancedKMeans(k, n_iter=STEPS, seed=seed).fit(x),
        {"faiss": lambda m: faiss_kmeans(m, x, start)},
    )
    plain = Contender(PLAIN, lambda: train_kmeans(x, k, n_iter=STEPS, init=start, tol=0.0).inertia)
    case = Case(
        name=_name(n, dim),
        data=rows.name,
        contenders=(ours, plain, *baselines),
        check=check_balance,
        notes=("the others are plain k-means: their clusters are not balanced",),
    )
    return bench.measure(case)


def check_balance(found: Mapping[str, Any]) -> Verdict:
    """Sizes are floor(n/k) or ceil(n/k), and the cost is certified to be near the least possible one."""
    model = found[OURS]
    sizes = balance_report(model.labels_, model.n_clusters)
    gap = model.gap_ / model.inertia_
    excess = model.inertia_ / found[PLAIN] - 1
    detail = (
        f"sizes {sizes['min']} to {sizes['max']}, duality gap {gap:.1e} of the inertia (at most {GAP:g}); "
        f"inertia {excess:+.1%} against plain k-means"
    )
    return Verdict(sizes["max"] - sizes["min"] <= 1 and gap <= GAP, detail)
