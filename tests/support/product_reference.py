"""Products and lengths of rows in the order of sums that cpp_ext/include/cluscomp/product_kernels.h states.

Fused multiply-adds are made with fractions, which are exact, and rounded once: no library's arithmetic is trusted.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np


def fma(a: float, b: float, c: float) -> float:
    """A * b + c of finite float64 numbers, rounded once (a quotient of integers is, in Python)."""
    return float(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)))


def product(x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """X @ matrix (n, columns) float64: each entry one chain, from 0 and in the order of the columns of x."""
    out = np.zeros((x.shape[0], matrix.shape[1]))
    for i, row in enumerate(x.astype(np.float64)):
        for c, column in enumerate(matrix.astype(np.float64).T):
            for a, b in zip(row, column, strict=True):
                out[i, c] = fma(a, b, out[i, c])
    return out


def square_sum(row: np.ndarray) -> float:
    """Sum of squares: 4 accumulators of 8 lanes, then (0+1)+(2+3), then lanes by halves."""
    sums = np.zeros((4, 8))
    for i, value in enumerate(row.astype(np.float64)):
        sums[i // 8 % 4, i % 8] = fma(value, value, sums[i // 8 % 4, i % 8])
    lanes = (sums[0] + sums[1]) + (sums[2] + sums[3])
    four = lanes[:4] + lanes[4:]
    two = four[:2] + four[2:]
    return float(two[0] + two[1])


def norms(x: np.ndarray) -> np.ndarray:
    """Lengths (n,) float64 of rows."""
    return np.sqrt([square_sum(row) for row in x])


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Rows over their lengths, divided in float64 and rounded once to float32; zeros stay."""
    lengths = norms(x)
    return (x.astype(np.float64) / np.where(lengths == 0, 1.0, lengths)[:, None]).astype(np.float32)
