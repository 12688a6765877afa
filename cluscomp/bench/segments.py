"""Searches of the same rows in 1, 16 and 256 segments, one thread: the time should not depend on the cut.

"cluscomp" is one segment. Each index is searched for a while before it is timed, since it puts small segments
of lists side by side in memory only after searches have read them (indexes/segments/gathering.py).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from cluscomp.bench.harness import OURS, Case, Contender, Measured, Verdict, Work
from cluscomp.bench.settings import Settings
from cluscomp.bench.workbench import Plan, Workbench
from cluscomp.indexes.factory import index_factory

BASELINES: tuple[str, ...] = ()
SEGMENTS = (1, 16, 256)
OWN = tuple(f"{n} segments" for n in SEGMENTS[1:])
"""Contenders of our own beside the one that is measured."""
THREADS = 1
K = 10
TOKENS, QUERY_TOKENS = 20, 8  # vectors of a document and of a query
DOCUMENTS = f"Pool{TOKENS},IVF256,PQ48"
KEYS = ("Flat", "SQ8", "IVF256,SQ8", "IVF256,PQ48x4,RFlat", "OPQ48,IVF256,PQ48", DOCUMENTS)
READINGS = 100  # times that the rows are read through before the clock starts

Found = tuple[np.ndarray, np.ndarray]


def plans(settings: Settings) -> list[Plan]:
    """100 000 rows by each key, 64 queries one at a time and at once; the same as documents of 20 vectors."""
    n, n_queries = settings.rows(100_000, 3_000), settings.pick(64, 16)
    keys = [key.replace("256", "16") if settings.quick else key for key in KEYS]
    return [Plan(_name(key, n), partial(_run, key, n, n_queries)) for key in keys]


def _name(key: str, n: int) -> str:
    return f"n={n} {key}"


def _run(key: str, n: int, n_queries: int, bench: Workbench) -> list[Measured]:
    documents = key.startswith("Pool")
    rows, queries = bench.data.base_and_queries(n, n_queries * (QUERY_TOKENS if documents else 1))
    make = _document_searches if documents else _row_searches
    searches = make(key, rows.x, queries, bench.settings.seed)
    measured = []
    for batch in (1, n_queries):
        runs = {name: partial(_in_batches, search, n_queries, batch) for name, search in searches.items()}
        how = "one at a time" if batch == 1 else "at once"
        case = Case(
            name=f"{_name(key, n)}, {n_queries} queries {how}",
            data=rows.name,
            contenders=tuple(Contender(name, run) for name, run in runs.items()),
            check=check_same,
            work=Work(queries=n_queries),
            notes=("cluscomp: 1 segment",),
        )
        measured += bench.measure(case)
    return measured


def _in_batches(search: Callable[[int, int], Found], n_queries: int, batch: int) -> list[Found]:
    return [search(start, min(start + batch, n_queries)) for start in range(0, n_queries, batch)]


def _row_searches(key: str, x: np.ndarray, queries: np.ndarray, seed: int) -> Mapping[str, Any]:
    trained = index_factory(key, x.shape[1], "ip", seed=seed).train(x)
    searches = {}
    for name, n in zip((OURS, *OWN), SEGMENTS, strict=True):
        index = copy.copy(trained)
        for part in np.array_split(x, n):
            index.add(part)
        for _ in range(-(-READINGS * index.spec.nlist // (index.nprobe * len(queries)))):
            index.search(queries, K)
        searches[name] = lambda start, stop, index=index: index.search(queries[start:stop], K)
    return searches


def _document_searches(key: str, x: np.ndarray, queries: np.ndarray, seed: int) -> Mapping[str, Any]:
    trained: Any = index_factory(key, x.shape[1], "ip", seed=seed)
    lengths = np.full(len(x) // TOKENS, TOKENS)
    trained.train(x, lengths=lengths)
    asked = queries.reshape(-1, QUERY_TOKENS, x.shape[1])
    searches = {}
    for name, n in zip((OURS, *OWN), SEGMENTS, strict=True):
        index = copy.copy(trained)
        for part in np.array_split(np.arange(len(lengths)), min(n, len(lengths))):
            index.add(x[part[0] * TOKENS : (part[-1] + 1) * TOKENS], lengths=lengths[part])
        searches[name] = partial(_ask, index, asked)
    return searches


def _ask(index: Any, asked: np.ndarray, start: int, stop: int) -> Found:
    found: Found = index.search(
        asked[start:stop].reshape(-1, asked.shape[2]), K, lengths=[QUERY_TOKENS] * (stop - start)
    )
    return found


def check_same(found: Mapping[str, list[Found]]) -> Verdict:
    """Scores and ids are the same bits for every number of segments."""
    different = 0
    for name in OWN:
        for ours, theirs in zip(found[OURS], found[name], strict=True):
            different += sum(int((a != b).sum()) for a, b in zip(ours, theirs, strict=True))
    return Verdict(different == 0, f"{different} scores or ids differ from those of one segment")
