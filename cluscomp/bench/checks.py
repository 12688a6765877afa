"""Are results equal? Every comparison decides in float64, and states the difference that it lets pass."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.bench.curves import kth_best_scores
from cluscomp.bench.harness import OURS, Verdict

FLOAT64_ROUNDING = 1e-12
"""Relative difference up to which two float64 distances count as equal."""

SCORE_TIE = 1e-6
"""Inner products of unit vectors that differ by less are a tie in float32."""

_SAMPLE = 256
_QUERIES = 8
_BLOCK = 4096


def squared_distances(x: np.ndarray, centroids: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Squared distance (n,) float64 of each row of x (n, d) to the centroid that its label names."""
    distances = np.empty(x.shape[0])
    for block in iter_blocks(x.shape[0], _BLOCK):
        difference = x[block].astype(np.float64) - centroids[labels[block]]
        distances[block] = np.einsum("ij,ij->i", difference, difference)
    return distances


def check_labels(x: np.ndarray, centroids: np.ndarray, labels: Mapping[str, np.ndarray]) -> Verdict:
    """Our labels are the nearest centroids in float64, on a sample of rows and where a baseline differs."""
    ours = labels[OURS]
    rows = np.linspace(0, x.shape[0] - 1, min(_SAMPLE, x.shape[0])).astype(np.int64)
    wrong = _farther(x[rows], centroids, ours[rows], nearest(x[rows], centroids))
    details = [f"{wrong} of {rows.size} sampled rows not nearest"]
    for name, theirs in labels.items():
        if name == OURS:
            continue
        other = np.flatnonzero(ours != theirs)
        farther = _farther(x[other], centroids, ours[other], theirs[other])
        details.append(f"{other.size} of {x.shape[0]} labels differ from {name}'s, {farther} of them farther")
        wrong += farther
    return Verdict(wrong == 0, "; ".join(details))


def nearest(x: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Labels (n,) of the nearest centroids by float64 arithmetic, one row at a time."""
    c = centroids.astype(np.float64)
    half = np.einsum("ij,ij->i", c, c) / 2
    return np.array([np.argmin(half - c @ row) for row in x.astype(np.float64)], dtype=np.int64)


def _farther(x: np.ndarray, centroids: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> int:
    """Rows whose centroid in `ours` is farther than that in `theirs`, beyond rounding."""
    near, far = squared_distances(x, centroids, theirs), squared_distances(x, centroids, ours)
    scale = np.einsum("ij,ij->i", x, x, dtype=np.float64)
    return int(np.count_nonzero(far > near + FLOAT64_ROUNDING * (near + scale)))


def check_hits(
    base: np.ndarray, queries: np.ndarray, found: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> Verdict:
    """Scores (nq, k) and ids (nq, k) of all contenders are the same, but for ids whose scores tie.

    Ours are moreover those of their rows, and for some queries the best of all rows.
    """
    scores, ids = found[OURS]
    wrong = np.count_nonzero(np.abs(scores - _exact_scores(base, queries, ids)) > SCORE_TIE)
    kth_best = kth_best_scores(base, queries[:_QUERIES], ids.shape[1])
    missed = np.count_nonzero(scores[:_QUERIES, -1] < kth_best - SCORE_TIE)
    details = [f"{wrong} of our scores wrong, {missed} of {len(kth_best)} sampled queries missed a hit"]
    wrong += missed
    for name, (their_scores, their_ids) in found.items():
        if name == OURS:
            continue
        other = ids != their_ids
        no_tie = (
            np.abs(_exact_scores(base, queries, ids) - _exact_scores(base, queries, their_ids)) > SCORE_TIE
        )
        bad = np.count_nonzero((other & no_tie) | (np.abs(scores - their_scores) > SCORE_TIE))
        details.append(
            f"{np.count_nonzero(other)} of {ids.size} ids differ from {name}'s, {bad} of them no tie"
        )
        wrong += bad
    return Verdict(wrong == 0, f"{'; '.join(details)} (tie: within {SCORE_TIE:g})")


def _exact_scores(base: np.ndarray, queries: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Inner products (nq, k) in float64 of each query with the rows that its hits name; -inf for -1."""
    scores = np.empty(ids.shape)
    for row, query in enumerate(queries.astype(np.float64)):
        scores[row] = np.where(ids[row] < 0, -np.inf, base[ids[row]].astype(np.float64) @ query)
    return scores


def relative_excess(ours: float, theirs: float) -> float:
    """By what share `ours` is above `theirs`; negative where it is below."""
    return (ours - theirs) / abs(theirs) if theirs else ours


def check_not_above(values: Mapping[str, float], tolerance: float, what: str) -> Verdict:
    """Our value (a loss) is above that of no baseline by more than `tolerance`, relative."""
    ours = values[OURS]
    excess = {name: relative_excess(ours, value) for name, value in values.items() if name != OURS}
    passed = np.isfinite(ours) and all(share <= tolerance for share in excess.values())
    parts = [f"{share:+.1e} against {name}" for name, share in excess.items()]
    limit = f" (at most {tolerance:+.0e})" if parts else ""
    return Verdict(bool(passed), f"{what} {ours:.6g}" + (", " + ", ".join(parts) if parts else "") + limit)
