"""Product quantizers that keep inner products: codes and codebooks under the score-aware (anisotropic) loss.

What ranks a row x is its inner product with queries that point much the same way, so the part of the error
e = x - decoded along x costs more than the rest:

    loss = |e|^2 + WEIGHT <e, x/|x|>^2

WEIGHT + 1 is eta of the source, which derives it from a score threshold. On MiniLM vectors of SciFact a
weight of 1 to 3 gives the smallest error of the scores of the 100 best documents (24 and 48 bytes); 0 is
k-means.
Encoding is coordinate descent over the groups from the nearest centroids on; a codebook's best centroids
given all codes solve one small linear system each.
Source: Guo et al., "Accelerating large-scale inference with anisotropic vector quantization", ICML 2020.
"""

from __future__ import annotations

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks
from cluscomp.clustering.blocks import Ticker
from cluscomp.quantization.codebooks import group
from cluscomp.quantization.codes import unpack_codes

WEIGHT = 2.0
ITERATIONS = 6
WIDEST_GROUP = 64
"""Dimensions of a group up to which its codebook is refined: the systems grow with their square."""

_PASSES = 3  # over all groups in one encoding; few rows change in a fourth
_BLOCK_VALUES = 1 << 22  # float32 of one block of products


def encode_score_aware(x: np.ndarray, whole: np.ndarray, codebook: native.PqCodebook) -> np.ndarray:
    """Codes (n, code_size) uint8 of float32 rows x (n, d).

    whole: (n, d) float32, the rows whose scores count: x itself, or what x is the residual of. A zero row has
    no direction and gets its nearest centroids.
    """
    codes: np.ndarray = codebook.encode_score_aware(
        np.ascontiguousarray(x), np.ascontiguousarray(whole), WEIGHT, _PASSES
    )
    return codes


def refine_score_aware(
    x: np.ndarray, whole: np.ndarray, codebooks: np.ndarray, *, ticker: Ticker | None = None
) -> np.ndarray:
    """Codebooks (m, 2**nbits, d/m) float32 after ITERATIONS steps of encoding and solving; rows as above.

    Groups wider than WIDEST_GROUP stay as they are. A centroid without rows stays where it is. ticker counts
    rows times groups.
    """
    m, k, width = codebooks.shape
    if width > WIDEST_GROUP:
        return codebooks
    refined = codebooks.copy()
    lengths = np.linalg.norm(whole, axis=1, keepdims=True)
    inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    for _ in range(ITERATIONS):
        packed = native.PqCodebook(refined, k.bit_length() - 1)
        codes = np.empty((x.shape[0], packed.code_size), dtype=np.uint8)
        for block in iter_blocks(x.shape[0], native.BLOCK_ROWS):
            codes[block] = encode_score_aware(x[block], whole[block], packed)
        labels = unpack_codes(codes, m, k.bit_length() - 1)
        _solve_all(x, whole, inverse, np.ascontiguousarray(labels.T, dtype=np.int32), refined, ticker)
    return refined


def refine_bytes(n: int, m: int, width: int) -> int:
    """Memory that `refine_score_aware` takes beyond n rows: codes and labels of all groups in two orders, one
    group of the rows, their directions and what they decode to, and the terms of its linear systems.
    """
    terms = min(n * (width + width * (width + 1) // 2), _BLOCK_VALUES)
    return n * (6 * m + 16 * width + 40) + 8 * terms


def refine_work(n: int, dim: int, k: int) -> int:
    """Multiply-adds of `refine_score_aware` with the codewords of k centroids a group."""
    return ITERATIONS * encode_work(dim, k) * n


def encode_work(dim: int, k: int) -> int:
    """Multiply-adds with codewords that `encode_score_aware` takes for a row: nearest ones, then passes."""
    return (1 + _PASSES) * dim * k


def _solve_all(
    x: np.ndarray,
    whole: np.ndarray,
    inverse: np.ndarray,
    labels: np.ndarray,
    codebooks: np.ndarray,
    ticker: Ticker | None,
) -> None:
    """Move the codebooks one after the other to their best place given the codes and the other codebooks."""
    m = codebooks.shape[0]
    along = np.zeros(x.shape[0], dtype=np.float64)  # <e, u>
    for j in range(m):
        along += _inner(group(x, j, m) - codebooks[j][labels[j]], group(whole, j, m) * inverse)
    for j in range(m):
        rows, directions, old = group(x, j, m), group(whole, j, m) * inverse, codebooks[j][labels[j]]
        target = along + _inner(old, directions)
        codebooks[j] = _solve(rows, directions, target, labels[j], codebooks[j])
        along = target - _inner(codebooks[j][labels[j]], directions)
        if ticker is not None:
            ticker.advance(x.shape[0])


def _solve(
    rows: np.ndarray, directions: np.ndarray, target: np.ndarray, labels: np.ndarray, codebook: np.ndarray
) -> np.ndarray:
    """Centroids c (k, w) with (N + WEIGHT sum u u^T) c = sum (r + WEIGHT t u) over the N rows of each.

    rows r, directions u: (n, w) float32. target t: (n,) error along the row without this group.
    """
    k, width = codebook.shape
    first, second = np.triu_indices(width)
    sums = np.zeros((k, width + len(first)))
    counts = np.zeros(k)
    for block in iter_blocks(rows.shape[0], max(1, _BLOCK_VALUES // sums.shape[1])):
        u = directions[block]
        right = rows[block] + (WEIGHT * target[block, None]).astype(np.float32) * u
        terms = np.concatenate([right, WEIGHT * u[:, first] * u[:, second]], axis=1, dtype=np.float32)
        native.accumulate(terms, labels[block], None, sums, counts)
    system = np.zeros((k, width, width))
    system[:, first, second] = system[:, second, first] = sums[:, width:]
    system[:, range(width), range(width)] += np.maximum(counts, 1)[:, None]
    moved = np.linalg.solve(system, sums[:, :width, None])[:, :, 0].astype(np.float32)
    return np.where(counts[:, None] > 0, moved, codebook)


def _inner(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", a, b, dtype=np.float64)
