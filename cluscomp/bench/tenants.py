"""Search among the rows of one tenant of many: seconds of the first and of later queries, bytes, recall@10.

Tenants have sizes by Zipf's law (exponent 1.1) and rows whatever these are. Each query is one call for one
tenant. `column` looks at all rows for those of the tenant, `bitmaps` at those of the lists in which it has
some, and `tree` is Curator's, with exact scores and in Python: its seconds are no measure, what it reads is.
All but the tree search the rows in the same way, and so find the same.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from cluscomp.attributes import Field
from cluscomp.bench.checks import SCORE_TIE
from cluscomp.bench.curves import kth_best_scores, recall_of
from cluscomp.bench.harness import OURS, Measured, Verdict, Work
from cluscomp.bench.settings import Settings
from cluscomp.bench.tenant_ways import BitmapColumn, ListBitmaps, SharedTree, TenantTree
from cluscomp.bench.workbench import Plan, Workbench
from cluscomp.indexes.factory import index_factory
from cluscomp.indexes.filters.answers import AnswerCache
from cluscomp.indexes.filters.cache import BitsCache

BASELINES: tuple[str, ...] = ()
COLUMN, BITMAPS, TREE = "column", "bitmaps", "tree"
OWN = (COLUMN, BITMAPS, TREE)
THREADS = 1
K = 10
REFINE = 4
TENANTS = (10, 1000, 100_000)
ZIPF = 1.1
NPROBE = 16
M = 192


def plans(settings: Settings) -> list[Plan]:
    """500 000 rows in 1024 lists: 10, 1000 and 100 000 tenants, of whom up to 200 ask."""
    n = settings.rows(500_000, 6_000)
    return [Plan(f"n={n} tenants", partial(_run, n, TENANTS if not settings.quick else (10, 100)))]


def _run(n: int, counts: tuple[int, ...], bench: Workbench) -> list[Measured]:
    settings = bench.settings
    data, queries = bench.data.base_and_queries(n, settings.pick(200, 20))
    lists = min(1024, max(1, n // 100))
    index: Any = index_factory(f"IVF{lists},PQ{M}x4,RFlat", data.x.shape[1], "ip", seed=settings.seed)
    index.train(data.x).add(data.x)
    index.nprobe = min(NPROBE, lists)
    tree = SharedTree(data.x, settings.seed)
    measured = []
    for n_tenants in counts:
        rng = np.random.default_rng(settings.seed)
        shares = np.arange(1, n_tenants + 1) ** -ZIPF
        owners = rng.choice(n_tenants, n, p=shares / shares.sum())
        asking = rng.permutation(np.unique(owners))[: len(queries)]
        ways = _Ways(_described(index, owners), TenantTree(tree, owners, n_tenants), owners, n_tenants)
        for again in (False, True):
            case = f"n={n} {n_tenants} tenants, {'later queries' if again else 'first query'}"
            asked = queries[: len(asking)]
            measured.append(_measured(bench, case, data, asked, owners, asking, ways, again))
    return measured


def _described(index: Any, owners: np.ndarray) -> Any:
    """The index with a tenant column, and two plain ones of the same values."""
    described = copy.copy(index)
    described.declare_attributes({"owner": Field("text", tenant=True), COLUMN: "text", BITMAPS: "text"})
    names = [str(owner) for owner in owners]
    described.set_attributes(described.ids, {"owner": names, COLUMN: names, BITMAPS: names})
    return described


class _Ways:
    """The ways to answer one query of one tenant, by name, and how to forget what was kept."""

    def __init__(self, index: Any, tree: TenantTree, owners: np.ndarray, n_tenants: int) -> None:
        self.index, self.tree = index, tree
        bitmaps = ListBitmaps(index.segments[0], owners, n_tenants)
        table = index.segments[0].attributes
        table.columns[BITMAPS] = BitmapColumn.of_bitmaps(table[COLUMN], bitmaps)
        self.bytes = {
            OURS: sum(array.nbytes for array in table["owner"].runs.parts().values()),
            COLUMN: 0,
            BITMAPS: bitmaps.nbytes,
            TREE: tree.nbytes,
        }
        self.searches: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
            OURS: lambda query, tenant: self._search(query, tenant=str(tenant)),
            COLUMN: lambda query, tenant: self._search(query, tenant=None, filter=_equals(COLUMN, tenant)),
            BITMAPS: lambda query, tenant: self._search(query, tenant=None, filter=_equals(BITMAPS, tenant)),
            TREE: lambda query, tenant: tree.search(query, tenant, K, REFINE * K),
        }

    def forget(self) -> None:
        """Let go of what earlier queries left behind."""
        self.index._answers, self.index._bits = AnswerCache(), BitsCache()

    def _search(self, query: np.ndarray, **whose: Any) -> np.ndarray:
        found: np.ndarray = self.index.search(query, K, refine_factor=REFINE, **whose)[1]
        return found[0]


def _equals(name: str, tenant: int) -> dict[str, Any]:
    return {"op": "==", "field": name, "value": str(tenant)}


def _measured(
    bench: Workbench, case: str, data: Any, queries: np.ndarray, owners: np.ndarray, asking: np.ndarray,
    ways: _Ways, again: bool,
) -> Measured:  # fmt: skip
    """The queries one after the other. again: each tenant has asked before."""

    def run(name: str) -> list[np.ndarray]:
        search = ways.searches[name]
        if not again:
            ways.forget()
        return [search(query, int(tenant)) for query, tenant in zip(queries, asking, strict=True)]

    ways.tree.work.rows = ways.tree.work.centres = 0
    found = {name: run(name) for name in ways.searches}
    seconds = bench.stopwatch.alternate({name: partial(run, name) for name in ways.searches})
    recalls = {name: _recall(data.x, queries, owners, asking, ids) for name, ids in found.items()}
    same = all(
        a.tolist() == b.tolist()
        for name in (COLUMN, BITMAPS)
        for a, b in zip(found[OURS], found[name], strict=True)
    )
    read = _rows_scored(ways.index, queries, asking)
    work, rounds = ways.tree.work, 1 + len(seconds[TREE])
    return Measured(
        case=case,
        data=data.name,
        seconds=seconds,
        verdict=Verdict(same, f"recall: {_listed(recalls, '.4f')}"),
        work=Work(queries=len(queries)),
        notes=(
            f"{len(queries)} tenants drawn alike, a query each, ip, a call each",
            f"bytes: {_listed(ways.bytes, 'd')}",
            f"read by a query: {read:.0f} rows and {ways.index.spec.nlist} centres; by the tree (of "
            f"{ways.tree.shared.nbytes} bytes) {work.rows / rounds / len(queries):.0f} rows and "
            f"{work.centres / rounds / len(queries):.0f} centres",
        ),
    )


def _listed(values: Mapping[str, float], form: str) -> str:
    return ", ".join(f"{name} {value:{form}}" for name, value in values.items())


def _rows_scored(index: Any, queries: np.ndarray, asking: np.ndarray) -> float:
    """Mean rows that a query of ours scores."""
    scored = [
        index.search(query, K, tenant=str(tenant), return_info=True)[2].rows_scored[0]
        for query, tenant in zip(queries, asking, strict=True)
    ]
    return float(np.mean(scored))


def _recall(
    x: np.ndarray, queries: np.ndarray, owners: np.ndarray, asking: np.ndarray, ids: list[np.ndarray]
) -> float:
    """Mean share of the best K rows of each query's tenant, or of all it has."""
    shares = []
    for query, tenant, found in zip(queries, asking, ids, strict=True):
        own = np.flatnonzero(owners == tenant)
        wanted = min(K, len(own))
        kth = kth_best_scores(x[own], query[None], wanted)
        shares.append(recall_of(x, query[None], found[None, :wanted], kth, SCORE_TIE))
    return float(np.mean(shares))
