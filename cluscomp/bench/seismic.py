"""Clustered postings: queries a second at equal recall of the exact ten best, one thread, and bytes.

Our key beside pyseismic-lsr, the library of the authors of Seismic, on the same rows in one process: words of
sentences of documentation, weighed by BM25 in 8 bits. Queries are handed over as weighted terms by name, in
calls of 1 (the library's call for one query), of 100, and of all.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from cluscomp.bench.curves import Point
from cluscomp.bench.harness import OURS, Measured
from cluscomp.bench.scan import at_recall
from cluscomp.bench.seismic_rival import SeismicRows, Terms
from cluscomp.bench.sentences import docstring_sentences, source_folders
from cluscomp.bench.settings import Settings
from cluscomp.bench.workbench import Plan, Workbench
from cluscomp.encoders.words import WordEncoder
from cluscomp.indexes.factory import index_factory
from cluscomp.terms import TermRows

BASELINES = ("pyseismic",)
THREADS = 1
K = 10
TARGETS = (0.95, 0.97, 0.99)
KEY, EXACT_KEY = "Seismic(bm25,bits=8)", "Sparse(bm25,bits=8)"
GRID = tuple(itertools.product((5, 6, 7, 8, 10, 12, 0), (1.0, 0.95, 0.9, 0.85, 0.8)))
QUICK_GRID = ((5, 1.0), (0, 0.8), (0, 0.0))
"""(query_cut, heap_factor) of every measured setting."""
LEAST_RECALL = 0.9
"""Settings below are not timed."""
DATA = "sentences"


@dataclass(frozen=True)
class Contender:
    """search: all queries in calls of so many, by a setting. ids: rows (nq, K) found by a setting."""

    search: Callable[[int, int, float], Any]
    ids: Callable[[int, float], np.ndarray]
    nbytes: int


def plans(settings: Settings) -> list[Plan]:
    """100 000 sentences, 500 others as queries."""
    n, n_queries = settings.rows(100_000, 2_000), settings.pick(500, 40)
    return [Plan(_name(n), partial(_run, n, n_queries))]


def _name(n: int) -> str:
    return f"n={n} {KEY}"


def _run(n: int, n_queries: int, bench: Workbench) -> list[Measured]:
    rows, queries = _texts(n, n_queries, bench)
    exact: Any = index_factory(EXACT_KEY, 1).train(rows).add(rows)
    best = exact.search(queries, K, k_beyond="clip")[0]
    full = np.flatnonzero(np.isfinite(best[:, -1]))  # queries that K rows have a word of
    queries, kth_best = queries[full], best[full, -1:]

    nobody = n + np.arange(K)  # ids that no row has stand where fewer are found

    def recall(ids: np.ndarray) -> float:
        scores = exact.score(queries, np.where(ids < 0, nobody, ids), missing="ignore")
        return float(np.mean(scores >= kth_best))

    contenders = _contenders(rows, queries, bench.settings)
    reached = _reached(contenders, recall, QUICK_GRID if bench.settings.quick else GRID)
    sizes = ", ".join(f"{name} {one.nbytes / 1e6:.1f} MB" for name, one in contenders.items())
    measured = []
    for batch in dict.fromkeys((1, min(100, len(queries)), len(queries))):
        points = _points(contenders, reached, batch, bench)
        for target in TARGETS:
            case = f"{_name(n)}, {len(queries)} queries in calls of {batch}"
            found = at_recall(case, DATA, points, target, len(queries))
            measured.append(replace(found, notes=(f"index: {sizes}",)))
    return measured


def _texts(n: int, n_queries: int, bench: Workbench) -> tuple[TermRows, TermRows]:
    folders = source_folders(packages=not bench.settings.quick)
    texts = docstring_sentences(folders, n + n_queries)
    order = np.random.default_rng(bench.settings.seed).permutation(len(texts)).tolist()
    encoder = WordEncoder()
    rows, queries = (encoder.encode_documents([texts[i] for i in part]) for part in (order[:n], order[n:]))
    bench.data.descriptions[DATA] = (
        f"sentences of docstrings of installed packages, {len(rows.numbers) / n:.1f} words each, and "
        f"{n_queries} others as queries"
    )
    return rows, queries


# ---- the contenders --------------------------------------------------------------------------------


def _contenders(rows: TermRows, queries: TermRows, settings: Settings) -> dict[str, Contender]:
    ours: Any = index_factory(KEY, 1, seed=settings.seed).train(rows).add(rows)
    made = {OURS: _ours(ours, queries)}
    if "pyseismic" in settings.baselines:
        theirs = SeismicRows(*_same_terms(ours, queries))
        made["pyseismic"] = Contender(partial(theirs.search, K), partial(theirs.ids, K), theirs.nbytes())
    return made


def _ours(index: Any, queries: TermRows) -> Contender:
    sizes = index.nbytes()
    parts: dict[int, list[TermRows]] = {}

    def search(batch: int, query_cut: int, heap_factor: float) -> Any:
        options = {"query_cut": query_cut, "heap_factor": heap_factor}
        return [index.search(part, K, **options) for part in parts[batch]]

    for batch in (1, min(100, len(queries)), len(queries)):
        parts[batch] = [queries[start : start + batch] for start in range(0, len(queries), batch)]

    def ids(query_cut: int, heap_factor: float) -> np.ndarray:
        return np.asarray(search(len(queries), query_cut, heap_factor)[0][1])

    return Contender(search, ids, sizes["total"])


def _same_terms(index: Any, queries: TermRows) -> tuple[Terms, Terms]:
    """Rows and queries by the numbers of their terms, with the weights that our search multiplies."""
    (segment,) = index.segments
    rows = tuple(segment.stored[name] for name in ("row_starts", "row_terms", "row_weights"))
    offsets, lists, weights = index._asked(queries).of(segment)
    return (rows[0], rows[1], rows[2] / np.float32(255)), (offsets, lists, weights * np.float32(255))


# ---- measuring -------------------------------------------------------------------------------------

Setting = tuple[int, float]


def _reached(
    contenders: Mapping[str, Contender],
    recall: Callable[[np.ndarray], float],
    grid: tuple[Setting, ...],
) -> dict[tuple[str, Setting], float]:
    """Recall of all settings that come near the targets."""
    found = {
        (name, setting): recall(one.ids(*setting)) for name, one in contenders.items() for setting in grid
    }
    return {key: value for key, value in found.items() if value >= LEAST_RECALL}


def _points(
    contenders: Mapping[str, Contender],
    reached: Mapping[tuple[str, Setting], float],
    batch: int,
    bench: Workbench,
) -> dict[str, list[Point]]:
    runs = {
        f"{name} {setting}": partial(contenders[name].search, batch, *setting) for name, setting in reached
    }
    seconds = bench.stopwatch.alternate(runs)
    points: dict[str, list[Point]] = {name: [] for name in contenders}
    for (name, setting), value in reached.items():
        points[name].append(
            Point(f"query_cut {setting[0]}, heap_factor {setting[1]:g}", value, seconds[f"{name} {setting}"])
        )
    return points
