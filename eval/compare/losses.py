"""Where quality is lost: not in the probed lists, coded too roughly, or scored wrongly by the rerank.

    exact search over everything         E
    exact search over the probed lists   C    E - C  coarse miss
    exact search over the candidates     D    C - D  quantization (with a rerank)
    what the index answers               A    D - A  rerank; without a rerank C - A is quantization

The three add up to E - A. In a judged measure each may be negative: a worse neighbour may be a better answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.eval.compare.collection import Collection, rows_of
from cluscomp.eval.compare.exact import Allowed, exact_search
from cluscomp.indexes.segments.trace import candidates, list_of_rows, probed_lists

Measure = Callable[[np.ndarray, np.ndarray], dict[str, float]]
"""Scores and positions of hits -> measures by name."""


@dataclass(frozen=True)
class LossSplit:
    """Losses by measure. pooling: of multi-vector indexes alone (late_losses.py)."""

    coarse: dict[str, float]
    quantization: dict[str, float]
    rerank: dict[str, float]
    pooling: dict[str, float] | None = None


def split_losses(
    index: Any,
    collection: Collection,
    k: int,
    parameters: dict[str, int],
    measure: Measure,
    exact: dict[str, float],
    answered: dict[str, float],
) -> LossSplit:
    """Split `exact` - `answered` for an index of ours, opened, with its rows in the order of the collection.

    exact: measures of the uncompressed search. answered: measures of the index with these parameters.
    """
    queries, documents = rows_of(collection.queries), rows_of(collection.documents)

    def restricted(allowed: Allowed) -> dict[str, float]:
        return measure(*exact_search(queries, documents, k, collection.metric, allowed=allowed))

    coarse = exact
    if index.spec.partition is not None:
        coarse = restricted(_in_lists(index, queries, parameters.get("nprobe", index.nprobe)))
    effort = {name: parameters.get(name, getattr(index, name)) for name in ("nprobe", "refine_factor")}
    found = candidates(index.pipeline, index.segments, queries, k, **effort)
    if found is None:
        return LossSplit(minus(exact, coarse), minus(coarse, answered), dict.fromkeys(exact, 0.0))
    rescored = restricted(_among(found, len(documents)))
    return LossSplit(minus(exact, coarse), minus(coarse, rescored), minus(rescored, answered))


def _in_lists(index: Any, queries: np.ndarray, nprobe: int) -> Allowed:
    labels, probes = list_of_rows(index.segments), probed_lists(index.pipeline, queries, nprobe)

    def allowed(block: slice) -> np.ndarray:
        visited = np.zeros((len(probes[block]), index.spec.nlist), dtype=bool)
        np.put_along_axis(visited, probes[block].astype(np.int64), True, axis=1)
        return visited[:, labels]

    return allowed


def _among(found: np.ndarray, n: int) -> Allowed:
    def allowed(block: slice) -> np.ndarray:
        mask = np.zeros((len(found[block]), n + 1), dtype=bool)
        np.put_along_axis(mask, found[block], True, axis=1)  # -1 falls on the last column
        return mask[:, :n]

    return allowed


def minus(a: dict[str, float], b: dict[str, float]) -> dict[str, float]:
    """Differences by measure."""
    return {name: a[name] - b[name] for name in a}
