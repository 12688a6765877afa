"""Fixed-dimensional encodings: one vector a document whose inner products estimate MaxSim.

Source: Dhulipala, Hadian, Jayaram, Lee and Mirrokni, "MUVERA: Multi-Vector Retrieval via Fixed Dimensional
Encodings", NeurIPS 2024, arXiv 2405.19504; bucket numbers as in google/graph-mining.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cluscomp import checks, native
from cluscomp.arrays import as_rows, iter_blocks, normalize_rows, to_float32
from cluscomp.clustering.blocks import block_rows
from cluscomp.multivector.ragged import Ragged, as_ragged, document_blocks
from cluscomp.progress import Progress, Ticker
from cluscomp.vocabulary import SIDES, Side

PROJECTIONS = ("dense_sign", "count_sketch")

_MAX_PLANES = 16
_SUMS_PER_BLOCK = 1 << 22  # float64 values of one block's sums: 32 MB


def fde_encode(
    vectors: Any,
    lengths: Any,
    *,
    side: Side,
    k_sim: int,
    repetitions: int,
    projection_dim: int | None = None,
    seed: int = 0,
    projection: str = "dense_sign",
    fill_empty: bool = True,
    mean: Any = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Encode queries or documents as single vectors; <query, document> / repetitions estimates MaxSim.

    Both sides need equal k_sim, repetitions, projection, projection_dim, seed and mean. Source: MUVERA, arXiv
    2405.19504.

    Args:
        vectors: (N, d) vectors below each other, as `pool_tokens` takes them.
        lengths: (n,) vectors of each query or document.
        side: "query" adds up the vectors of a bucket, "document" averages them.
        k_sim: 0 to 16 random hyperplanes that split space into 2**k_sim buckets.
        repetitions: independent partitions.
        projection_dim: of each bucket; None keeps d.
        seed: of hyperplanes and projections.
        projection: "dense_sign" (random signs over sqrt(projection_dim), as in the paper) or "count_sketch"
            (each coordinate to one place with a random sign, unscaled, as in the published code).
        fill_empty: an empty bucket of a document takes the vector whose signs differ least from the bucket's
            (ties: the first).
        mean: (d,) taken away from all vectors, which are then scaled to length 1. It can help models whose
            vectors share a common direction, for which random hyperplanes separate little.
        progress: called as progress(stage, done, total) in documents.

    Returns:
        (n, repetitions * 2**k_sim * projection_dim) float32; zeros for a document without vectors.

    Raises:
        UsageError, UnknownKeyError: a setting cannot work.
        DimensionError, DTypeError, NonFiniteError, TooLargeError: the vectors or lengths are wrong.
    """
    ragged = as_ragged(vectors, lengths)
    seed = checks.integer("seed", seed, 0)
    _check(side, k_sim, repetitions, projection_dim, projection)
    centre = None if mean is None else _checked_mean(mean, ragged.dim)
    width = ragged.dim if projection_dim is None else projection_dim
    partitions = [
        (_planes(k_sim, ragged.dim, seed, t), _projection(projection, ragged.dim, projection_dim, seed, t))
        for t in range(repetitions)
    ]
    encoded = np.empty((len(ragged), repetitions, (1 << k_sim) * width), dtype=np.float32)
    ticker = Ticker(progress, "fde", len(ragged))
    for block in _blocks(ragged, k_sim):
        part = _moved(ragged.part(block), centre)
        for t, (planes, matrix) in enumerate(partitions):
            encoded[block, t] = encode_part(part, planes, matrix, side, fill_empty)
        ticker.advance(len(part))
    ticker.finish()
    return encoded.reshape(len(ragged), -1)


def _check(side: str, k_sim: int, repetitions: int, projection_dim: int | None, projection: str) -> None:
    checks.one_of("side", side, SIDES)
    checks.one_of("projection", projection, PROJECTIONS)
    checks.integer("k_sim", k_sim, 0, _MAX_PLANES)
    checks.integer("repetitions", repetitions, 1)
    if projection_dim is not None:
        checks.integer("projection_dim", projection_dim, 1)


def _checked_mean(mean: Any, dim: int) -> np.ndarray:
    return to_float32(as_rows(np.atleast_2d(mean), name="mean", dim=dim))[0]


def _planes(k_sim: int, dim: int, seed: int, repetition: int) -> np.ndarray:
    """Normals (k_sim, d) of the hyperplanes."""
    return np.random.default_rng((seed, repetition, 0)).standard_normal((k_sim, dim))


def _projection(kind: str, dim: int, width: int | None, seed: int, repetition: int) -> np.ndarray | None:
    """Matrix (d, width), or None where vectors stay as they are."""
    if width is None:
        return None
    rng = np.random.default_rng((seed, repetition, 1))
    if kind == "dense_sign":
        return (2.0 * rng.integers(0, 2, size=(dim, width)) - 1.0) / np.sqrt(width)
    matrix = np.zeros((dim, width))
    matrix[np.arange(dim), rng.integers(0, width, dim)] = 2.0 * rng.integers(0, 2, dim) - 1.0
    return matrix


def _blocks(ragged: Ragged, k_sim: int) -> Iterator[slice]:
    cost = ragged.dim * np.maximum(ragged.lengths, 1 << k_sim)
    return document_blocks(cost, _SUMS_PER_BLOCK)


def _moved(part: Ragged, centre: np.ndarray | None) -> Ragged:
    if centre is None:
        return part
    return Ragged(normalize_rows(to_float32(part.rows) - centre), part.offsets)


# ---- one partition ---------------------------------------------------------------------------------


def sign_bits(rows: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """Sides (N,) int64 of the rows: a bit a plane, the first one highest; set where <plane, row> > 0."""
    weights = 1 << np.arange(planes.shape[0] - 1, -1, -1, dtype=np.int64)
    normals = native.packed_matrix(planes.T)
    bits = np.empty(rows.shape[0], dtype=np.int64)
    for block in iter_blocks(rows.shape[0], block_rows(rows.shape[1], 1)):
        sides = normals.multiply_f64(to_float32(rows[block]).astype(np.float64))
        bits[block] = (sides > 0) @ weights
    return bits


def bucket_of(bits: np.ndarray) -> np.ndarray:
    """Bucket numbers of sign bits: the inverse of `bits_of`, so that neighbours differ in one sign."""
    bucket = bits.copy()
    for shift in (1, 2, 4, 8):
        bucket ^= bucket >> shift
    return bucket


def bits_of(bucket: Any) -> Any:
    """Sign bits of bucket numbers (Gray code)."""
    return bucket ^ (bucket >> 1)


def encode_part(
    part: Ragged, planes: np.ndarray, matrix: np.ndarray | None, side: Side, fill_empty: bool
) -> np.ndarray:
    """Blocks (n_docs, n_buckets * width) of one partition: planes (k_sim, d), matrix (d, width) or None."""
    buckets, n = 1 << planes.shape[0], len(part)
    bits = sign_bits(part.rows, planes)
    document = np.repeat(np.arange(n), part.lengths)
    sums, counts = np.zeros((n * buckets, part.dim)), np.zeros(n * buckets)
    labels = (document * buckets + bucket_of(bits)).astype(np.int32)
    native.accumulate(part.rows, labels, None, sums, counts)
    if side == "document":
        sums /= np.maximum(counts, 1)[:, None]
        if fill_empty and buckets > 1:
            _fill(sums.reshape(n, buckets, part.dim), counts.reshape(n, buckets), part, bits)
    projected = sums if matrix is None else native.packed_matrix(matrix).multiply_f64(sums)
    return projected.reshape(n, -1)


def _fill(blocks: np.ndarray, counts: np.ndarray, part: Ragged, bits: np.ndarray) -> None:
    """Put the vector with the nearest signs into the empty buckets of documents that have vectors."""
    filled = np.flatnonzero(part.lengths > 0)
    n = bits.shape[0]
    order = np.arange(n)
    for bucket in range(blocks.shape[1]):
        empty = counts[filled, bucket] == 0
        if not empty.any():
            continue
        distance = _popcount(bits ^ bits_of(bucket))
        nearest = np.minimum.reduceat(distance * n + order, part.offsets[filled]) % n
        blocks[filled[empty], bucket] = to_float32(part.rows[nearest[empty]])


def _popcount(numbers: np.ndarray) -> np.ndarray:
    total = np.zeros_like(numbers)
    for bit in range(_MAX_PLANES):
        total += (numbers >> bit) & 1
    return total
