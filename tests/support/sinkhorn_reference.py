"""Plain, slow Sinkhorn in the log domain, float64: the truth for the native one."""

from __future__ import annotations

import numpy as np


def logsumexp(values: np.ndarray, axis: int) -> np.ndarray:
    most = values.max(axis=axis, keepdims=True)
    most = np.where(np.isfinite(most), most, 0.0)
    return np.log(np.exp(values - most).sum(axis=axis)) + np.squeeze(most, axis)


def plain_sinkhorn(
    cost, epsilon, row_mass, col_mass, *, n_iter, row_gamma=np.inf, col_gamma=np.inf
) -> np.ndarray:
    """Plan (n, k) after n_iter iterations of a column step and a row step, rows starting from zero."""
    kernel = -np.asarray(cost, np.float64) / epsilon
    row_power, col_power = (1 / (1 + epsilon / gamma) for gamma in (row_gamma, col_gamma))
    with np.errstate(divide="ignore"):
        log_a, log_b = np.log(row_mass), np.log(col_mass)
        f = np.zeros(len(kernel))
        for _ in range(n_iter):
            g = col_power * (log_b - logsumexp(kernel + f[:, None], 0))
            f = row_power * (log_a - logsumexp(kernel + g, 1))
    return np.exp(kernel + f[:, None] + g)
