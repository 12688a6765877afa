"""Balanced codes for a batch of documents: Sinkhorn's algorithm in torch, in all groups at once.

Source: RepCONC (Zhan et al., WSDM 2022), section on constrained clustering. The plan is that of
`cluscomp.sinkhorn` (centroids first, documents last) with float64 potentials; documents may be spread over
processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluscomp import checks
from cluscomp.errors import DimensionError, EmptyInputError, NonFiniteError
from cluscomp.vocabulary import COST_SCALES

if TYPE_CHECKING:
    from torch import Tensor

TensorReduce = Callable[["Tensor", str], "Tensor"]
"""Elementwise "sum" or "max" of a tensor over all processes, returned to each of them."""

_RANGE_GUARD = 1e-5  # as in cluscomp.sinkhorn
_LARGEST_EXPONENT = 50.0  # of a scaling factor; beyond, it moves into the potentials
_TOO_SMALL = 1e-200  # a column sum below this has lost its digits


@dataclass(frozen=True)
class TransportPlan:
    """The plan of each group g, in the form exp(kernel + row + col); all float64.

    kernel: (g, n, k) = -cost / epsilon, of the documents of this process. row_exponent: (g, n).
    col_exponent: (g, k), equal in all processes. residual: (g,), sum of |column sum - 1/k|. n_iter: done.
    """

    kernel: Tensor
    row_exponent: Tensor
    col_exponent: Tensor
    residual: Tensor
    n_iter: int

    def plan(self) -> Tensor:
        """The plans (g, n, k), each summing to 1 over all processes."""
        return (self.kernel + self.row_exponent[:, :, None] + self.col_exponent[:, None, :]).exp()

    def codes(self) -> Tensor:
        """The largest entry of each document: (n, g) int64; the lowest centroid wins a tie."""
        return (self.kernel + self.col_exponent[:, None, :]).argmax(dim=2).T.contiguous()


def this_process(values: Tensor, op: str) -> Tensor:
    """The reduction for documents that are all here."""
    return values


def balanced_plan(
    cost: Tensor,
    *,
    epsilon: float,
    n_iter: int = 100,
    tol: float = 1e-4,
    cost_scale: str = "absolute",
    start: Tensor | None = None,
    all_reduce: TensorReduce = this_process,
) -> TransportPlan:
    """Entropic transport with uniform masses between n documents and k centroids, for each of g groups.

    cost: (g, n, k), finite; the rows of this process. epsilon: > 0, in units of the scaled cost.
    n_iter: most iterations, each a centroid step and a document step. tol: stop when the centroids' sums
    miss 1/k by at most this (sum of magnitudes, the worst group). cost_scale: as `cluscomp.sinkhorn`, the
    range being that of each group over all processes. start: column exponents (g, k) of an earlier plan,
    used in place of the first centroid step. all_reduce: see TensorReduce; each process must call.
    Raises UsageError, DimensionError, EmptyInputError, NonFiniteError (costs that are not finite).
    """
    _check(cost, epsilon, n_iter, cost_scale, start)
    kernel = _kernel(cost, epsilon, cost_scale, all_reduce)
    state = _Iteration(kernel, all_reduce)
    if start is None:
        state.exact_centroid_step()
    else:
        state.col = start.to(kernel)
    state.exact_document_step()
    state.absorb()
    done = 1
    while True:
        sums = state.column_sums()
        residual = (sums - 1 / kernel.shape[2]).abs().sum(dim=1)
        if done == n_iter or float(residual.max()) <= tol:
            break
        state.step(sums)
        done += 1
    row, col = state.exponents()
    return TransportPlan(kernel, row, col, residual, done)


class _Iteration:
    """Potentials and scaling factors; the plan is diag(u) exp(kernel + row + col) diag(v)."""

    def __init__(self, kernel: Tensor, all_reduce: TensorReduce) -> None:
        self.kernel, self.all_reduce = kernel, all_reduce
        count = kernel.new_full((1,), kernel.shape[1])
        self.log_row = -math.log(float(all_reduce(count, "sum")))
        self.log_col = -math.log(kernel.shape[2])
        self.row = kernel.new_zeros(kernel.shape[:2])
        self.col = kernel.new_zeros((kernel.shape[0], kernel.shape[2]))

    def exact_centroid_step(self) -> None:
        """Entirely in the log domain: largest exponents first, then sums."""
        exponents = self.kernel + self.row[:, :, None]
        most = self.all_reduce(exponents.amax(dim=1), "max")
        sums = self.all_reduce((exponents - most[:, None, :]).exp().sum(dim=1), "sum")
        self.col = self.log_col - most - sums.log()

    def exact_document_step(self) -> None:
        self.row = self.log_row - (self.kernel + self.col[:, None, :]).logsumexp(dim=2)

    def absorb(self) -> None:
        """Recompute the plan from the potentials, with factors of 1."""
        self.scaled = (self.kernel + self.row[:, :, None] + self.col[:, None, :]).exp()
        self.u = self.kernel.new_ones(self.row.shape)
        self.v = self.kernel.new_ones(self.col.shape)

    def column_sums(self) -> Tensor:
        local = self.v * (self.u[:, None, :] @ self.scaled)[:, 0, :]
        return self.all_reduce(local, "sum")

    def step(self, sums: Tensor) -> None:
        """Centroid step from the column sums, then document step."""
        if bool((sums < _TOO_SMALL).any()):
            self.row, self.col = self.exponents()
            self.exact_centroid_step()
            self.exact_document_step()
            self.absorb()
            return
        self.v = self.v * math.exp(self.log_col) / sums
        self.u = math.exp(self.log_row) / (self.scaled @ self.v[:, :, None])[:, :, 0]
        # The decision must be the same in all processes: it is taken from what all of them share.
        if float(self.v.log().abs().max()) > _LARGEST_EXPONENT:
            self.row, self.col = self.exponents()
            self.exact_document_step()
            self.absorb()

    def exponents(self) -> tuple[Tensor, Tensor]:
        return self.row + self.u.log(), self.col + self.v.log()


def _kernel(cost: Tensor, epsilon: float, cost_scale: str, all_reduce: TensorReduce) -> Tensor:
    cost = cost.detach().double()
    finite = all_reduce((~cost.isfinite()).any().double()[None], "max")
    if bool(finite[0] > 0):
        raise NonFiniteError(
            "the distances of documents to centroids hold NaN or infinity: training has diverged; lower the "
            "learning rates, or raise the weight of the quantization error"
        )
    if cost_scale == "range":
        high = all_reduce(cost.amax(dim=(1, 2)), "max")
        low = -all_reduce(-cost.amin(dim=(1, 2)), "max")
        middle = ((high + low) / 2)[:, None, None]
        cost = (cost - middle) / (high[:, None, None] - middle + _RANGE_GUARD)
    return cost / -epsilon


def _check(cost: Tensor, epsilon: float, n_iter: int, cost_scale: str, start: Tensor | None) -> None:
    if cost.ndim != 3:
        raise DimensionError(
            f"cost has shape {tuple(cost.shape)}, but (groups, documents, centroids) is needed"
        )
    if cost.shape[1] == 0:
        raise EmptyInputError("cost has 0 documents, at least 1 is needed in each process")
    checks.number("epsilon", epsilon, above=0)
    checks.integer("n_iter", n_iter, 1)
    checks.one_of("cost_scale", cost_scale, COST_SCALES)
    if start is not None and tuple(start.shape) != (cost.shape[0], cost.shape[2]):
        raise DimensionError(
            f"start has shape {tuple(start.shape)}, but ({cost.shape[0]}, {cost.shape[2]}) is needed"
        )
