"""Plain support pooling in float64: exact ridge regression in every round, one document at a time."""

from __future__ import annotations

import numpy as np


def support_function(x: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """h(q) = max_i <q, x_i> of the rows of a sample."""
    return (np.asarray(sample, "f8") @ np.asarray(x, "f8").T).max(axis=1)


def objective(
    v: np.ndarray, start: np.ndarray, sample: np.ndarray, target: np.ndarray, ridge: float
) -> float:
    """Squared errors over the sample, and the ridge."""
    errors = support_function(v, sample) - target
    return float(errors @ errors + ridge * ((np.asarray(v, "f8") - start) ** 2).sum())


def mixed_target(
    x: np.ndarray, start: np.ndarray, sample: np.ndarray, share: float, shift: float
) -> np.ndarray:
    """What is fitted where Ward's largest products have a share in it."""
    ward = support_function(start, sample) + shift
    return (1 - share) * support_function(x, sample) + share * ward


def fit(start, sample, target, *, ridge=2.0, rounds=2, fixed=0) -> np.ndarray:
    """The vectors of the best round."""
    start, sample = np.asarray(start, "f8"), np.asarray(sample, "f8")
    v, best = start.copy(), start.copy()
    for _ in range(rounds):
        owner = (sample @ v.T).argmax(axis=1)
        for j in range(fixed, len(v)):
            q, h = sample[owner == j], target[owner == j]
            v[j] = np.linalg.solve(q.T @ q + ridge * np.eye(q.shape[1]), q.T @ h + ridge * start[j])
        if objective(v, start, sample, target, ridge) < objective(best, start, sample, target, ridge):
            best = v.copy()
    return best
