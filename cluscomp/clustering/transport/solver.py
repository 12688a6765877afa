"""The loop of Sinkhorn's algorithm: column steps here, row steps and sums over rows where the costs are.

Everything is in powers of two: entry (i, j) of the plan is 2^(row_i + g_j + lift_j - scale * cost_ij). A
sweep gives every row its mass (or pulls it there) and returns the sums of the columns, with one exponential
an entry. Source: Cuturi, "Sinkhorn distances", NeurIPS 2013; relaxed masses: Chizat, Peyre, Schmitzer,
Vialard, "Scaling algorithms for unbalanced optimal transport problems", Math. Comp. 87 (2018).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.clustering.transport.problem import Problem, RowExponents
from cluscomp.progress import Progress, Ticker

_TOO_SMALL = 1e-25  # a column's sum, relative to 1: what is below may have lost entries to underflow


@dataclass(frozen=True, eq=False)
class Solution:
    """g: (columns,) float64 exponents. row: (n,) exponents, where the costs are. residual, n_iter, converged:
    as SinkhornResult.
    """

    g: np.ndarray
    row: Any
    residual: float
    n_iter: int
    converged: bool


def solve(
    problem: Problem,
    *,
    n_iter: int,
    tol: float,
    start: np.ndarray | None = None,
    progress: Progress | None = None,
) -> Solution:
    """At most n_iter iterations (column step, row step), until the residual is at most tol.

    start: column exponents (columns,) that replace the first column step; without it rows start from zero.
    """
    ticker = Ticker(progress, "sinkhorn", n_iter)
    rows = problem.rows()
    g = _column_step(problem, rows) if start is None else start
    for done in range(1, n_iter + 1):
        sums = problem.all_reduce(rows.sweep(g), "sum")
        following = _next(problem, rows, g, sums)
        wanted = _wanted(problem, g, following, sums)
        residual = float(np.abs(sums - wanted).sum())
        ticker.advance(1)
        if residual <= tol or done == n_iter:
            break
        g = following
    ticker.finish()
    return Solution(g, rows.exponents(), residual, done, residual <= tol)


def _next(problem: Problem, rows: RowExponents, g: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Column exponents after a column step from the sums of a sweep with `g`."""
    if np.any(sums[problem.col_mass > 0] < _TOO_SMALL):
        return _column_step(problem, rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        stepped = problem.col_power * (g + np.log2(problem.col_mass) - np.log2(sums))
    return np.where(problem.col_mass > 0, stepped, -np.inf)


def _column_step(problem: Problem, rows: RowExponents) -> np.ndarray:
    """The same for any row exponents, entirely in the log domain: largest exponents first, then sums."""
    most = problem.all_reduce(rows.column_max(), "max")
    sums = problem.all_reduce(rows.column_sums(most), "sum")
    with np.errstate(divide="ignore"):
        stepped = problem.col_power * (np.log2(problem.col_mass) - most - problem.lift - np.log2(sums))
    return np.where(problem.col_mass > 0, stepped, -np.inf)


def _wanted(problem: Problem, g: np.ndarray, following: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Column sums (columns,) that the step from g to `following` asks for; the masses where these are
    exact.
    """
    relaxed = (problem.col_power < 1) & (problem.col_mass > 0)
    with np.errstate(over="ignore", invalid="ignore"):
        pulled = sums * np.exp2(following - g)
    return np.where(relaxed & (sums >= _TOO_SMALL), pulled, problem.col_mass)
