"""The loop of Sinkhorn's algorithm: column steps here, row steps and sums over rows in the native core.

Everything is in powers of two: entry (i, j) of the plan is 2^(row_i + g_j + lift_j - scale * cost_ij). A
sweep gives every row its mass (or pulls it there) and returns the sums of the columns, with one exponential
an entry. Source: Cuturi, "Sinkhorn distances", NeurIPS 2013; relaxed masses: Chizat, Peyre, Schmitzer,
Vialard, "Scaling algorithms for unbalanced optimal transport problems", Math. Comp. 87 (2018).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks
from cluscomp.clustering.blocks import Progress, Ticker

AllReduce = Callable[[np.ndarray, Literal["sum", "max"]], np.ndarray]
"""all_reduce(values, op) returns the elementwise sum or maximum of `values` (k,) float64 over all
processes."""

_ENTRIES_PER_CALL = 1 << 27  # plan entries of one native call: about 0.1 s on two cores
_TOO_SMALL = 1e-25  # a column's sum, relative to 1: what is below may have lost entries to underflow


def this_process(values: np.ndarray, op: Literal["sum", "max"]) -> np.ndarray:
    """All-reduce of one process."""
    return values


@dataclass(frozen=True, eq=False)
class Problem:
    """What to solve.

    costs: native Transport. scale: cost to exponent. lift, col_mass, col_power: (columns,) float64; one
    column more than costs has where there is a virtual one. row_mass: (n,) float64. Powers: 1 keeps the
    mass exactly, gamma / (gamma + epsilon) relaxes it. row_offset: (n,) float64 taken from the costs of a
    row beforehand.
    """

    costs: native.Transport
    scale: float
    lift: np.ndarray
    row_mass: np.ndarray
    col_mass: np.ndarray
    row_power: float
    col_power: np.ndarray
    row_offset: np.ndarray
    all_reduce: AllReduce = this_process

    def blocks(self) -> Iterator[slice]:
        """Rows of one native call each; whole chunks, so that sums do not depend on them."""
        chunk = self.costs.chunk_rows
        work = chunk * self.lift.size * (1 + self.costs.d // 8)
        return iter_blocks(self.costs.n, chunk * max(1, _ENTRIES_PER_CALL // work))


@dataclass(frozen=True, eq=False)
class Solution:
    """g: (columns,) float64 exponents. row: (n,) exponents. residual, n_iter, converged: as
    SinkhornResult."""

    g: np.ndarray
    row: np.ndarray
    residual: float
    n_iter: int
    converged: bool


class _Rows:
    """Row exponents as the native core keeps them: 2^row = 2^stable * weight."""

    def __init__(self, problem: Problem) -> None:
        self.stable = -problem.scale * problem.row_offset
        self.weight = np.ones_like(self.stable)

    def exponents(self) -> np.ndarray:
        with np.errstate(divide="ignore"):
            total: np.ndarray = self.stable + np.log2(self.weight)
        return total


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
    ticker = Ticker(progress, n_iter)
    rows = _Rows(problem)
    g = _column_step(problem, rows) if start is None else start
    for done in range(1, n_iter + 1):
        sums = _sweep(problem, rows, g)
        following = _next(problem, rows, g, sums)
        wanted = _wanted(problem, g, following, sums)
        residual = float(np.abs(sums - wanted).sum())
        ticker.advance(1)
        if residual <= tol or done == n_iter:
            break
        g = following
    ticker.finish()
    return Solution(g, rows.exponents(), residual, done, residual <= tol)


def _sweep(problem: Problem, rows: _Rows, g: np.ndarray) -> np.ndarray:
    sums = np.zeros(g.size)
    shift = g + problem.lift
    for block in problem.blocks():
        problem.costs.sweep(
            block.start, block.stop, problem.scale, shift, problem.row_mass, problem.row_power,
            rows.stable, rows.weight, sums,
        )  # fmt: skip
    return problem.all_reduce(sums, "sum")


def _next(problem: Problem, rows: _Rows, g: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Column exponents after a column step from the sums of a sweep with `g`."""
    if np.any(sums[problem.col_mass > 0] < _TOO_SMALL):
        return _column_step(problem, rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        stepped = problem.col_power * (g + np.log2(problem.col_mass) - np.log2(sums))
    return np.where(problem.col_mass > 0, stepped, -np.inf)


def _column_step(problem: Problem, rows: _Rows) -> np.ndarray:
    """The same for any row exponents, entirely in the log domain: largest exponents first, then sums."""
    most = np.full(problem.lift.size, -np.inf)
    for block in problem.blocks():
        problem.costs.column_max(
            block.start, block.stop, problem.scale, problem.lift, rows.stable, rows.weight, most
        )
    most = problem.all_reduce(most, "max")
    sums = np.zeros(most.size)
    for block in problem.blocks():
        problem.costs.column_sums(
            block.start, block.stop, problem.scale, -most, rows.stable, rows.weight, sums
        )
    sums = problem.all_reduce(sums, "sum")
    with np.errstate(divide="ignore"):
        stepped = problem.col_power * (np.log2(problem.col_mass) - most - problem.lift - np.log2(sums))
    return np.where(problem.col_mass > 0, stepped, -np.inf)


def _wanted(problem: Problem, g: np.ndarray, following: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Column sums (columns,) that the step from g to `following` asks for; the masses where these are
    exact."""
    relaxed = (problem.col_power < 1) & (problem.col_mass > 0)
    with np.errstate(over="ignore", invalid="ignore"):
        pulled = sums * np.exp2(following - g)
    return np.where(relaxed & (sums >= _TOO_SMALL), pulled, problem.col_mass)
