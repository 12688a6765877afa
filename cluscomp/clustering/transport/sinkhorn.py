"""Entropic optimal transport between rows and columns (Sinkhorn's algorithm) in the log domain.

Minimises <S, P> + epsilon * sum P (log P - 1) over plans P with given row and column sums, S being the scaled
costs. Source: Cuturi, "Sinkhorn distances", NeurIPS 2013. As assignment with balanced clusters: Asano,
Rupprecht, Vedaldi, ICLR 2020; RepCONC (Zhan et al., WSDM 2022); with a virtual column and relaxed columns:
P2OT (Zhang, Ren, He, ICLR 2024).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cluscomp import checks, native
from cluscomp.arrays import as_rows, iter_blocks, to_float32
from cluscomp.clustering.blocks import Progress
from cluscomp.clustering.device import as_device_rows, is_cuda_tensor, on_host
from cluscomp.clustering.transport.device import DeviceCosts, DeviceProblem
from cluscomp.clustering.transport.problem import AllReduce, Problem, this_process
from cluscomp.clustering.transport.result import SinkhornResult, finish
from cluscomp.clustering.transport.solver import solve
from cluscomp.errors import DimensionError, DTypeError, InputError, NonFiniteError, UsageError
from cluscomp.vocabulary import COST_SCALES

_COSTS_PER_BLOCK = 1 << 22  # entries of a stored matrix looked at by one NumPy call
_RANGE_GUARD = 1e-5  # added to half the range, as RepCONC does, so that equal costs divide by no zero
_MASS_TOLERANCE = 1e-6  # by which given masses may miss the sum 1


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
    """Transport plan between the n rows and k columns of a cost matrix.

    cost: (n, k), finite; float32 is used in place, 16-bit costs are converted; float64 is rounded to float32
    after the smallest cost of each row is taken off (not with `transported` < 1 or row_gamma). Costs equal up
    to a constant a row or a column have one plan. A torch CUDA tensor (float32, float16 or bfloat16) is
    solved on its GPU, with powers in float64: equal to the CPU's result up to the rounding of float32 powers
    (device.py).
    epsilon: strength of the entropy, in units of the scaled cost, > 0.
    row_mass (n,), col_mass (k,): not negative, of sum 1 each; None: 1/n, 1/k. Rows or columns of mass 0
    take no part.
    n_iter: most iterations, each a column step and a row step, starting from row potentials of zero.
    tol: stop when the column sums miss their masses by at most this (sum of magnitudes). float32 powers put
    the floor near 1e-7.
    cost_scale: "absolute": S = cost. "range": S = (cost - mid) / (max - mid + 1e-5) with
    mid = (max + min) / 2 over the whole matrix, so that S lies in [-1, 1].
    transported: partial transport. This share of the mass goes to the columns, the rest to a virtual column
    of cost S = 0; col_mass is then multiplied with it.
    row_gamma, col_gamma: relax row or column masses: instead of being kept they cost
    gamma * KL(sums | masses). The virtual column is never relaxed. None keeps them.
    start: a SinkhornResult, or column potentials (k,) [(k + 1,) with the virtual column's] to begin with.
    all_reduce: for rows spread over processes: all_reduce(values, op) returns the elementwise "sum" or
    "max" of `values` float64 over all of them. Each process calls with its rows; row_mass then has global
    sum 1, and 1/n counts the rows of all. Column potentials, residual and counts come out the same in each.
    progress(done, total) counts iterations.

    Bits depend on no thread count, block size or instruction set.
    Raises UsageError (parameters), DimensionError, EmptyInputError, NonFiniteError, DTypeError, InputError
    (masses).
    """
    settings = _Settings(epsilon, n_iter, tol, cost_scale, transported, row_gamma, col_gamma)
    reduce = all_reduce or this_process
    if is_cuda_tensor(cost):
        values = as_device_rows(cost, name="cost").float()
        extremes = (float(values.min()), float(values.max()))
        costs: Any = DeviceCosts(values)
        return _run(settings, costs, np.zeros(costs.n), extremes, row_mass, col_mass, start, reduce, progress)
    checked, offset, low, high = _stored_costs(cost, keep=transported < 1 or row_gamma is not None)
    costs = native.Transport(checked)
    return _run(settings, costs, offset, (low, high), row_mass, col_mass, start, reduce, progress)


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
    """`sinkhorn` for the costs between rows x (n, d) and centroids (k, d), without a matrix of size n x k.

    metric: "l2", cost |x - c|^2, or "ip", cost -<x, c>, in float32 after centring on the mean centroid.
    Costs are made anew in each iteration (2 n k d operations); where n x k floats fit into memory and d is
    large, `sinkhorn` on stored costs is faster. x: float32, float16 or bfloat16 in place, NumPy, torch or
    memory map. The other parameters and errors are those of `sinkhorn`.
    """
    settings = _Settings(epsilon, n_iter, tol, cost_scale, transported, row_gamma, col_gamma)
    if metric not in ("l2", "ip"):
        raise UsageError(
            f"metric {metric!r} has no transport cost; pass 'l2' or 'ip' (normalise the rows for the cosine)"
        )
    points = to_float32(as_rows(centroids, name="centroids"))
    costs = native.Transport(as_rows(x, dim=points.shape[1]), points, metric)
    extremes = _made_extremes(costs) if cost_scale == "range" else (0.0, 0.0)
    offset = np.zeros(costs.n)
    return _run(
        settings, costs, offset, extremes, row_mass, col_mass, start, all_reduce or this_process, progress
    )


class _Settings:
    """Checked numbers of one call."""

    def __init__(
        self, epsilon: float, n_iter: int, tol: float, cost_scale: str, transported: float,
        row_gamma: float | None, col_gamma: float | None,
    ) -> None:  # fmt: skip
        self.cost_scale = checks.one_of("cost_scale", cost_scale, COST_SCALES)
        self.epsilon = checks.number("epsilon", epsilon, above=0)
        self.n_iter = checks.integer("n_iter", n_iter, 1)
        self.tol = checks.number("tol", tol, low=0)
        self.transported = checks.number("transported", transported, above=0, high=1)
        self.row_power = self._power("row_gamma", row_gamma)
        self.col_power = self._power("col_gamma", col_gamma)

    def _power(self, name: str, gamma: float | None) -> float:
        if gamma is None:
            return 1.0
        gamma = checks.number(name, gamma, above=0)
        return gamma / (gamma + self.epsilon)


def _run(
    settings: _Settings, costs: Any, offset: np.ndarray, extremes: tuple[float, float],
    row_mass: Any, col_mass: Any, start: Any, reduce: AllReduce, progress: Progress | None,
) -> SinkhornResult:  # fmt: skip
    middle, spread = 0.0, 1.0
    if settings.cost_scale == "range":
        high, minus_low = reduce(np.array([extremes[1], -extremes[0]]), "max")
        middle = (high - minus_low) / 2
        spread = high - middle + _RANGE_GUARD
    scale = float(np.log2(np.e) / (settings.epsilon * spread))
    k = costs.k
    n_virtual = int(settings.transported < 1)
    masses = _masses(col_mass, k, "col_mass", this_process)
    kind = DeviceProblem if isinstance(costs, DeviceCosts) else Problem
    problem = kind(
        costs=costs,
        scale=scale,
        lift=np.append(np.full(k, middle * scale), np.zeros(n_virtual)),
        row_mass=_masses(row_mass, costs.n, "row_mass", reduce),
        col_mass=np.append(settings.transported * masses, np.full(n_virtual, 1 - settings.transported)),
        row_power=settings.row_power,
        col_power=np.append(np.full(k, settings.col_power), np.ones(n_virtual)),
        row_offset=offset,
        all_reduce=reduce,
    )
    given = _start_exponents(start, k, n_virtual, settings.epsilon)
    solution = solve(problem, n_iter=settings.n_iter, tol=settings.tol, start=given, progress=progress)
    return finish(problem, solution, settings.epsilon)


def _stored_costs(cost: Any, *, keep: bool) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Costs (n, k) float32, what was taken off each row (n,) float64, and the smallest and largest cost."""
    if not keep and str(getattr(cost, "dtype", "")).removeprefix("torch.") == "float64":
        wide = np.asarray(cost.detach().cpu() if hasattr(cost, "detach") else cost)
        if wide.ndim == 2 and wide.size:
            return _narrow_costs(wide)
    rows = as_rows(cost, name="cost")
    costs = rows if rows.dtype == np.float32 else np.empty(rows.shape, dtype=np.float32)
    low, high = np.inf, -np.inf
    for block in _cost_blocks(rows):
        if costs is not rows:
            costs[block] = to_float32(rows[block])
        low, high = min(low, float(costs[block].min())), max(high, float(costs[block].max()))
    return costs, np.zeros(rows.shape[0]), low, high


def _narrow_costs(wide: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float]:
    """`_stored_costs` for a float64 matrix that is not empty, whose rows lose their smallest cost first."""
    narrow, offset, high = np.empty(wide.shape, dtype=np.float32), np.empty(wide.shape[0]), -np.inf
    for block in _cost_blocks(wide):
        part = wide[block]
        if not np.isfinite(part).all():
            row = block.start + int(np.flatnonzero(~np.isfinite(part).all(axis=1))[0])
            raise NonFiniteError(f"cost: row {row} holds NaN or infinity; use a large finite cost instead")
        offset[block] = part.min(axis=1)
        narrow[block] = part - offset[block, None]
        high = max(high, float(part.max()))
    return as_rows(narrow, name="cost"), offset, float(offset.min()), high


def _cost_blocks(cost: np.ndarray) -> Iterator[slice]:
    return iter_blocks(cost.shape[0], max(1, _COSTS_PER_BLOCK // cost.shape[1]))


def _made_extremes(costs: native.Transport) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for start in range(0, costs.n, costs.chunk_rows):
        block = costs.costs(start, min(start + costs.chunk_rows, costs.n))
        low, high = min(low, float(block.min())), max(high, float(block.max()))
    return low, high


def _masses(given: Any, size: int, name: str, reduce: AllReduce) -> np.ndarray:
    """Masses (size,) float64 of global sum 1."""
    if given is None:
        mass = np.ones(size)
    else:
        try:
            mass = np.array(on_host(given), dtype=np.float64)
        except (TypeError, ValueError) as exc:
            raise DTypeError(f"{name} is not an array of numbers: {exc}") from exc
        if mass.shape != (size,):
            raise DimensionError(f"{name} has shape {mass.shape}, but ({size},) is needed for these costs")
        bad = np.flatnonzero(~(np.isfinite(mass) & (mass >= 0)))
        if bad.size:
            raise InputError(f"{name}[{bad[0]}] is {mass[bad[0]]}; masses must be finite and not negative")
    total = float(reduce(np.array([mass.sum()]), "sum")[0])
    if given is not None and abs(total - 1) > _MASS_TOLERANCE:
        raise InputError(f"{name} sums to {total:.9g}, but 1 is needed; divide it by its sum")
    return mass / total


def _start_exponents(start: Any, k: int, n_virtual: int, epsilon: float) -> np.ndarray | None:
    if start is None:
        return None
    if isinstance(start, SinkhornResult):
        extra = [] if start.virtual_potential is None else [start.virtual_potential]
        potentials = np.append(on_host(start.col_potential), extra)
    else:
        potentials = np.array(on_host(start), dtype=np.float64)
    if potentials.shape != (k + n_virtual,):
        raise DimensionError(
            f"start has shape {potentials.shape}, but ({k + n_virtual},) column potentials are needed"
        )
    if not (potentials < np.inf).all():
        raise NonFiniteError(
            "start holds NaN or +infinity; potentials are finite, or -inf for a mass of zero"
        )
    exponents: np.ndarray = potentials * float(np.log2(np.e) / epsilon)
    return exponents
