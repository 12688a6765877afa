"""Exact search for the 10 best of all rows, one query at a time and in batches, against IndexFlatIP."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from cluscomp.bench.checks import check_hits
from cluscomp.bench.harness import Case, Measured, Work
from cluscomp.bench.settings import Settings
from cluscomp.bench.workbench import Plan, Workbench, contenders
from cluscomp.indexes.factory import index_factory

BASELINES = ("faiss", "torch")
K = 10
N_QUERIES = 100
BATCHES = (1, 100)

Search = Callable[[np.ndarray], tuple[Any, Any]]


def plans(settings: Settings) -> list[Plan]:
    """100 queries one at a time, and at once."""
    n = settings.rows(500_000, 10_000)
    return [Plan(_name(n, batch), partial(_run, n, batch)) for batch in BATCHES]


def _name(n: int, batch: int) -> str:
    return f"n={n} d=384 k={K}, {N_QUERIES} queries " + ("one at a time" if batch == 1 else "at once")


def _run(n: int, batch: int, bench: Workbench) -> list[Measured]:
    rows, queries = bench.data.base_and_queries(n, N_QUERIES)
    x = rows.x
    index = index_factory("Flat", x.shape[1], "ip").add(x)
    sizes, passes = index.nbytes(), N_QUERIES // batch
    case = Case(
        name=_name(n, batch),
        data=rows.name,
        contenders=contenders(
            bench.settings,
            lambda: in_batches(lambda q: index.search(q, K), queries, batch),
            {
                "faiss": lambda m: partial(in_batches, faiss_search(m, x), queries, batch),
                "torch": lambda m: partial(in_batches, torch_search(m, x), queries, batch),
            },
        ),
        check=lambda found: check_hits(x, queries, found),
        # The plain method reads all rows for each batch; only single queries are bound by that.
        work=Work(
            flops=2.0 * N_QUERIES * x.size,
            bytes=float(passes * x.nbytes) if batch == 1 else None,
            queries=N_QUERIES,
        ),
        notes=(f"bytes a row: {sizes['codes'] / n:.0f} of values, {sizes['shadow'] / n:.0f} of prescreen",),
    )
    return bench.measure(case)


def in_batches(search: Search, queries: np.ndarray, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores (nq, k) and ids (nq, k) of all queries, `batch` of them a call."""
    found = [search(queries[start : start + batch]) for start in range(0, len(queries), batch)]
    return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])


def faiss_search(faiss: ModuleType, x: np.ndarray) -> Search:
    """IndexFlatIP over x."""
    index = faiss.IndexFlatIP(x.shape[1])
    index.add(x)
    return lambda queries: index.search(queries, K)


def torch_search(torch: ModuleType, x: np.ndarray) -> Search:
    """A matrix product and topk."""
    rows = torch.from_numpy(x)

    def search(queries: np.ndarray) -> tuple[Any, Any]:
        best = torch.topk(torch.from_numpy(queries) @ rows.T, K, dim=1)
        return best.values.numpy(), best.indices.numpy()

    return search
