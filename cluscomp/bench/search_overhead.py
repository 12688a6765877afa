"""One query at a time on a small index, one thread: how much of `Index.search` is not the kernels.

"kernels" is the one native call that the search makes, with its arguments made before (indexes/segments/
whole_search.py). What is left is Python: checks of the arguments, ids, and the way to the call and back; and
the rotation of the query where the key has one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from cluscomp.bench.harness import OURS, Case, Contender, Measured, Verdict, Work
from cluscomp.bench.settings import Settings
from cluscomp.bench.workbench import Plan, Workbench
from cluscomp.indexes.factory import index_factory
from cluscomp.indexes.segments.together import Together
from cluscomp.indexes.segments.whole_search import prepared_search

BASELINES: tuple[str, ...] = ()
KERNELS = "kernels"
OWN = (KERNELS,)
"""What is timed beside ours."""
THREADS = 1
K, DIM, NPROBE = 10, 64, 2
KEYS = ("Flat", "SQ8", "IVF16,Flat", "IVF16,PQ16", "IVF16,PQ16x4,RFlat", "RR,IVF16,RaBitQ,RFlat")

Found = list[np.ndarray]
"""Scores of each query."""


def plans(settings: Settings) -> list[Plan]:
    """2000 rows of 64 values by each key, 1000 queries one at a time."""
    n, n_queries = settings.rows(2_000, 1_000), settings.pick(1_000, 50)
    return [Plan(_name(key, n), partial(_run, key, n, n_queries)) for key in KEYS]


def _name(key: str, n: int) -> str:
    return f"n={n} {key}"


def _run(key: str, n: int, n_queries: int, bench: Workbench) -> list[Measured]:
    rows, queries = bench.data.base_and_queries(n, n_queries)  # whose first values do
    x, asked = (np.ascontiguousarray(values[:, :DIM]) for values in (rows.x, queries))
    index = index_factory(key, DIM, "ip", seed=bench.settings.seed).train(x).add(x)
    case = Case(
        name=f"{_name(key, n)}, {n_queries} queries one at a time",
        data=rows.name,
        contenders=(
            Contender(OURS, partial(_searched, index, asked)),
            Contender(KERNELS, _kernels(index, asked)),
        ),
        check=check_same,
        work=Work(queries=n_queries),
    )
    return [_with_overhead(measured, n_queries) for measured in bench.measure(case)]


def _searched(index: Any, asked: np.ndarray) -> Found:
    return [index.search(query, K, nprobe=NPROBE)[0] for query in asked]


def _kernels(index: Any, asked: np.ndarray) -> Callable[[], Found]:
    """The native calls of `_searched`."""
    nprobe = NPROBE if index.pipeline.partition is not None else 1
    prepared = prepared_search(index.pipeline, Together(index.segments), 1, nprobe)
    base, projected = index.pipeline.query_rows(asked)
    rows = [(base[i : i + 1], projected[i : i + 1]) for i in range(len(asked))]
    assert prepared.kernels is not None  # each of KEYS has them
    most, call = K * index.refine_factor, prepared.kernels.run

    def run() -> Found:
        return [call(*row, K, most, prepared.chooser, nprobe)[0] for row in rows]

    return run


def _with_overhead(measured: Measured, n_queries: int) -> Measured:
    """With a note of the time of a query that is not the kernels'."""
    if not measured.seconds:
        return measured
    rounds = zip(measured.seconds[OURS], measured.seconds[KERNELS], strict=True)
    outside = median(ours - kernels for ours, kernels in rounds) / n_queries
    return replace(measured, notes=(f"{1e6 * outside:.1f} us of a query outside the kernels",))


def check_same(found: Mapping[str, Found]) -> Verdict:
    """Scores are the same bits."""
    pairs = zip(found[OURS], found[KERNELS], strict=True)
    different = sum(int((ours != theirs).sum()) for ours, theirs in pairs)
    return Verdict(different == 0, f"{different} scores differ from those of the kernels")
