"""Scores of a codec as a function of its centroids and its query adapter, with gradients written out.

    z = M (q + W q + b)        M = R A^-1, see query_metric.py
    S = z X^T                  X: the rows that the frozen codes of the documents stand for
    loss = -sum_d target(d) log softmax_d(S / T), mean over the queries

Only the centroids, W and b learn, and they may have different targets. Everything is float32 matrix products,
so NumPy is enough.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cluscomp import native
from cluscomp.quantization.codes import unpack_codes


@dataclass
class Parameters:
    """centroids: (m, k, width). weight: W (d, d). bias: b (d,). All float32."""

    centroids: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    def copy(self) -> Parameters:
        """Independent arrays."""
        return Parameters(self.centroids.copy(), self.weight.copy(), self.bias.copy())

    def adapt(self, queries: np.ndarray) -> np.ndarray:
        """Q + W q + b (B, d)."""
        adapted: np.ndarray = queries + queries @ self.weight.T + self.bias
        return adapted

    def arrays(self) -> tuple[np.ndarray, ...]:
        """The three arrays, in one order for values, gradients and moments."""
        return self.centroids, self.weight, self.bias


@dataclass(frozen=True)
class Batch:
    """What one step compares. queries: (B, d). rows: (c,) documents.

    target: (B, c) probabilities that the adapter is to reach. centroid_target: those for the centroids, None:
    the same. own: (B,) column that a query must not see, since it is that document; or None.
    """

    queries: np.ndarray
    rows: np.ndarray
    target: np.ndarray
    centroid_target: np.ndarray | None = None
    own: np.ndarray | None = None


class Scorer:
    """Loss and gradients for batches of queries. query_map: M (d_out, d).
    packed: codes (n, code_size) of m parts.
    """

    def __init__(
        self, query_map: np.ndarray, packed: np.ndarray, m: int, nbits: int, temperature: float
    ) -> None:
        self.query_map = np.ascontiguousarray(query_map, dtype=np.float32)
        self.packed, self.nbits = packed, nbits
        self.codes = unpack_codes(packed, m, nbits)
        self.temperature = np.float32(temperature)

    def map_queries(self, parameters: Parameters, queries: np.ndarray) -> np.ndarray:
        """Z (B, d_out) of queries (B, d)."""
        return parameters.adapt(queries) @ self.query_map.T

    def search(
        self, parameters: Parameters, queries: np.ndarray, k: int, *, adapt: bool = True
    ) -> np.ndarray:
        """(B, k) rows with the best scores over all documents, -1 where there are fewer."""
        z = self.map_queries(parameters, queries) if adapt else queries @ self.query_map.T
        n = len(self.packed)
        codes = native.Codes.pq(self.packed, native.PqCodebook(parameters.centroids, self.nbits))
        z = np.ascontiguousarray(z, dtype=np.float32)
        return native.scan(codes, native.Lists(np.array([0, n])), z, None, min(k, n), "ip")[1]

    def decode(self, centroids: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """X (c, d_out) of the documents `rows`."""
        m, _, width = centroids.shape
        found = centroids[np.arange(m)[None, :], self.codes[rows]]
        return found.reshape(len(rows), m * width)

    def loss(
        self,
        parameters: Parameters,
        batch: Batch,
        *,
        adapt: bool = True,
    ) -> tuple[float, Parameters]:
        """Loss against the target of the adapter, and the gradients; adapt: queries pass the adapter."""
        z = self.map_queries(parameters, batch.queries) if adapt else batch.queries @ self.query_map.T
        decoded = self.decode(parameters.centroids, batch.rows)
        logits = (z @ decoded.T) / self.temperature
        if batch.own is not None:
            logits[np.arange(len(logits)), batch.own] = -np.inf
        log_p = log_softmax(logits)
        target = batch.target
        loss = -float(np.sum(target * np.where(target > 0, log_p, 0), dtype=np.float64)) / len(z)
        factor = self.temperature * np.float32(len(z))
        p = np.exp(log_p)
        centroid_target = target if batch.centroid_target is None else batch.centroid_target
        centroids = self._scatter(
            parameters.centroids.shape, batch.rows, ((p - centroid_target) / factor).T @ z
        )
        if not adapt:
            return loss, Parameters(
                centroids, np.zeros_like(parameters.weight), np.zeros_like(parameters.bias)
            )
        adapted = (((p - target) / factor) @ decoded) @ self.query_map
        return loss, Parameters(centroids, adapted.T @ batch.queries, adapted.sum(axis=0))

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


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithm of the softmax of each row."""
    shifted: np.ndarray = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax of each row."""
    return np.exp(log_softmax(logits))


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
