"""What an entropic transport gives: potentials first, the plan only on request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cluscomp.clustering.transport.problem import Problem
from cluscomp.clustering.transport.solver import Solution

_LN2 = float(np.log(2.0))


@dataclass(frozen=True, eq=False)
class SinkhornResult:
    """Outcome of `sinkhorn`. With S the costs after cost_scale, plan[i, j] = exp((f[i] + g[j] - S[i, j]) /
    epsilon).

    row_potential: f (n,) float64. col_potential: g (k,) float64, -inf for a column of mass zero.
    virtual_potential: g of the virtual column, or None without one (transported = 1).
    residual: sum over columns of |column sum - the sum that a further column step asks for|; rows are exact.
    n_iter: iterations made (a column step, then a row step). converged: residual <= tol.
    labels: (n,) int32 column of the largest entry of each row, ties to the lowest. counts: (k,) int64 of the
    labels, over all processes: hard counts differ from the soft balance where epsilon is large.
    epsilon: as given.
    Arrays are NumPy's; where the costs were a torch CUDA tensor, tensors on its device.

    Keeps the costs (or rows and centroids) alive, for `plan`.
    """

    row_potential: Any
    col_potential: Any
    virtual_potential: float | None
    residual: float
    n_iter: int
    converged: bool
    labels: Any
    counts: Any
    epsilon: float
    _problem: Problem = field(repr=False)
    _solution: Solution = field(repr=False)

    def plan(self) -> Any:
        """The plan (n, k) float64, recomputed in float64 from the column potentials.

        Each row sums to its mass (rows of the virtual column and relaxed rows: to what is left), so that a
        plan without them sums to 1.
        """
        return self._problem.entries(self._solution.g)[:, : self._problem.costs.k]

    def unassigned(self) -> Any:
        """Mass (n,) float64 that each row leaves to the virtual column; zero without one."""
        return self._problem.entries(self._solution.g)[:, self._problem.costs.k :].sum(1)


def finish(problem: Problem, solution: Solution, epsilon: float) -> SinkhornResult:
    """Labels, counts and potentials of a solution."""
    labels, k = problem.labels(solution.g), problem.costs.k
    to_cost = epsilon * _LN2
    return SinkhornResult(
        row_potential=(solution.row + problem.row_lift) * to_cost,
        col_potential=problem.place((solution.g[:k] + problem.scale * problem.col_offset) * to_cost),
        virtual_potential=float(solution.g[k] * to_cost) if solution.g.size > k else None,
        residual=solution.residual,
        n_iter=solution.n_iter,
        converged=solution.converged,
        labels=labels,
        counts=problem.place(problem.counts(labels)),
        epsilon=epsilon,
        _problem=problem,
        _solution=solution,
    )
