"""Costs without what is common to a row or a column: cost[i, j] = values[i, j] + rows[i] + columns[j].

A plan does not depend on `rows` and `columns`: potentials take them up. The kernels read `values` in float32,
whose digits would else go to the offsets: costs of 1e8 + {0 .. 1} would become equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.arrays import FLOAT32_MAX, iter_blocks, to_float32
from cluscomp.clustering.transport.matrix import CostMatrix
from cluscomp.clustering.transport.problem import AllReduce
from cluscomp.errors import InputError

ROUNDING = 2.0**-24
"""Relative error of float32."""
EXPONENT_LIMIT = 2.0**30
"""Exponents up to this keep 23 bits behind the point in float64."""
_VALUES_PER_BLOCK = 1 << 20  # of rows held in float64


@dataclass(frozen=True, eq=False)
class Costs:
    """What the loop works on. values: native Transport (n, k). rows: (n,) float64. columns: (k,) float64, the
    same in all processes. largest: magnitude of the values where they are roundings of a finer matrix, else
    0. row_error: (n,) bound of the rounding of each row's values where these are made when needed.
    """

    values: Any
    rows: np.ndarray
    columns: np.ndarray
    largest: float = 0.0
    row_error: np.ndarray | None = None


def plain_costs(values: Any, n: int, k: int) -> Costs:
    """Costs that are used as they are."""
    return Costs(values, np.zeros(n), np.zeros(k))


def reduced_costs(matrix: CostMatrix, limit: float, reduce: AllReduce) -> Costs:
    """Costs (minus the matrix's pivot) whose rows and columns have a smallest value of zero.

    limit: magnitude up to which float64 keeps what matters. Rows and columns that lie beyond it as a whole
    are moved back first, so that they do not take the digits of the others.
    Raises InputError for single costs below -limit.
    """
    gross_rows, gross_columns = np.zeros(matrix.n), np.zeros(matrix.k)
    if largest_of(matrix, reduce) > limit:
        gross_rows = _gross_rows(matrix, limit)
        gross_columns = _gross_columns(matrix, gross_rows, limit, reduce)

    def moved(rows: slice) -> np.ndarray:
        block = matrix.block(rows)
        block -= gross_rows[rows, None]
        block -= gross_columns
        return block

    lowest = np.full(matrix.k, np.inf)
    for rows in matrix.blocks():
        np.minimum(lowest, moved(rows).min(axis=0), out=lowest)
    columns = -reduce(-lowest, "max")
    _require_no_forced_pair(columns, limit)
    values, minima, largest = np.empty((matrix.n, matrix.k), np.float32), np.empty(matrix.n), 0.0
    for rows in matrix.blocks():
        block = moved(rows) - columns
        minima[rows] = block.min(axis=1)
        block -= minima[rows, None]
        largest = max(largest, float(block.max()))
        values[rows] = np.minimum(block, FLOAT32_MAX)
    rows_, columns = _from_zero(gross_rows + minima, gross_columns + columns, reduce)
    return Costs(native.Transport(values), rows_, columns, largest=largest)


def point_costs(x: np.ndarray, centroids: np.ndarray, metric: str, reduce: AllReduce) -> Costs:
    """Costs between rows x (n, d) of kernel dtype and centroids (k, d) float32, made when needed.

    With the means m of all rows and c of the centroids,
        |x - y|^2 = -2 <x - m, y - c> + |x - c|^2 + (|y - c|^2 - 2 <m - c, y - c>),
        -<x, y>   =   -<x - m, y - c> - <x, c>    - <m, y - c>:
    the products in float32, the terms of rows and columns in float64.
    """
    points = centroids.astype(np.float64)
    row_mean, point_mean = _mean_row(x, reduce), points.mean(axis=0).astype(np.float32)
    points -= point_mean
    if metric == "l2":
        columns = np.einsum("ij,ij->i", points, points)
        columns -= 2 * np.einsum("ij,j->i", points, row_mean.astype("d") - point_mean)
    else:
        columns = -np.einsum("ij,j->i", points, row_mean.astype("d"))
    rows, lengths = _row_terms(x, row_mean, point_mean, metric)
    farthest = float(np.sqrt(np.einsum("ij,ij->i", points, points).max()))
    values = native.Transport(x, points.astype(np.float32), row_mean, metric)
    error = (2 if metric == "l2" else 1) * ROUNDING * farthest * lengths
    return Costs(values, *_from_zero(rows, columns, reduce), row_error=error)


def point_extremes(costs: Costs) -> tuple[float, float]:
    """Smallest and largest cost of `point_costs`."""
    low, high = np.inf, -np.inf
    values = costs.values
    for rows in iter_blocks(values.n, values.chunk_rows):
        block = values.costs(rows.start, rows.stop) + costs.rows[rows, None] + costs.columns
        low, high = min(low, float(block.min())), max(high, float(block.max()))
    return low, high


def largest_of(matrix: CostMatrix, reduce: AllReduce) -> float:
    """Largest magnitude of all costs, over all processes."""
    return float(reduce(np.array([max(abs(matrix.low), abs(matrix.high))]), "max")[0])


def _gross_rows(matrix: CostMatrix, limit: float) -> np.ndarray:
    gross = np.empty(matrix.n)
    for rows in matrix.blocks():
        block = matrix.block(rows)
        gross[rows] = _gross(block.min(axis=1), block.max(axis=1), limit)
    return gross


def _gross_columns(matrix: CostMatrix, gross_rows: np.ndarray, limit: float, reduce: AllReduce) -> np.ndarray:
    low, high = np.full(matrix.k, np.inf), np.full(matrix.k, -np.inf)
    for rows in matrix.blocks():
        block = matrix.block(rows) - gross_rows[rows, None]
        np.minimum(low, block.min(axis=0), out=low)
        np.maximum(high, block.max(axis=0), out=high)
    minus_low, high = np.split(reduce(np.concatenate([-low, high]), "max"), 2)
    return _gross(-minus_low, high, limit)


def _gross(low: np.ndarray, high: np.ndarray, limit: float) -> np.ndarray:
    """What moves ranges that lie beyond the limit as a whole back to zero."""
    return np.where(low > limit, low, np.where(high < -limit, high, 0.0))


def _require_no_forced_pair(lowest: np.ndarray, limit: float) -> None:
    worst = int(lowest.argmin())
    if lowest[worst] < -limit:
        raise InputError(
            f"column {worst} of cost reaches {lowest[worst]:.4g}, so far below the rest that float64 loses "
            f"epsilon beside it; a constant of {-limit:.3g} at most forces a pair as well"
        )


def _from_zero(rows: np.ndarray, columns: np.ndarray, reduce: AllReduce) -> tuple[np.ndarray, np.ndarray]:
    """The same sums with a smallest row term of zero: the loop starts near its first potentials then."""
    least = -float(reduce(np.array([-rows.min()]), "max")[0])
    return rows - least, columns + least


def _mean_row(x: np.ndarray, reduce: AllReduce) -> np.ndarray:
    """Mean (d,) float32 of the rows of all processes."""
    total = np.zeros(x.shape[1] + 1)
    for rows in _blocks(x):
        total[:-1] += to_float32(x[rows]).sum(axis=0, dtype=np.float64)
    total[-1] = x.shape[0]
    total = reduce(total, "sum")
    return (total[:-1] / total[-1]).astype(np.float32)


def _row_terms(
    x: np.ndarray, row_mean: np.ndarray, point_mean: np.ndarray, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """|x - c|^2 (l2) or -<x, c> (ip), and |x - m|, both (n,) float64."""
    terms, lengths = np.empty(x.shape[0]), np.empty(x.shape[0])
    for rows in _blocks(x):
        block = to_float32(x[rows]).astype(np.float64)
        if metric == "ip":
            terms[rows] = -np.einsum("ij,j->i", block, point_mean.astype("d"))
        else:
            apart = block - point_mean
            terms[rows] = np.einsum("ij,ij->i", apart, apart)
        block -= row_mean
        lengths[rows] = np.sqrt(np.einsum("ij,ij->i", block, block))
    return terms, lengths


def _blocks(x: np.ndarray) -> Any:
    return iter_blocks(x.shape[0], max(1, _VALUES_PER_BLOCK // x.shape[1]))
