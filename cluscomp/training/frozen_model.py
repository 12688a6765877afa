"""Scores of a codec as a function of its centroids and its query adapter, with gradients written out.

    z = M (q + W q + b)        M = R A^-1, see query_metric.py
    S = z X^T                  X: the rows that the frozen codes of the documents stand for
    loss = -sum_d target(d) log softmax_d(S / T), mean over the queries

Only the centroids, W and b learn. Everything is float32 matrix products, so NumPy is enough.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Parameters:
    """centroids: (m, k, width). weight: W (d, d). bias: b (d,). All float32."""

    centroids: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    def copy(self) -> Parameters:
        """Independent arrays."""
        return Parameters(self.centroids.copy(), self.weight.copy(), self.bias.copy())

    def arrays(self) -> tuple[np.ndarray, ...]:
        """The three arrays, in one order for values, gradients and moments."""
        return self.centroids, self.weight, self.bias


class Scorer:
    """Loss and gradients for batches of queries. query_map: M (d_out, d). codes: (n, m) centroid numbers."""

    def __init__(self, query_map: np.ndarray, codes: np.ndarray, temperature: float) -> None:
        self.query_map = np.ascontiguousarray(query_map, dtype=np.float32)
        self.codes = codes
        self.temperature = np.float32(temperature)

    def map_queries(self, parameters: Parameters, queries: np.ndarray) -> np.ndarray:
        """z (B, d_out) of queries (B, d)."""
        adapted = queries + queries @ parameters.weight.T + parameters.bias
        return adapted @ self.query_map.T

    def decode(self, centroids: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """X (c, d_out) of the documents `rows`."""
        m, _, width = centroids.shape
        found = centroids[np.arange(m)[None, :], self.codes[rows]]
        return found.reshape(len(rows), m * width)

    def loss(
        self,
        parameters: Parameters,
        queries: np.ndarray,
        rows: np.ndarray,
        target: np.ndarray,
        excluded: np.ndarray | None = None,
        *,
        adapt: bool = True,
    ) -> tuple[float, Parameters]:
        """Loss and its gradients.

        queries: (B, d). rows: (c,) documents scored. target: (B, c) probabilities. excluded: (B,) column of
        rows that a query must not see, -1 for none (a document that stands for a query is not its own
        answer). adapt: whether the queries pass the adapter.
        """
        z = self.map_queries(parameters, queries) if adapt else queries @ self.query_map.T
        decoded = self.decode(parameters.centroids, rows)
        logits = (z @ decoded.T) / self.temperature
        if excluded is not None:
            hidden = np.flatnonzero(excluded >= 0)
            logits[hidden, excluded[hidden]] = -np.inf
        log_p = _log_softmax(logits)
        n = len(queries)
        loss = -float(np.sum(target * np.where(target > 0, log_p, 0), dtype=np.float64)) / n
        slope = (np.exp(log_p) * target.sum(axis=1, keepdims=True) - target) / (self.temperature * n)
        return loss, self._gradients(parameters, queries, rows, slope, z, decoded, adapt)

    def _gradients(
        self,
        parameters: Parameters,
        queries: np.ndarray,
        rows: np.ndarray,
        slope: np.ndarray,
        z: np.ndarray,
        decoded: np.ndarray,
        adapt: bool,
    ) -> Parameters:
        centroids = self._scatter(parameters.centroids.shape, rows, slope.T @ z)
        if not adapt:
            return Parameters(centroids, np.zeros_like(parameters.weight), np.zeros_like(parameters.bias))
        adapted = (slope @ decoded) @ self.query_map
        return Parameters(centroids, adapted.T @ queries, adapted.sum(axis=0))

    def _scatter(self, shape: tuple[int, ...], rows: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Sum of the documents' gradients (c, d_out) by centroid."""
        m, _, width = shape
        summed = np.zeros(shape, dtype=np.float32)
        for j in range(m):
            codes = self.codes[rows, j]
            order = np.argsort(codes, kind="stable")
            used, starts = np.unique(codes[order], return_index=True)
            part = gradient[order, j * width : (j + 1) * width]
            summed[j, used] = np.add.reduceat(part, starts, axis=0)
        return summed


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted: np.ndarray = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


@dataclass
class Adam:
    """Adam (Kingma and Ba 2015) with one learning rate an array, in the order of `Parameters.arrays`."""

    rates: tuple[float, float, float]
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    _steps: int = 0
    _moments: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    def step(self, parameters: Parameters, gradients: Parameters, scale: float = 1.0) -> None:
        """Move the parameters in place; scale: of the learning rates now."""
        if not self._moments:
            self._moments = [(np.zeros_like(a), np.zeros_like(a)) for a in parameters.arrays()]
        self._steps += 1
        first = 1 - self.beta1**self._steps
        second = 1 - self.beta2**self._steps
        for values, slope, (mean, square), rate in zip(
            parameters.arrays(), gradients.arrays(), self._moments, self.rates, strict=True
        ):
            mean += (1 - self.beta1) * (slope - mean)
            square += (1 - self.beta2) * (slope * slope - square)
            values -= (scale * rate / first) * mean / (np.sqrt(square / second) + self.epsilon)
