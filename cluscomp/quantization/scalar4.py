"""Scalar quantization to 4 bits: 16 levels of each component where they leave the least squared error.

Source: Lloyd, "Least squares quantization in PCM", IEEE Trans. Inf. Theory 28 (1982); Max (1960).
"""

from __future__ import annotations

import numpy as np

from cluscomp.progress import Progress, Ticker

LEVELS = 16
_STEPS = 200


def train_levels(x: np.ndarray, progress: Progress | None = None) -> np.ndarray:
    """Levels (d, 16) float32, ascending, of float32 rows x (n, d); n >= 1.

    From equally full cells, Lloyd's steps until nothing moves, 200 at most: a level is the mean of the values
    nearest to it. Means come from prefix sums of the sorted values, so a step costs 15 binary searches.
    A component with fewer than 16 values has levels twice.
    """
    levels = np.empty((x.shape[1], LEVELS), dtype=np.float32)
    ticker = Ticker(progress, "train", x.shape[1])
    for j in range(x.shape[1]):
        levels[j] = _component_levels(np.sort(x[:, j].astype(np.float64)))
        ticker.advance(1)
    ticker.finish()
    return levels


def _component_levels(values: np.ndarray) -> np.ndarray:
    """Levels (16,) of ascending values."""
    n = values.shape[0]
    sums = np.concatenate([[0.0], np.cumsum(values)])
    cuts = np.arange(LEVELS + 1) * n // LEVELS
    levels = values[np.minimum(cuts[:-1] + n // (2 * LEVELS), n - 1)]
    for _ in range(_STEPS):
        counts = np.diff(cuts)
        means = np.where(counts > 0, np.diff(sums[cuts]) / np.maximum(counts, 1), levels)
        levels = np.maximum.accumulate(means)  # an empty cell keeps its level, which must not overtake
        inner = np.searchsorted(values, (levels[1:] + levels[:-1]) / 2)
        moved = np.concatenate([[0], inner, [n]])
        if np.array_equal(moved, cuts):
            break
        cuts = moved
    return levels
