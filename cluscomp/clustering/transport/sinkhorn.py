"""Entropic optimal transport between rows and columns (Sinkhorn's algorithm) in the log domain.

Minimises <S, P> + epsilon * sum P (log P - 1) over plans P with given row and column sums, S being the scaled
costs. Source: Cuturi, "Sinkhorn distances", NeurIPS 2013. As assignment with balanced clusters: Asano,
Rupprecht, Vedaldi, ICLR 2020; RepCONC (Zhan et al., WSDM 2022); with a virtual column and relaxed columns:
P2OT (Zhang, Ren, He, ICLR 2024).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.arrays import FLOAT32_MAX, as_numbers, as_rows, to_float32
from cluscomp.clustering.device import as_device_rows, is_cuda_tensor, on_host
from cluscomp.clustering.transport.costs import (
    EXPONENT_LIMIT,
    ROUNDING,
    Costs,
    largest_of,
    plain_costs,
    point_costs,
    point_extremes,
    reduced_costs,
)
from cluscomp.clustering.transport.device import DeviceCosts, DeviceProblem
from cluscomp.clustering.transport.matrix import CostMatrix
from cluscomp.clustering.transport.precision import NEGLIGIBLE, require_precise, rounding_of_entries
from cluscomp.clustering.transport.problem import AllReduce, Problem, this_process
from cluscomp.clustering.transport.result import SinkhornResult, finish
from cluscomp.clustering.transport.settings import ABSOLUTE, Frame, Settings, checked_masses, range_frame
from cluscomp.clustering.transport.solver import solve
from cluscomp.errors import (
    ConvergenceWarning,
    DimensionError,
    InputError,
    NonFiniteError,
    UsageError,
)
from cluscomp.progress import Progress


def sinkhorn(
    cost: Any,
    *,
    epsilon: float,
    row_mass: Any = None,
    col_mass: Any = None,
    n_iter: int = 1000,
    tol: float = 1e-6,
    cost_scale: str = "absolute",
    transported: float = 1.0,
    row_gamma: float | None = None,
    col_gamma: float | None = None,
    start: Any = None,
    all_reduce: AllReduce | None = None,
    progress: Progress | None = None,
) -> SinkhornResult:
    """Compute the entropic transport plan between the n rows and k columns of a cost matrix, in the log
    domain.

    Bits depend on no thread count, block size or instruction set.

    Args:
        cost: (n, k), finite. float32 is used in place, 16-bit costs are converted; float64 and integers are
            rounded to float32 after the smallest cost of each row and column is taken off. Costs equal up to
            a constant a row or a column have one plan. A torch CUDA tensor (float32, float16 or bfloat16) is
            solved on its GPU, equal to the CPU's result up to the rounding of float32 powers.
        epsilon: strength of the entropy, in units of the scaled cost, above 0.
        row_mass: (n,), not negative, of sum 1; None: 1/n. Rows of mass 0 take no part.
        col_mass: (k,), not negative, of sum 1; None: 1/k. Columns of mass 0 take no part.
        n_iter: most iterations, each a column step and a row step, starting from row potentials of zero.
        tol: stop when the column sums miss their masses by at most this (sum of magnitudes). float32 powers
            put the floor near 1e-7.
        cost_scale: "absolute": S = cost. "range": S = (cost - mid) / (max - mid + 1e-5) with mid = (max +
            min) / 2 over the whole matrix, so that S lies in [-1, 1].
        transported: partial transport: this share of the mass goes to the columns, the rest to a virtual
            column of cost S = 0; col_mass is then multiplied with it.
        row_gamma: relaxes row masses: instead of being kept they cost row_gamma * KL(sums | masses). None
            keeps them.
        col_gamma: the same for column masses; the virtual column is never relaxed.
        start: a SinkhornResult, or column potentials (k,), (k + 1,) with the virtual column's, to begin with.
        all_reduce: for rows spread over processes: all_reduce(values, op) returns the elementwise "sum" or
            "max" of `values` float64 over all of them. Each process calls with its rows; row_mass then has
            global sum 1, and 1/n counts the rows of all. Column potentials, residual and counts are the same
            in each.
        progress: called as progress(stage, done, total) in iterations.

    Returns:
        A `SinkhornResult`: plan() (n, k) float64 summing to 1, row_potential, col_potential, residual,
        n_iter, counts.

    Raises:
        UsageError: a parameter cannot work.
        InputError: masses are wrong.
        DimensionError, EmptyInputError, NonFiniteError, DTypeError: the costs are wrong.
    """
    settings = Settings(epsilon, n_iter, tol, cost_scale, transported, row_gamma, col_gamma)
    reduce = all_reduce or this_process
    kind: type[Problem] = Problem
    if is_cuda_tensor(cost):
        kind, (costs, frame) = DeviceProblem, _device_costs(cost, settings, reduce)
    else:
        costs, frame = _stored_costs(CostMatrix(cost), settings, reduce)
    call = _Call(settings, row_mass, col_mass, start, reduce, progress)
    return call.solve(costs, frame, kind)


def sinkhorn_points(
    x: Any,
    centroids: Any,
    *,
    epsilon: float,
    metric: str = "l2",
    row_mass: Any = None,
    col_mass: Any = None,
    n_iter: int = 1000,
    tol: float = 1e-6,
    cost_scale: str = "absolute",
    transported: float = 1.0,
    row_gamma: float | None = None,
    col_gamma: float | None = None,
    start: Any = None,
    all_reduce: AllReduce | None = None,
    progress: Progress | None = None,
) -> SinkhornResult:
    """Solve `sinkhorn` for the costs between rows and centroids, without a matrix of size n x k.

    Costs are recomputed in each iteration (2 n k d operations); where n x k floats fit into memory and d is
    large, `sinkhorn` on stored costs is faster.

    Args:
        x: rows (n, d), float32, float16 or bfloat16 in place, NumPy, torch or memory map.
        centroids: (k, d).
        epsilon: strength of the entropy, in units of the scaled cost, above 0.
        metric: "l2", cost |x - c|^2, or "ip", cost -<x, c>: products of centred rows and centroids in
            float32, the rest in float64.
        row_mass: as in `sinkhorn`.
        col_mass: as in `sinkhorn`.
        n_iter: as in `sinkhorn`.
        tol: as in `sinkhorn`.
        cost_scale: as in `sinkhorn`.
        transported: as in `sinkhorn`.
        row_gamma: as in `sinkhorn`.
        col_gamma: as in `sinkhorn`.
        start: as in `sinkhorn`.
        all_reduce: as in `sinkhorn`.
        progress: called as progress(stage, done, total) in iterations.

    Returns:
        A `SinkhornResult`, as `sinkhorn` returns it.

    Raises:
        UnknownKeyError: the metric is unknown.
        UsageError, InputError, DimensionError, EmptyInputError, NonFiniteError, DTypeError: as `sinkhorn`
            raises them.
    """
    settings = Settings(epsilon, n_iter, tol, cost_scale, transported, row_gamma, col_gamma)
    if metric not in ("l2", "ip"):
        raise UsageError(
            f"metric {metric!r} has no transport cost; pass 'l2' or 'ip' (normalise the rows for the cosine)"
        )
    points = to_float32(as_rows(centroids, name="centroids"))
    reduce = all_reduce or this_process
    costs = point_costs(as_rows(x, dim=points.shape[1]), points, metric, reduce)
    frame = ABSOLUTE
    if settings.cost_scale == "range":
        frame = range_frame(*point_extremes(costs), reduce)
    call = _Call(settings, row_mass, col_mass, start, reduce, progress)
    call.require_precise_rows(costs, frame)
    return call.solve(costs, frame, Problem)


def _stored_costs(matrix: CostMatrix, settings: Settings, reduce: AllReduce) -> tuple[Costs, Frame]:
    """Costs of a matrix: in place where float32 holds them and float64 their exponents, else reduced."""
    is_wide, minus_pivot = reduce(np.array([float(not matrix.is_narrow), -float(matrix.lowest_pivot)]), "max")
    matrix.move_to(int(-minus_pivot))
    frame = Frame(-float(matrix.pivot), 1.0)
    if settings.cost_scale == "range":
        frame = range_frame(float(matrix.low), float(matrix.high), reduce)
    limit = EXPONENT_LIMIT / settings.scale(frame)
    if is_wide or largest_of(matrix, reduce) > limit:
        return reduced_costs(matrix, limit, reduce), frame
    return plain_costs(native.Transport(matrix.narrow()), matrix.n, matrix.k), frame


def _device_costs(cost: Any, settings: Settings, reduce: AllReduce) -> tuple[Costs, Frame]:
    values = as_device_rows(cost, name="cost", largest=FLOAT32_MAX).float()
    low, high = float(values.min()), float(values.max())
    frame = ABSOLUTE if settings.cost_scale == "absolute" else range_frame(low, high, reduce)
    largest = max(abs(low), abs(high))
    if largest * settings.scale(frame) > EXPONENT_LIMIT:
        raise InputError(
            f"cost reaches {largest:.4g}, too far for epsilon {settings.epsilon:g} on a GPU; pass "
            "cost.cpu(), where rows and columns lose what they have in common, or use smaller constants"
        )
    return plain_costs(DeviceCosts(values), values.shape[0], values.shape[1]), frame


@dataclass(frozen=True)
class _Call:
    """One call: what is left when its costs are known."""

    settings: Settings
    row_mass: Any
    col_mass: Any
    start: Any
    reduce: AllReduce
    progress: Progress | None

    def solve(self, costs: Costs, frame: Frame, kind: type[Problem]) -> SinkhornResult:
        """Run the loop and take its outcome back to the scaled costs."""
        problem = self._problem(costs, frame, kind)
        given = _start_exponents(self.start, problem, self.settings.epsilon)
        settings = self.settings
        solution = solve(
            problem, n_iter=settings.n_iter, tol=settings.tol, start=given, progress=self.progress
        )
        if costs.largest * ROUNDING * problem.scale > NEGLIGIBLE:
            require_precise(rounding_of_entries(problem, solution.g), costs.largest, settings.epsilon)
        if settings.tol > 0 and not solution.converged:
            warnings.warn(
                f"sinkhorn has not converged: after {solution.n_iter} iterations column sums miss their "
                f"masses by {solution.residual:.3g} in all, tol is {settings.tol:g}; raise n_iter or epsilon",
                ConvergenceWarning,
                stacklevel=3,
            )
        return finish(problem, solution, settings.epsilon)

    def require_precise_rows(self, costs: Costs, frame: Frame) -> None:
        """Raise InputError where rows and centroids lie too far apart for epsilon."""
        assert costs.row_error is not None
        mass = checked_masses(self.row_mass, costs.values.n, "row_mass", self.reduce)
        error = float(self.reduce(np.array([mass @ costs.row_error]), "sum")[0])
        require_precise(error * self.settings.scale(frame), error / ROUNDING, self.settings.epsilon)

    def _problem(self, costs: Costs, frame: Frame, kind: type[Problem]) -> Problem:
        settings, k = self.settings, costs.values.k
        scale = settings.scale(frame)
        columns = costs.columns - frame.middle
        takes_up = settings.col_power == 1  # potentials of columns take their offsets up
        n_virtual = int(settings.transported < 1)
        masses = checked_masses(self.col_mass, k, "col_mass", this_process)
        settings.require_moderate(scale, costs.rows, columns)
        return kind(
            costs=costs.values,
            scale=scale,
            lift=np.append(np.zeros(k) if takes_up else -scale * columns, np.zeros(n_virtual)),
            row_mass=checked_masses(self.row_mass, costs.values.n, "row_mass", self.reduce),
            col_mass=np.append(settings.transported * masses, np.full(n_virtual, 1 - settings.transported)),
            row_power=settings.row_power,
            col_power=np.append(np.full(k, settings.col_power), np.ones(n_virtual)),
            row_offset=costs.rows,
            col_offset=columns if takes_up else np.zeros(k),
            all_reduce=self.reduce,
        )


def _start_exponents(start: Any, problem: Problem, epsilon: float) -> np.ndarray | None:
    if start is None:
        return None
    if isinstance(start, SinkhornResult):
        extra = [] if start.virtual_potential is None else [start.virtual_potential]
        potentials = np.append(on_host(start.col_potential), extra)
    else:
        potentials = as_numbers(on_host(start), name="start").astype(np.float64)
    if potentials.shape != problem.lift.shape:
        raise DimensionError(
            f"start has shape {potentials.shape}, but {problem.lift.shape} column potentials are needed"
        )
    if not (potentials < np.inf).all():
        raise NonFiniteError(
            "start holds NaN or +infinity; potentials are finite, or -inf for a mass of zero"
        )
    exponents: np.ndarray = potentials * float(np.log2(np.e) / epsilon)
    exponents[: problem.costs.k] -= problem.scale * problem.col_offset
    return exponents
