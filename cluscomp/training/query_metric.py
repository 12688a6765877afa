"""A metric in which the squared error of a document is the error of its scores.

Queries with second moment C = E[q q^T] see an error r of a document as E[<q, r>^2] = r^T C r = |C^(1/2) r|^2.
So documents are mapped by A = C^(1/2) before they are quantized, and queries by A^-1, which leaves all inner
products as they are; k-means, OPQ and the choice of codes then minimise the error of the scores instead of
the length of the residual. C is mixed with the identity, because few queries say little about most
directions.
"""

from __future__ import annotations

import numpy as np

from cluscomp.clustering.blocks import answering_signals

LEAST_EIGENVALUE = 1e-6
"""Of the largest: directions that no query has still get this much."""


def score_metric(queries: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """A and A^-1 (d, d) float64, symmetric, for float32 queries (n, d).

    share: weight of the queries' second moment against the identity of the same trace, 0 to 1; 0 gives the
    identity. The scale makes the mean eigenvalue of A^2 one.
    """
    dim = queries.shape[1]
    moment = queries.T.astype(np.float64) @ queries
    mean = float(np.trace(moment)) / dim
    if share == 0 or mean <= 0:
        return np.eye(dim), np.eye(dim)
    mixed = share * moment / mean + (1 - share) * np.eye(dim)
    values, vectors = answering_signals(lambda: np.linalg.eigh(mixed))
    values = np.maximum(values, LEAST_EIGENVALUE * values[-1])
    roots = np.sqrt(values)
    return (vectors * roots) @ vectors.T, (vectors / roots) @ vectors.T
