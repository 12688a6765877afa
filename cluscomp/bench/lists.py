"""Balanced lists against plain ones: rows read and recall@10, one thread.

Plain lists are probed at several nprobe; balanced ones as far as they read at most as many rows on average.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from cluscomp.bench.checks import SCORE_TIE
from cluscomp.bench.curves import kth_best_scores, recall_of
from cluscomp.bench.harness import OURS, Case, Contender, Measured, Verdict
from cluscomp.bench.settings import Settings
from cluscomp.bench.workbench import Plan, Workbench
from cluscomp.clustering.balanced.report import scanned_rows
from cluscomp.indexes.base import StoredIndex
from cluscomp.indexes.factory import index_factory
from cluscomp.indexes.segments.segment import list_sizes

BASELINES: tuple[str, ...] = ()
PLAIN = "IVF"
OWN = (PLAIN,)
"""Contenders of our own beside the one that is measured."""
THREADS = 1
K = 10
CAPS = (1.0, 1.2, 1.5, 2.0)
PROBES = (4, 16, 64)


def plans(settings: Settings) -> list[Plan]:
    """300 000 rows in 4096 lists, a case for each cap."""
    n = settings.rows(300_000, 6_000)
    lists = min(4096, max(1, n // 40))
    caps = CAPS if not settings.quick else CAPS[1:2]
    return [Plan(_name(n, lists, cap), partial(_run, n, lists, cap, settings)) for cap in caps]


def _name(n: int, lists: int, cap: float) -> str:
    return f"n={n} BIVF{lists}(cap={cap:g}),Flat"


@dataclass(frozen=True)
class Reading:
    """One setting of one index. rows: (nq,) rows read. ids: (nq, K) found."""

    nprobe: int
    rows: np.ndarray
    ids: np.ndarray


def _run(n: int, lists: int, cap: float, settings: Settings, bench: Workbench) -> list[Measured]:
    data, queries = bench.data.base_and_queries(n, settings.pick(1000, 50))
    x = data.x
    kth_best = kth_best_scores(x, queries, K)
    plain = _index(f"IVF{lists},Flat", x, settings.seed)
    balanced = _index(f"BIVF{lists}(cap={cap:g}),Flat", x, settings.seed)
    measured = []
    for nprobe in (p for p in PROBES if p < lists):
        mean = _rows_read(plain, queries, nprobe).mean()
        ours = _most_probes(balanced, queries, mean)
        runs = {
            OURS: partial(_read, balanced, queries, ours),
            PLAIN: partial(_read, plain, queries, nprobe),
        }
        case = Case(
            name=f"{_name(n, lists, cap)}, rows of IVF at nprobe {nprobe}",
            data=data.name,
            contenders=tuple(Contender(name, run) for name, run in runs.items()),
            check=partial(check_reading, x, queries, kth_best, balanced, plain),
            notes=(f"{len(queries)} queries in one call, ip",),
        )
        measured += bench.measure(case)
    return measured


def _index(key: str, x: np.ndarray, seed: int) -> Any:
    return index_factory(key, x.shape[1], "ip", seed=seed).train(x).add(x)


def _sizes(index: StoredIndex[Any]) -> np.ndarray:
    return list_sizes(index.segments, index.spec.nlist)


def _rows_read(index: Any, queries: np.ndarray, nprobe: int) -> np.ndarray:
    return scanned_rows(_sizes(index), index.pipeline.partition.probe(queries, nprobe).lists)


def _most_probes(index: Any, queries: np.ndarray, rows: float) -> int:
    """The largest nprobe that reads at most `rows` rows a query on average; 1 at least."""
    low, high = 1, index.spec.nlist
    while low < high:
        middle = (low + high + 1) // 2
        if _rows_read(index, queries, middle).mean() <= rows:
            low = middle
        else:
            high = middle - 1
    return low


def _read(index: Any, queries: np.ndarray, nprobe: int) -> Reading:
    ids = index.search(queries, K, nprobe=nprobe)[1]
    return Reading(nprobe, _rows_read(index, queries, nprobe), ids)


def check_reading(
    x: np.ndarray,
    queries: np.ndarray,
    kth_best: np.ndarray,
    balanced: StoredIndex[Any],
    plain: StoredIndex[Any],
    found: Mapping[str, Reading],
) -> Verdict:
    """The bound of the lists holds; the figures of both are in the detail."""
    parts = []
    for name, index in ((OURS, balanced), (PLAIN, plain)):
        reading, sizes = found[name], _sizes(index)
        recall = recall_of(x, queries, reading.ids, kth_best, SCORE_TIE)
        most = np.percentile(reading.rows, 99)
        parts.append(
            f"{name}: recall@{K} {recall:.4f}, {reading.rows.mean():.0f} rows read, p99 {most:.0f} "
            f"({most / reading.rows.mean():.2f} times the mean), nprobe {reading.nprobe}, sizes cv "
            f"{sizes.std() / sizes.mean():.2f}, max/mean {sizes.max() / sizes.mean():.2f}"
        )
    partition: Any = balanced.pipeline.partition
    bound = -(-partition.milli * len(x) // (1000 * partition.nlist))
    return Verdict(bool(_sizes(balanced).max() <= bound), "; ".join(parts))
