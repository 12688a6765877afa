"""Scalar quantization: one byte a component."""

from __future__ import annotations

from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.array_forms import as_numpy
from cluscomp.arrays import as_numbers, as_rows, iter_blocks, to_float32
from cluscomp.clustering.blocks import block_rows
from cluscomp.errors import DimensionError, DTypeError, NotTrainedError
from cluscomp.progress import Progress, Ticker

_LEVELS = 255


class ScalarQuantizer8:
    """Uniform 8-bit quantizer of each component between its smallest and largest training value.

    code = floor(255 * clip((x - vmin) / vdiff, 0, 1)), decoded as vmin + (code + 0.5) / 255 * vdiff, where
    vdiff = vmax - vmin; a constant component has code 0. Equal to faiss's QT_8bit with its default range.
    Inside the training range the error of a component is at most vdiff / 255.

    Attributes after train: vmin, vdiff (d,) float32. code_size: bytes a row.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim = checks.integer("dim", dim, 1)
        self.code_size = dim
        self._range: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def is_trained(self) -> bool:
        """True once the ranges are known."""
        return self._range is not None

    @property
    def vmin(self) -> np.ndarray:
        """Smallest training value (d,) float32 of each component."""
        return self._trained()[0]

    @property
    def vdiff(self) -> np.ndarray:
        """Range (d,) float32 of each component's training values."""
        return self._trained()[1]

    def train(self, x: Any, *, progress: Progress | None = None) -> ScalarQuantizer8:
        """Take each component's range from the rows x (n, d), read in blocks."""
        return self.train_rows(as_rows(x, dim=self.dim), progress)

    def train_rows(self, x: np.ndarray, progress: Progress | None = None) -> ScalarQuantizer8:
        """`train` for rows that have passed the array gate, so uint16 means bfloat16 bits."""
        ticker = Ticker(progress, "train", x.shape[0])
        low = np.full(self.dim, np.inf, dtype=np.float32)
        high = np.full(self.dim, -np.inf, dtype=np.float32)
        for block in iter_blocks(x.shape[0], block_rows(self.dim, 1)):
            rows = to_float32(x[block])
            np.minimum(low, rows.min(axis=0), out=low)
            np.maximum(high, rows.max(axis=0), out=high)
            ticker.advance(rows.shape[0])
        self._range = (low, high - low)
        return self

    def encode(self, x: Any, *, progress: Progress | None = None) -> np.ndarray:
        """Codes (n, d) uint8 of the rows x (n, d); values outside the training range take the nearest end."""
        vmin, vdiff = self._trained()
        x = as_rows(x, dim=self.dim, min_rows=0)
        codes = np.empty(x.shape, dtype=np.uint8)
        ticker = Ticker(progress, "encode", x.shape[0])
        for block in iter_blocks(x.shape[0], block_rows(self.dim, 1)):
            share = to_float32(x[block]) - vmin
            np.divide(share, vdiff, out=share, where=vdiff > 0)
            share[:, vdiff == 0] = 0
            np.clip(share, 0, 1, out=share)
            codes[block] = (share * np.float32(_LEVELS)).astype(np.uint8)
            ticker.advance(share.shape[0])
        return codes

    def decode(self, codes: Any, *, progress: Progress | None = None) -> np.ndarray:
        """Rows (n, d) float32 that the codes (n, d) uint8 stand for."""
        vmin, vdiff = self._trained()
        codes = check_codes(codes, self.code_size)
        decoded = np.empty(codes.shape, dtype=np.float32)
        ticker = Ticker(progress, "decode", codes.shape[0])
        for block in iter_blocks(codes.shape[0], block_rows(self.dim, 1)):
            middles = (codes[block].astype(np.float32) + np.float32(0.5)) / np.float32(_LEVELS)
            decoded[block] = vmin + middles * vdiff
            ticker.advance(middles.shape[0])
        return decoded

    @classmethod
    def from_ranges(cls, vmin: Any, vdiff: Any) -> ScalarQuantizer8:
        """A trained quantizer with copies of the given smallest values and ranges (d,) of each component.

        Raises DimensionError where they are no two vectors of one length.
        """
        low, ranges = (
            np.array(as_numbers(values, name=name), dtype=np.float32)
            for name, values in (("vmin", vmin), ("vdiff", vdiff))
        )
        if low.ndim != 1 or low.shape != ranges.shape:
            raise DimensionError(
                f"ranges have shapes {low.shape} and {ranges.shape}; two vectors of one length are needed"
            )
        quantizer = cls(low.shape[0])
        quantizer._range = (low, ranges)
        return quantizer

    def _trained(self) -> tuple[np.ndarray, np.ndarray]:
        if self._range is None:
            raise NotTrainedError("this ScalarQuantizer8 is not trained yet; call train(x) first")
        return self._range


def check_codes(codes: Any, code_size: int) -> np.ndarray:
    """Codes as a C-contiguous (n, code_size) uint8 array, or DTypeError / DimensionError."""
    array = as_numpy(codes, "codes")
    if array.dtype != np.uint8:
        raise DTypeError(f"codes have dtype {array.dtype}, but uint8 is needed; pass what encode() returned")
    if array.ndim != 2 or array.shape[1] != code_size:
        raise DimensionError(f"codes have shape {array.shape}, but (n, {code_size}) is needed")
    return np.ascontiguousarray(array)
