"""Whether float32 costs decide a plan that is meant in float64."""

from __future__ import annotations

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.clustering.transport.costs import ROUNDING
from cluscomp.clustering.transport.problem import Problem
from cluscomp.errors import InputError

NEGLIGIBLE = 1 / 256
"""Exponents of entries may be wrong by this without a look at which entries matter."""
_TOLERANCE = 1 / 32  # mean error of an exponent under the plan: entries off by 2 % then
_ENTRIES_PER_STEP = 1 << 22


def require_precise(error: float, largest: float, epsilon: float) -> None:
    """Raise InputError where the plan's entries rest on costs that float32 has rounded away.

    error: mean error of an exponent of two, weighted by the plan. largest: cost, for the message.
    """
    if error > _TOLERANCE:
        raise InputError(
            f"costs up to {largest:.4g} remain when what is common to rows and columns is taken off, and "
            f"float32 rounds them by {largest * ROUNDING:.3g}: too much for epsilon {epsilon:g}. Raise "
            "epsilon, or use smaller constants for what is forbidden or forced"
        )


def rounding_of_entries(problem: Problem, g: np.ndarray) -> float:
    """Mean rounding error of an exponent of the plan with column exponents g, over all processes."""
    total = 0.0
    k = problem.costs.k
    for rows in iter_blocks(problem.costs.n, max(1, _ENTRIES_PER_STEP // problem.lift.size)):
        entries = problem.entries_of(rows, g)[:, :k]
        total += float((entries * np.abs(problem.costs.costs(rows.start, rows.stop))).sum(dtype=np.float64))
    return float(problem.all_reduce(np.array([total]), "sum")[0]) * ROUNDING * problem.scale
