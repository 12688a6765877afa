"""Ward's groups of the token vectors of documents, against scipy's linkage and fcluster."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from cluscomp.bench import pool_support
from cluscomp.bench.harness import OURS, Case, Measured, Verdict
from cluscomp.bench.settings import Settings
from cluscomp.bench.workbench import Plan, Workbench, contenders
from cluscomp.clustering.ward import ward_merges

BASELINES = ("scipy", "numpy")
TOKENS = 240  # of a document: the average of SciFact, cut off at 256
KEPT = 16
LOSS_TIE = 1e-6
"""Relative difference of two sums of squares below which two ways to group a document count as a tie."""


def plans(settings: Settings) -> list[Plan]:
    """2000 documents; --n 1243920 takes 5183, as many as SciFact has. Then support pooling of fewer."""
    documents = max(1, settings.rows(480_000, 4_800) // TOKENS)
    return [Plan(_name(documents), partial(_run, documents)), *pool_support.plans(settings)]


def _name(documents: int) -> str:
    return f"{documents} documents of {TOKENS} tokens to {KEPT}"


def _run(documents: int, bench: Workbench) -> list[Measured]:
    rows = bench.data.embeddings(documents * TOKENS)
    starts = np.arange(documents, dtype=np.int64) * TOKENS
    counts = np.full(documents, KEPT)

    def ours() -> np.ndarray:
        labels = ward_merges(rows.x, starts, starts + TOKENS).cut(counts)[0]
        return labels.reshape(documents, TOKENS)

    case = Case(
        name=_name(documents),
        data=rows.name,
        contenders=contenders(bench.settings, ours, {"scipy": lambda m: scipy_labels(m, rows.x, starts)}),
        check=partial(check_groups, rows.x.reshape(documents, TOKENS, -1)),
        notes=("token vectors in order, cut into documents of equal length",),
    )
    return bench.measure(case)


def scipy_labels(_: ModuleType, x: np.ndarray, starts: np.ndarray) -> Callable[[], np.ndarray]:
    """linkage(..., "ward") and fcluster(..., "maxclust"), one document after the other."""
    hierarchy = importlib.import_module("scipy.cluster.hierarchy")

    def run() -> np.ndarray:
        trees = (hierarchy.linkage(x[start : start + TOKENS], "ward") for start in starts)
        return np.stack([hierarchy.fcluster(tree, KEPT, "maxclust") for tree in trees])

    return run


def check_groups(documents: np.ndarray, found: Mapping[str, Any]) -> Verdict:
    """Groups are those of each baseline; where they are not, they have the same sum of squares."""
    ours = found[OURS]
    parts, wrong = [f"at most {int(ours.max()) + 1} groups"], int(ours.max() >= KEPT)
    for name, theirs in found.items():
        if name == OURS:
            continue
        differ = [i for i in range(len(documents)) if not _same_groups(ours[i], theirs[i])]
        losses = [(_loss(documents[i], ours[i]), _loss(documents[i], theirs[i])) for i in differ]
        bad = sum(abs(a - b) > LOSS_TIE * max(a, b) for a, b in losses)
        parts.append(
            f"{len(differ)} of {len(documents)} documents grouped unlike {name}, {bad} of them no tie"
        )
        wrong += bad
    return Verdict(wrong == 0, "; ".join(parts))


def _same_groups(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = np.unique(np.stack([a, b]), axis=1).shape[1]
    return bool(pairs == np.unique(a).size == np.unique(b).size)


def _loss(x: np.ndarray, labels: np.ndarray) -> float:
    """Sum of squared distances to the means of the groups, in float64."""
    rows = x.astype(np.float64)
    groups = (rows[labels == label] for label in np.unique(labels))
    return float(sum(((group - group.mean(axis=0)) ** 2).sum() for group in groups))
