"""Sums of floating-point numbers that depend neither on the order of the rows nor on a cut into parts.

Every value is rounded to a multiple of a unit first, a power of two so coarse that no sum of n such values
needs more than the 53 bits of a float64: all additions are exact. The unit follows from the largest value and
n alone, so machines that know both add to the same bits. With n = 2^24 rows it is 2^-28 of the largest
value, or less.
Source: Demmel and Nguyen, "Fast reproducible floating-point summation", ARITH 2013 (one fold).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.arrays import iter_blocks

_BLOCK = 1 << 20  # values rounded at a time


def rounder(largest: Any, n: int) -> Any:
    """What to add to a value and take off again, so that n values of at most `largest` add exactly.

    It is 1.5 * 2^52 units: adding it leaves no bit below the unit. largest: number, or array of them.
    """
    bits = max(2, (n - 1).bit_length())
    return np.ldexp(1.5, np.frexp(largest)[1] + bits)


def exact_sum(values: np.ndarray, rounding: float) -> float:
    """Sum of values (n,) float64, each rounded by `rounding`: what `rounder` gave for n values or more."""
    blocks = (values[block] for block in iter_blocks(values.shape[0], _BLOCK))
    return float(sum(float(((block + rounding) - rounding).sum()) for block in blocks))


@dataclass(frozen=True)
class Extent:
    """Largest values of weighted rows, on which the units of their sums depend.

    n: rows. columns: (d,) float64, largest magnitude of each column. pulled: (d,) the same times the weight
    with which a row enters its centroid's sum. pull, mass: largest such weight, and largest sample weight.
    """

    n: int
    columns: np.ndarray
    pulled: np.ndarray
    pull: float
    mass: float

    @classmethod
    def of_all(cls, parts: Iterable[Extent]) -> Extent:
        """Extent of all rows of some parts."""
        every = list(parts)
        return cls(
            sum(part.n for part in every),
            np.max([part.columns for part in every], axis=0),
            np.max([part.pulled for part in every], axis=0),
            max(part.pull for part in every),
            max(part.mass for part in every),
        )

    def rounders(self) -> np.ndarray:
        """(d + 1,) float64: those of the columns' sums, and that of the sum of weights."""
        return rounder(np.append(self.pulled, self.pull), self.n)

    def length(self) -> float:
        """A bound of the length of a row."""
        return float(np.sqrt(np.square(self.columns).sum()))
