"""MaxSim of decoded documents as a function of centroids and query adapter, with gradients written out.

    z_t = M (q_t + W q_t + b)                    for each vector q_t of a query
    S(d) = sum_t max_j <z_t, x_dj>               x_dj: what the code of vector j of document d stands for
    loss = -sum_d target(d) log softmax_d(S / T), mean over the queries

The maximum passes its gradient to the vector that has it, and so to the centroids of that vector's code.
Where an index scales what codes stand for to length one, x_dj is decoded / |decoded|, and a gradient g by it
becomes (g - <g, x> x) / |decoded|.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cluscomp.multivector import Ragged
from cluscomp.multivector.ragged import rows_of_documents
from cluscomp.quantization.codes import unpack_codes
from cluscomp.training.frozen.model import Parameters, log_softmax


@dataclass(frozen=True)
class LateBatch:
    """What one step compares. queries: B queries, float32. documents: (B, K) numbers.

    target: (B, K) probabilities. temperature: (B,) of each query's softmax.
    """

    queries: Ragged
    documents: np.ndarray
    target: np.ndarray
    temperature: np.ndarray


class LateScorer:
    """Loss and gradients for batches of queries. query_map: M (d_out, d).

    packed: codes (N, code_size) of m parts, of the vectors of all documents below each other. offsets:
    (n_docs + 1,) where those of each begin; no document is without vectors. unit: decoded vectors are scaled
    to length one.
    """

    def __init__(
        self,
        query_map: np.ndarray,
        packed: np.ndarray,
        offsets: np.ndarray,
        m: int,
        nbits: int,
        *,
        unit: bool = False,
    ) -> None:
        self._unit = unit
        self.query_map = np.ascontiguousarray(query_map, dtype=np.float32)
        self.codes = unpack_codes(packed, m, nbits)
        self.offsets = offsets

    def loss(
        self, parameters: Parameters, batch: LateBatch, *, adapt: bool, centroids: bool = True
    ) -> tuple[float, Parameters]:
        """Loss and gradients. adapt: queries pass the adapter, which learns. centroids: they learn, too."""
        given = batch.queries.rows
        z = (parameters.adapt(given) if adapt else given) @ self.query_map.T
        slopes = Parameters(*(np.zeros_like(array) for array in parameters.arrays()))
        back = np.zeros_like(z)
        loss = 0.0
        rows, places_of, decoded, lengths = self._decoded(parameters.centroids, batch.documents)
        for number in range(len(batch.documents)):
            tokens = slice(int(batch.queries.offsets[number]), int(batch.queries.offsets[number + 1]))
            part, places = z[tokens], places_of(number)
            x = decoded[places]
            best, products, share, own = _query_loss(part, x, batch, number)
            loss += own
            weights = np.broadcast_to(share / len(batch.documents), best.shape)
            if adapt:
                chosen = np.zeros((len(part), len(x)), dtype=np.float32)
                chosen[np.arange(len(part))[:, None], best] = weights
                back[tokens] = chosen @ x
            if centroids:
                winners = places[best]
                codes, inverse = self.codes[rows[winners]].astype(np.int64), 1 / lengths[winners]
                weights = weights * inverse
                slopes.centroids += _sums(codes, weights, part, parameters.centroids.shape)
                if self._unit:
                    slopes.centroids -= _counts(codes, weights * products * inverse, parameters.centroids)
        if adapt:
            mapped = back @ self.query_map
            slopes.weight += mapped.T @ given
            slopes.bias += mapped.sum(axis=0)
        return loss / len(batch.documents), slopes

    def _decoded(
        self, centroids: np.ndarray, documents: np.ndarray
    ) -> tuple[np.ndarray, Callable[[int], np.ndarray], np.ndarray, np.ndarray]:
        """All vectors of the documents (B, K), each decoded once.

        Their rows (n,); a function of the number of a query to the places (K L,) of its documents' vectors;
        what they decode to (n, d_out), and what that was divided by (n,). Documents with fewer than L vectors
        repeat their last: that changes no maximum.
        """
        m, _, width = centroids.shape
        used, numbers = np.unique(documents, return_inverse=True)
        numbers = numbers.reshape(documents.shape)
        rows, offsets = rows_of_documents(self.offsets, used)
        counts = np.diff(offsets)
        x = centroids[np.arange(m), self.codes[rows]].reshape(len(rows), m * width)
        lengths = np.ones(len(x), dtype=np.float32)
        if self._unit:
            lengths = np.maximum(np.sqrt(np.einsum("ij,ij->i", x, x)), np.float32(1e-12))
            x /= lengths[:, None]

        def places_of(query: int) -> np.ndarray:
            own = numbers[query]
            within = np.minimum(np.arange(counts[own].max()), counts[own, None] - 1)
            return (offsets[own, None] + within).ravel()

        return rows, places_of, x, lengths


def _sums(codes: np.ndarray, weights: np.ndarray, z: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum over tokens t and documents of weights (t, K) times z (t, d_out), by the centroids of codes
    (t, K, m).
    """
    m, k, width = shape
    n = len(z)
    at = (np.arange(m) * k + codes) * n + np.arange(n)[:, None, None]
    of_each = np.broadcast_to(weights[:, :, None], at.shape)
    summed = np.bincount(at.ravel(), of_each.ravel(), minlength=m * k * n).astype(np.float32)
    parts = z.reshape(n, m, width).transpose(1, 0, 2)
    return np.matmul(summed.reshape(m, k, n), parts)


def _counts(codes: np.ndarray, weights: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Sum of weights (t, K) times the vectors of codes (t, K, m), by centroid: each times itself."""
    m, k, _ = centroids.shape
    at = np.arange(m) * k + codes
    of_each = np.broadcast_to(weights[:, :, None], at.shape)
    summed = np.bincount(at.ravel(), of_each.ravel(), minlength=m * k).astype(np.float32)
    return summed.reshape(m, k, 1) * centroids


def _query_loss(
    z: np.ndarray, x: np.ndarray, batch: LateBatch, number: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Places (t, K) in x of the largest products, these, slopes (K,) of the loss by the scores, the loss."""
    target, temperature = batch.target[number], batch.temperature[number]
    products = (z @ x.T).reshape(len(z), len(target), -1)
    best = products.argmax(axis=2)
    largest = np.take_along_axis(products, best[:, :, None], axis=2)[:, :, 0]
    log_p = log_softmax(largest.sum(axis=0)[None] / temperature)[0]
    loss = -float(np.sum(target * log_p, dtype=np.float64))
    places = best + np.arange(len(target)) * products.shape[2]
    return places, largest, (np.exp(log_p) - target) / temperature, loss
