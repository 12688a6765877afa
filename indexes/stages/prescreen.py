"""Exact search that reads a quarter of the memory: an 8-bit prescreen beside the float rows of a segment.

The prescreen bounds the score of every row from above (Cauchy-Schwarz on the rounding of both sides); only
rows whose bound reaches the k-th best score so far are read and scored. Results are those of a scan of all
rows, bit for bit. It takes dim + 16 bytes a row, is made when rows are added, and is stored with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks
from cluscomp.indexes.stages.parameters import ArraySpec

PRESCREEN_ARRAYS = ("shadow_values", "shadow_terms", "shadow_frame")
_PANEL_ROWS = 16
_MAX_BLOCK_ROWS = 1 << 16


@dataclass(frozen=True)
class Prescreen:
    """values, terms: the layout of cpp_ext/include/cluscomp/prescreen.h. frame: (dim + 1,) float32, the mean
    that was taken off, then the largest norm of a row.
    """

    values: np.ndarray
    terms: np.ndarray
    frame: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays under the names of their files."""
        return dict(zip(PRESCREEN_ARRAYS, (self.values, self.terms, self.frame), strict=True))

    def over(self, rows: np.ndarray) -> native.Codes:
        """The rows (n, dim) that it was made of, as kernels read them."""
        return native.Codes.prescreened(rows, self.values, self.terms, self.frame)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Prescreen:
        """The prescreen whose arrays were stored; the small frame is read into memory."""
        values, terms, frame = (arrays[name] for name in PRESCREEN_ARRAYS)
        return cls(values, terms, np.array(frame))


def prescreen_arrays(n_rows: int, dim: int) -> dict[str, ArraySpec]:
    """Dtype and shape of the arrays of a prescreen; whole panels of 16 rows, whole groups of 4 dimensions."""
    rows = -(-n_rows // _PANEL_ROWS) * _PANEL_ROWS
    shapes = (("|u1", rows * (-(-dim // 4) * 4)), ("<f4", rows * 4), ("<f4", dim + 1))
    return {
        name: ArraySpec(dtype, (size,)) for name, (dtype, size) in zip(PRESCREEN_ARRAYS, shapes, strict=True)
    }


def prescreen_block_rows(dim: int, block_bytes: int) -> int:
    """Rows that are prescreened at a time: whole panels, about block_bytes of float32 values."""
    return min(_MAX_BLOCK_ROWS, max(1, block_bytes // (4 * dim * _PANEL_ROWS)) * _PANEL_ROWS)


def prescreen_bytes(n_rows: int, dim: int) -> int:
    """Bytes of the arrays of a prescreen."""
    return sum(array.nbytes for array in prescreen_arrays(n_rows, dim).values())


def build_prescreen(rows: np.ndarray, metric: str) -> Prescreen:
    """Prescreen of rows (n, dim) float32 or float16 for metric "ip" or "l2"."""
    blocks = list(iter_blocks(len(rows), _MAX_BLOCK_ROWS))
    mean = blockwise_mean(rows.__getitem__, blocks, rows.shape[1])
    values, terms, norms = zip(*(native.build_prescreen(rows[b], mean, metric) for b in blocks), strict=True)
    return Prescreen(np.concatenate(values), np.concatenate(terms), prescreen_frame(mean, max(norms)))


def prescreen_frame(mean: np.ndarray, largest_norm: float) -> np.ndarray:
    """The frame (dim + 1,) float32 of `Prescreen`."""
    return np.append(mean, np.float32(largest_norm)).astype(np.float32)


def blockwise_mean(read: Callable[[slice], np.ndarray], blocks: list[slice], dim: int) -> np.ndarray:
    """Mean (dim,) float32 of the rows that `read` gives for each block."""
    sums, counts = np.zeros((1, dim)), np.zeros(1)
    for block in blocks:
        labels = np.zeros(block.stop - block.start, dtype=np.int32)
        native.accumulate(read(block), labels, None, sums, counts)
    return (sums[0] / counts[0]).astype(np.float32)
