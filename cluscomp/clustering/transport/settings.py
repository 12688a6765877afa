"""The numbers of one call of `sinkhorn`, checked, and what costs are measured in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.arrays import as_numbers
from cluscomp.clustering.device import on_host
from cluscomp.clustering.transport.costs import EXPONENT_LIMIT
from cluscomp.clustering.transport.problem import AllReduce
from cluscomp.errors import DimensionError, InputError
from cluscomp.vocabulary import COST_SCALES

_RANGE_GUARD = 1e-5  # added to half the range, as RepCONC does, so that equal costs divide by no zero
_MASS_TOLERANCE = 1e-6  # by which given masses may miss the sum 1


@dataclass(frozen=True)
class Frame:
    """Scaled cost = (cost - middle) / spread."""

    middle: float
    spread: float


ABSOLUTE = Frame(0.0, 1.0)


class Settings:
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

    def scale(self, frame: Frame) -> float:
        """What turns costs into exponents of two."""
        return float(np.log2(np.e) / (self.epsilon * frame.spread))

    def require_moderate(self, scale: float, rows: np.ndarray, columns: np.ndarray) -> None:
        """Raise InputError for offsets that relaxed masses depend on, and that float64 cannot hold beside
        epsilon.
        """
        for name, power, offsets in (("row", self.row_power, rows), ("col", self.col_power, columns)):
            largest = float(np.abs(offsets).max())
            if power < 1 and scale * largest > EXPONENT_LIMIT:
                raise InputError(
                    f"cost has a {name} that lies at {largest:.4g}, too far for epsilon {self.epsilon:g} "
                    f"with {name}_gamma; leave that out, or use smaller constants"
                )

    def _power(self, name: str, gamma: float | None) -> float:
        if gamma is None:
            return 1.0
        gamma = checks.number(name, gamma, above=0)
        return gamma / (gamma + self.epsilon)


def range_frame(low: float, high: float, reduce: AllReduce) -> Frame:
    """The frame that maps all costs to [-1, 1]."""
    high, minus_low = (float(value) for value in reduce(np.array([high, -low]), "max"))
    middle = high / 2 - minus_low / 2
    return Frame(middle, high - middle + _RANGE_GUARD)


def checked_masses(given: Any, size: int, name: str, reduce: AllReduce) -> np.ndarray:
    """Masses (size,) float64 of global sum 1."""
    if given is None:
        mass = np.ones(size)
    else:
        mass = as_numbers(on_host(given), name=name).astype(np.float64)
        if mass.shape != (size,):
            raise DimensionError(f"{name} has shape {mass.shape}, but ({size},) is needed for these costs")
        bad = np.flatnonzero(~(np.isfinite(mass) & (mass >= 0)))
        if bad.size:
            raise InputError(f"{name}[{bad[0]}] is {mass[bad[0]]}; masses must be finite and not negative")
    total = float(reduce(np.array([mass.sum()]), "sum")[0])
    if given is not None and abs(total - 1) > _MASS_TOLERANCE:
        raise InputError(f"{name} sums to {total:.9g}, but 1 is needed; divide it by its sum")
    return mass / total
