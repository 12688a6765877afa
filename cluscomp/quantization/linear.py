"""Linear maps applied to rows before they are quantized."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.arrays import as_rows, iter_blocks, to_float32
from cluscomp.clustering.blocks import block_rows
from cluscomp.errors import DimensionError, UsageError
from cluscomp.portable import Portable
from cluscomp.progress import Progress, Ticker


class LinearTransform(Portable):
    """y = A x with orthonormal rows: a rotation (d_out = d_in) or a projection (d_out < d_in); no bias.

    Products are those of `native.packed_matrix`, whose bits are the same on every machine.
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
        _check_orthonormal(self.matrix.astype(np.float64))

    @cached_property
    def forth(self) -> native.PackedMatrix:
        """What `apply_rows` multiplies rows by."""
        return native.packed_matrix(self.matrix.T)

    @cached_property
    def _back(self) -> native.PackedMatrix:
        return native.packed_matrix(self.matrix)

    def apply(self, x: Any, *, progress: Progress | None = None) -> np.ndarray:
        """Map rows x (n, d_in) to (n, d_out) float32. progress(stage, done, total) counts rows."""
        rows = as_rows(x, dim=self.d_in, min_rows=0)
        ticker = Ticker(progress, "rotate", rows.shape[0])
        rotated = np.empty((rows.shape[0], self.d_out), dtype=np.float32)
        for block in iter_blocks(rows.shape[0], block_rows(self.d_in, self.d_out)):
            rotated[block] = self.apply_rows(rows[block])
            ticker.advance(block.stop - block.start)
        return rotated

    def apply_rows(self, rows: np.ndarray) -> np.ndarray:
        """`apply` for rows (n, d_in) that have passed the array gate, so uint16 means bfloat16 bits."""
        rotated: np.ndarray = self.forth.multiply(rows)
        return rotated

    def inverse(self, y: Any) -> np.ndarray:
        """Map rows y (n, d_out) back to (n, d_in) float32: exact for a rotation, the projection otherwise."""
        return self.inverse_rows(as_rows(y, name="y", dim=self.d_out, min_rows=0))

    def inverse_rows(self, rows: np.ndarray) -> np.ndarray:
        """`inverse` for rows (n, d_out) that have passed the array gate."""
        back: np.ndarray = self._back.multiply(rows)
        return back


def _check_orthonormal(matrix: np.ndarray) -> None:
    error = float(np.abs(matrix @ matrix.T - np.eye(matrix.shape[0])).max())
    if error > 1e-3:
        raise UsageError(f"the rows of matrix are not orthonormal: A A^T differs from I by {error:.2g}")
