"""What an entropic transport gives: potentials first, the plan only on request."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cluscomp.clustering.sinkhorn_solver import Problem, Solution

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

    Keeps the costs (or rows and centroids) alive, for `plan`.
    """

    row_potential: np.ndarray
    col_potential: np.ndarray
    virtual_potential: float | None
    residual: float
    n_iter: int
    converged: bool
    labels: np.ndarray
    counts: np.ndarray
    epsilon: float
    _problem: Problem = field(repr=False)
    _solution: Solution = field(repr=False)

    def plan(self) -> np.ndarray:
        """The plan (n, k) float64, made anew in float64 from the column potentials.

        Each row sums to its mass (rows of the virtual column and relaxed rows: to what is left), so that a
        plan without them sums to 1.
        """
        return self._entries()[:, : self.col_potential.size]

    def unassigned(self) -> np.ndarray:
        """Mass (n,) float64 that each row leaves to the virtual column; zero without one."""
        extra = self._entries()[:, self.col_potential.size :]
        return extra.sum(axis=1)

    def _entries(self) -> np.ndarray:
        problem, k = self._problem, self.col_potential.size
        entries = np.empty((problem.costs.n, problem.lift.size))
        shift = self._solution.g + problem.lift
        for block in problem.blocks():
            rows = entries[block]
            np.multiply(
                problem.costs.costs(block.start, block.stop),
                -problem.scale,
                out=rows[:, :k],
                dtype=np.float64,
            )
            rows[:, k:] = 0.0
            rows += shift
            most = rows.max(axis=1, keepdims=True)
            np.exp2(rows - most, out=rows)
            rows *= self._row_factors(block, rows.sum(axis=1), most[:, 0])[:, None]
        return entries

    def _row_factors(self, block: slice, sums: np.ndarray, most: np.ndarray) -> np.ndarray:
        """What the rows' entries, scaled to a maximum of one, are multiplied with."""
        problem = self._problem
        if problem.row_power == 1:
            exact: np.ndarray = problem.row_mass[block] / sums
            return exact
        with np.errstate(divide="ignore"):
            logs = problem.row_power * (np.log2(problem.row_mass[block] / sums) - most) + most
        return np.exp2(logs)


def finish(problem: Problem, solution: Solution, k: int, epsilon: float) -> SinkhornResult:
    """Labels, counts and potentials of a solution for k real columns."""
    shift = solution.g + problem.lift
    labels = np.empty(problem.costs.n, dtype=np.int32)
    for block in problem.blocks():
        labels[block] = problem.costs.labels(block.start, block.stop, problem.scale, shift)
    counts = problem.all_reduce(np.bincount(labels, minlength=k).astype(np.float64), "sum")
    to_cost = epsilon * _LN2
    return SinkhornResult(
        row_potential=(solution.row + problem.scale * problem.row_offset) * to_cost,
        col_potential=solution.g[:k] * to_cost,
        virtual_potential=float(solution.g[k] * to_cost) if solution.g.size > k else None,
        residual=solution.residual,
        n_iter=solution.n_iter,
        converged=solution.converged,
        labels=labels,
        counts=counts.astype(np.int64),
        epsilon=epsilon,
        _problem=problem,
        _solution=solution,
    )
