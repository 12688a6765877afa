"""Exact search that reads a quarter of the memory: an 8-bit shadow beside the float rows of a segment.

The shadow bounds the score of every row from above (Cauchy-Schwarz on the rounding of both sides); only
rows whose bound reaches the k-th best score so far are read and scored. Results are those of a scan of all
rows, bit for bit. A shadow lives in memory, dim + 16 bytes a row, and is not saved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks

_BLOCK_ROWS = 1 << 16  # a multiple of the 16 rows of a panel


@dataclass(frozen=True)
class Shadow:
    """values, terms: the layout of cpp_ext/include/cluscomp/shadow.h. mean: (dim,) float32."""

    values: np.ndarray
    terms: np.ndarray
    mean: np.ndarray
    largest_norm: float

    @property
    def nbytes(self) -> int:
        """Bytes that the shadow takes in memory."""
        return self.values.nbytes + self.terms.nbytes + self.mean.nbytes


def build_shadow(rows: np.ndarray, metric: str) -> Shadow:
    """Shadow of rows (n, dim) float32 or float16 for metric "ip" or "l2"."""
    mean = _mean(rows)
    parts = [native.build_shadow(rows[block], mean, metric) for block in iter_blocks(len(rows), _BLOCK_ROWS)]
    values, terms, norms = zip(*parts, strict=True)
    return Shadow(np.concatenate(values), np.concatenate(terms), mean, max(norms))


def search_shadow(
    shadow: Shadow, rows: np.ndarray, queries: np.ndarray, k: int, metric: str, skip: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Best k of all rows: scores (nq, k) float32 and row numbers (nq, k) int64; missing -inf and -1."""
    scores, positions, _ = native.search_shadow(
        queries, rows, shadow.values, shadow.terms, shadow.mean, shadow.largest_norm, k, metric, skip
    )
    return scores, positions


def _mean(rows: np.ndarray) -> np.ndarray:
    sums, counts = np.zeros((1, rows.shape[1])), np.zeros(1)
    for block in iter_blocks(len(rows), _BLOCK_ROWS):
        part = rows[block]
        native.accumulate(part, np.zeros(len(part), dtype=np.int32), None, sums, counts)
    return (sums[0] / counts[0]).astype(np.float32)
