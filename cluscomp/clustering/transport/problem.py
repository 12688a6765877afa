"""A problem of entropic transport, and what is done to all of its rows: sweeps, labels, the plan.

Here costs are on the host and the native core works on them; device.py does the same in GPU memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np

from cluscomp.arrays import iter_blocks

AllReduce = Callable[[np.ndarray, Literal["sum", "max"]], np.ndarray]
"""all_reduce(values, op) returns the elementwise sum or maximum of `values` (k,) float64 over all
processes."""

_ENTRIES_PER_CALL = 1 << 27  # plan entries of one native call: about 0.1 s on two cores
_ENTRIES_PER_STEP = 1 << 22  # that NumPy works on at a time


def this_process(values: np.ndarray, op: Literal["sum", "max"]) -> np.ndarray:
    """All-reduce of one process."""
    return values


@dataclass(frozen=True, eq=False)
class Problem:
    """What to solve: costs[i, j] + row_offset[i] + col_offset[j] for real columns, 0 for a virtual one.

    costs: native Transport, or DeviceCosts. scale: cost to exponent. lift, col_mass, col_power: (columns,)
    float64; one column more than costs has where there is a virtual one. row_mass: (n,) float64. Powers: 1
    keeps the mass exactly, gamma / (gamma + epsilon) relaxes it. row_offset: (n,) float64. col_offset: (k,)
    float64; exponents of columns are without it.
    """

    costs: Any
    scale: float
    lift: np.ndarray
    row_mass: Any
    col_mass: np.ndarray
    row_power: float
    col_power: np.ndarray
    row_offset: Any
    col_offset: np.ndarray
    all_reduce: AllReduce = this_process

    @cached_property
    def row_lift(self) -> Any:
        """(n,) float64: how much higher the virtual column stands because of `row_offset`."""
        return self.scale * self.row_offset

    def blocks(self) -> Iterator[slice]:
        """Rows of one native call each; whole chunks, so that sums do not depend on them."""
        chunk = self.costs.chunk_rows
        work = chunk * self.lift.size * (1 + self.costs.d // 8)
        return iter_blocks(self.costs.n, chunk * max(1, _ENTRIES_PER_CALL // work))

    def rows(self) -> RowExponents:
        """Exponents of the rows, zero at first (after row_offset)."""
        return _HostRows(self)

    def labels(self, g: np.ndarray) -> Any:
        """Real column (n,) int32 of the largest entry of each row, ties to the lowest."""
        shift = g + self.lift
        labels = np.empty(self.costs.n, dtype=np.int32)
        for block in self.blocks():
            labels[block] = self.costs.labels(block.start, block.stop, self.scale, shift)
        return labels

    def counts(self, labels: Any) -> np.ndarray:
        """How often each real column occurs (k,) int64, over all processes."""
        counts = np.bincount(labels, minlength=self.costs.k).astype(np.float64)
        return self.all_reduce(counts, "sum").astype(np.int64)

    def place(self, values: np.ndarray) -> Any:
        """An array of the host where the results go."""
        return values

    def entries(self, g: np.ndarray) -> Any:
        """The plan (n, columns) float64, recomputed from column exponents."""
        entries = np.empty((self.costs.n, self.lift.size))
        for block in iter_blocks(self.costs.n, max(1, _ENTRIES_PER_STEP // self.lift.size)):
            entries[block] = self.entries_of(block, g)
        return entries

    def entries_of(self, block: slice, g: np.ndarray) -> np.ndarray:
        """Some rows of the plan."""
        k = self.costs.k
        rows = np.zeros((block.stop - block.start, self.lift.size))
        np.multiply(self.costs.costs(block.start, block.stop), -self.scale, out=rows[:, :k], dtype=np.float64)
        rows[:, k:] = self.row_lift[block, None]
        rows += g + self.lift
        most = rows.max(axis=1, keepdims=True)
        np.exp2(rows - most, out=rows)
        rows *= self._row_factors(block, rows.sum(axis=1), most[:, 0])[:, None]
        return rows

    def _row_factors(self, block: slice, sums: np.ndarray, most: np.ndarray) -> np.ndarray:
        """What the rows' entries, scaled to a maximum of one, are multiplied with."""
        if self.row_power == 1:
            exact: np.ndarray = self.row_mass[block] / sums
            return exact
        lift = self.row_lift[block]
        with np.errstate(divide="ignore"):
            logs = self.row_power * (np.log2(self.row_mass[block] / sums) - most + lift) + most - lift
        return np.exp2(logs)


class RowExponents(Protocol):
    """Exponents of all rows of a problem, and sums over these rows: (columns,) float64 on the host."""

    def sweep(self, g: np.ndarray) -> np.ndarray:
        """Row step for the column exponents g; then the columns' sums."""

    def column_max(self) -> np.ndarray:
        """A reference near the largest row_i - scale * cost_ij of each column, such as this itself."""

    def column_sums(self, most: np.ndarray) -> np.ndarray:
        """Sums over i of 2^(row_i - scale * cost_ij - most_j)."""

    def exponents(self) -> Any:
        """Row exponents (n,) float64, where the costs are."""


class _HostRows:
    """Row exponents as the native core keeps them: 2^row = 2^stable * weight."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        stable = -problem.row_lift
        self._state = (stable, np.ones_like(stable), problem.row_lift)

    def sweep(self, g: np.ndarray) -> np.ndarray:
        p = self._problem
        sums = np.zeros(g.size)
        shift = g + p.lift
        for block in p.blocks():
            rows = (block.start, block.stop)
            p.costs.sweep(*rows, p.scale, shift, p.row_mass, p.row_power, *self._state, sums)
        return sums

    def column_max(self) -> np.ndarray:
        p = self._problem
        most = np.full(p.lift.size, -np.inf)
        for block in p.blocks():
            p.costs.column_max(block.start, block.stop, p.scale, p.lift, *self._state, most)
        return most

    def column_sums(self, most: np.ndarray) -> np.ndarray:
        p = self._problem
        sums = np.zeros(most.size)
        for block in p.blocks():
            p.costs.column_sums(block.start, block.stop, p.scale, -most, *self._state, sums)
        return sums

    def exponents(self) -> np.ndarray:
        stable, weight, _ = self._state
        with np.errstate(divide="ignore"):
            total: np.ndarray = stable + np.log2(weight)
        return total
