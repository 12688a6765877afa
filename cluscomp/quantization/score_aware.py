"""Product quantizers that keep inner products: codes and codebooks under the score-aware (anisotropic) loss.

What ranks a row x is its inner product with queries that point much the same way, so the part of the error
e = x - decoded along x costs more than the rest:

    loss = |e|^2 + (eta - 1) <e, x/|x|>^2

The part along x weighs eta times as much as the rest; eta = 1 is k-means. On MiniLM vectors of SciFact an eta
of 2 to 4 gives the smallest error of the scores of the 100 best documents (24 and 48 bytes).
Encoding is coordinate descent over the groups from the nearest centroids on. A codebook's best centroids
given all codes solve one small linear system each; the groups are coupled by <e, x>, so they take turns, and
the loss never rises.
Source: Guo et al., "Accelerating large-scale inference with anisotropic vector quantization", ICML 2020
(arXiv 1908.10396).
"""

from __future__ import annotations

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks
from cluscomp.errors import UsageError
from cluscomp.progress import Ticker
from cluscomp.quantization.codebooks import group
from cluscomp.quantization.codes import unpack_codes

ETA = 3.0
"""Weight of the error along a row, as a multiple of that across it."""
ITERATIONS = 6
THRESHOLD = 0.2
"""Scores that matter begin at this share of |x|, as in ScaNN."""
WIDEST_GROUP = 64
"""Dimensions of a group up to which its codebook is refined: the systems grow with their square."""

_PASSES = 3  # over all groups in one encoding; few rows change in a fourth
_BLOCK_VALUES = 1 << 22  # float32 of one block of products


def eta_for(dim: int, threshold: float = THRESHOLD) -> float:
    """(d - 1) t / (1 - t) with t = threshold^2: the source's eta for rows of one length, at least 1.

    d = 100, threshold 0.2: 4.125. Raises UsageError unless 0 < threshold < 1.
    """
    if not 0 < threshold < 1:
        raise UsageError(f"threshold is {threshold}, but must lie between 0 and 1")
    share = threshold**2
    return max(1.0, (dim - 1) * share / (1 - share))


def encode_score_aware(x: np.ndarray, whole: np.ndarray, codebook: native.PqCodebook) -> np.ndarray:
    """Codes (n, code_size) uint8 of float32 rows x (n, d), for ETA.

    whole: (n, d) float32, the rows whose scores count: x itself, or what x is the residual of. A zero row has
    no direction and gets its nearest centroids.
    """
    codes: np.ndarray = codebook.encode_score_aware(
        np.ascontiguousarray(x), np.ascontiguousarray(whole), ETA - 1, _PASSES
    )
    return codes


def refine_score_aware(
    x: np.ndarray, whole: np.ndarray, codebooks: np.ndarray, *, ticker: Ticker | None = None
) -> np.ndarray:
    """Codebooks (m, 2**nbits, d/m) float32 after ITERATIONS steps of encoding and solving for ETA.

    Groups wider than WIDEST_GROUP stay as they are. A centroid without rows stays where it is. ticker counts
    rows times groups.
    """
    m, k, width = codebooks.shape
    if width > WIDEST_GROUP:
        return codebooks
    refined = codebooks.copy()
    inverse = _inverse_lengths(whole)
    for _ in range(ITERATIONS):
        packed = native.PqCodebook(refined, k.bit_length() - 1)
        codes = np.empty((x.shape[0], packed.code_size), dtype=np.uint8)
        for block in iter_blocks(x.shape[0], native.BLOCK_ROWS):
            codes[block] = encode_score_aware(x[block], whole[block], packed)
        labels = _by_group(unpack_codes(codes, m, k.bit_length() - 1))
        _solve_all(x, whole, inverse, labels, refined, ETA, ticker)
    return refined


def move_centroids(
    x: np.ndarray, numbers: np.ndarray, codebooks: np.ndarray, *, eta: float, sweeps: int = 5
) -> np.ndarray:
    """Codebooks (m, k, d/m) float32 that lower the loss of rows x (n, d) float32 whose codes stay.

    numbers: (n, m) centroids of the parts of the rows. sweeps: turns of every group. A centroid without rows
    stays where it is. Raises UsageError for eta below 1.
    """
    if eta < 1:
        raise UsageError(f"eta is {eta}, but must be at least 1, which is plain k-means")
    moved = codebooks.copy()
    for _ in range(sweeps):
        _solve_all(x, x, _inverse_lengths(x), _by_group(numbers), moved, eta, None)
    return moved


def _inverse_lengths(rows: np.ndarray) -> np.ndarray:
    """(n, 1) one over the length of each row; 0 for a row without direction."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)


def _by_group(numbers: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(numbers.T, dtype=np.int32)


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
    eta: float,
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
        codebooks[j] = _solve(rows, directions, target, labels[j], codebooks[j], eta)
        along = target - _inner(codebooks[j][labels[j]], directions)
        if ticker is not None:
            ticker.advance(x.shape[0])


def _solve(
    rows: np.ndarray, directions: np.ndarray, target: np.ndarray, labels: np.ndarray, codebook: np.ndarray,
    eta: float,
) -> np.ndarray:  # fmt: skip
    """Centroids c (k, w) with (N + (eta - 1) sum u u^T) c = sum (r + (eta - 1) t u) over the N rows of each.

    rows r, directions u: (n, w) float32. target t: (n,) error along the row without this group.
    """
    k, width = codebook.shape
    first, second = np.triu_indices(width)
    sums = np.zeros((k, width + len(first)))
    counts = np.zeros(k)
    for block in iter_blocks(rows.shape[0], max(1, _BLOCK_VALUES // sums.shape[1])):
        u = directions[block]
        right = rows[block] + ((eta - 1) * target[block, None]).astype(np.float32) * u
        terms = np.concatenate([right, (eta - 1) * u[:, first] * u[:, second]], axis=1, dtype=np.float32)
        native.accumulate(terms, labels[block], None, sums, counts)
    system = np.zeros((k, width, width))
    system[:, first, second] = system[:, second, first] = sums[:, width:]
    system[:, range(width), range(width)] += np.maximum(counts, 1)[:, None]
    moved = np.linalg.solve(system, sums[:, :width, None])[:, :, 0].astype(np.float32)
    return np.where(counts[:, None] > 0, moved, codebook)


def _inner(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("nd,nd->n", a, b, dtype=np.float64)
