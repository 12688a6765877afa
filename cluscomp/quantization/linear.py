"""Linear maps applied to rows before they are quantized."""

from __future__ import annotations

from typing import Any

import numpy as np

from cluscomp.arrays import as_rows, iter_blocks, to_float32
from cluscomp.clustering.blocks import block_rows
from cluscomp.errors import DimensionError, UsageError
from cluscomp.progress import Progress, Ticker


class LinearTransform:
    """y = A x with orthonormal rows: a rotation (d_out = d_in) or a projection (d_out < d_in); no bias.

    There is no bias because a shift would change the order of inner products; under l2 it cancels anyway.

    matrix: (d_out, d_in) real numbers with orthonormal rows, kept as float32.
    Raises DimensionError where d_out > d_in, UsageError where the rows are not orthonormal.
    """

    def __init__(self, matrix: Any) -> None:
        self.matrix = to_float32(as_rows(matrix, name="matrix"))
        self.d_out, self.d_in = self.matrix.shape
        if self.d_out > self.d_in:
            raise DimensionError(
                f"matrix maps {self.d_in} to {self.d_out} dimensions; it must not raise their number"
            )
        # Products are taken in float64 and rounded once, so that a row's result does not depend on its block.
        self._matrix64 = self.matrix.astype(np.float64)
        _check_orthonormal(self._matrix64)

    def apply(self, x: Any, *, progress: Progress | None = None) -> np.ndarray:
        """Map rows x (n, d_in) to (n, d_out) float32. progress(stage, done, total) counts rows."""
        rows = as_rows(x, dim=self.d_in, min_rows=0)
        return multiply_rows(rows, self._matrix64.T, Ticker(progress, "rotate", rows.shape[0]))

    def apply_rows(self, rows: np.ndarray) -> np.ndarray:
        """`apply` for rows (n, d_in) that have passed the array gate, so uint16 means bfloat16 bits."""
        return multiply_rows(rows, self._matrix64.T)

    def inverse(self, y: Any) -> np.ndarray:
        """Map rows y (n, d_out) back to (n, d_in) float32: exact for a rotation, the projection otherwise."""
        return multiply_rows(as_rows(y, name="y", dim=self.d_out, min_rows=0), self._matrix64)


def multiply_rows(x: np.ndarray, matrix: np.ndarray, ticker: Ticker | None = None) -> np.ndarray:
    """X @ matrix (n, d_out) float32 of rows x (n, d) of kernel dtype.

    Summed in float64 and rounded once, so that a row's result does not depend on its block.
    """
    out = np.empty((x.shape[0], matrix.shape[1]), dtype=np.float32)
    for block in iter_blocks(x.shape[0], block_rows(*matrix.shape)):
        out[block] = to_float32(x[block]).astype(np.float64) @ matrix
        if ticker is not None:
            ticker.advance(block.stop - block.start)
    return out


def _check_orthonormal(matrix: np.ndarray) -> None:
    error = float(np.abs(matrix @ matrix.T - np.eye(matrix.shape[0])).max())
    if error > 1e-3:
        raise UsageError(f"the rows of matrix are not orthonormal: A A^T differs from I by {error:.2g}")
