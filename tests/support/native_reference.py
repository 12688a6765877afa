"""Plain, slow truth for the native kernels."""

from __future__ import annotations

import numpy as np


def objective(x: np.ndarray, c: np.ndarray, metric: str, bias: np.ndarray | None = None) -> np.ndarray:
    """(n, k) float64 values of which the largest is wanted; l2 from differences, so that nothing cancels."""
    x64, c64 = np.asarray(x, np.float64), np.asarray(c, np.float64)
    if metric == "ip":
        value = x64 @ c64.T
    else:
        value = np.stack([-0.5 * ((x64 - row) ** 2).sum(1) for row in c64], axis=1)
    return value if bias is None else value + bias.astype(np.float64)


def check_labels(x, c, metric, labels, bias=None) -> None:
    """Labels are optimal in float64, and the lowest of those that tie exactly."""
    value = objective(x, c, metric, bias)
    best = value.max(axis=1)
    got = value[np.arange(len(value)), labels]
    # numpy may add in another order than the kernel: equal up to float64 rounding of the sums
    scale = np.abs(value).max(axis=1) + 1e-300
    assert np.all(best - got <= 1e-13 * scale * np.sqrt(x.shape[1]))


def topk(scores: np.ndarray, positions: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Best k by score descending, position ascending; padded with -inf and -1."""
    order = np.lexsort((positions, -scores))[:k]
    out_scores = np.full(k, -np.inf, np.float32)
    out_positions = np.full(k, -1, np.int64)
    out_scores[: len(order)] = scores[order]
    out_positions[: len(order)] = positions[order]
    return out_scores, out_positions


def unpack_codes(packed: np.ndarray, m: int, nbits: int) -> np.ndarray:
    """(n, m) integers from the little-endian bit string of every row."""
    bits = np.unpackbits(packed, axis=1, bitorder="little")[:, : m * nbits].reshape(len(packed), m, nbits)
    return (bits * (1 << np.arange(nbits))).sum(axis=2)


def assert_best(found, wanted: np.ndarray, positions: np.ndarray, k: int) -> None:
    """Scores and positions (nq, k) are those of the best of scores (nq or more, n) at positions (n,)."""
    for scores, chosen, of_query in zip(*found, wanted, strict=False):
        best = topk(of_query, positions, k)
        np.testing.assert_array_equal(scores, best[0])
        np.testing.assert_array_equal(chosen, best[1])
