"""Levels of the 4-bit scalar quantizer."""

from __future__ import annotations

import numpy as np

from cluscomp.quantization.scalar4 import train_levels


def error(x: np.ndarray, levels: np.ndarray) -> np.ndarray:
    return np.abs(x[:, :, None] - levels[None]).min(axis=2) ** 2


def test_few_values_become_the_levels() -> None:
    x = np.repeat(np.arange(16, dtype=np.float32), 5)[:, None] * 3
    np.testing.assert_array_equal(train_levels(x)[0], np.arange(16) * 3)
    np.testing.assert_array_equal(train_levels(np.full((4, 2), 7, np.float32)), np.full((2, 16), 7))
    assert error(x[:3], train_levels(x[:3])).max() == 0


def test_normal_values_reach_the_known_error() -> None:
    """Max (1960), table I: 16 levels leave 0.009497 of the variance of a normal variable."""
    x = np.random.default_rng(0).standard_normal((16384, 3)).astype(np.float32)
    levels = train_levels(x)
    assert (np.diff(levels, axis=1) > 0).all()
    np.testing.assert_allclose(error(x, levels).mean(axis=0) / x.var(axis=0), 0.009497, rtol=0.06)


def test_levels_are_means_of_the_values_nearest_to_them() -> None:
    x = (np.random.default_rng(1).standard_normal((500, 1)) ** 3).astype(np.float32)
    levels = train_levels(x)[0]
    own = np.abs(x - levels[None]).argmin(axis=1)
    for number in range(16):
        if (own == number).any():
            np.testing.assert_allclose(levels[number], x[own == number].mean(dtype=np.float64), rtol=1e-4)
