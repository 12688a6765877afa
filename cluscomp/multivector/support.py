"""Support pooling: few vectors of a document fitted to what late interaction needs of its token vectors.

MaxSim sees a document only through h(q) = max_i <q, x_i>, the support function of its token vectors x_i. The
vectors v_j of a document are fitted to it on a sample of q's that is the same for all documents:

    minimise   sum_q (max_j <q, v_j> - h(q))^2 + ridge * sum_j |v_j - w_j|^2

They start at the means w_j of groups. A round assigns every q to its largest <q, v_j> and moves each v_j
towards the ridge regression of h on its own q's, as in max-affine regression (Magnani and Boyd, "Convex
piecewise-linear fitting", Optimization and Engineering 10 (2009)). No query and no judgement is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp import checks, native
from cluscomp.arrays import as_rows, to_float32
from cluscomp.clustering.blocks import take_rows
from cluscomp.errors import DimensionError, InputError
from cluscomp.multivector.ragged import Ragged, as_ragged, document_blocks
from cluscomp.progress import Progress, Ticker

SAMPLE_SIZE = 2000
LONGEST = 1e14
"""Longest vector that is taken: squares must stay within float32."""

_VALUES_PER_BLOCK = 1 << 22  # of support functions: 16 MB
_PRODUCTS_PER_BLOCK = 1 << 33  # multiply-adds of one native call: about 0.1 s on two cores


@dataclass(frozen=True)
class SupportFit:
    """How vectors are fitted; see the formula above.

    ridge: weight of the squared distance to the start. rounds: assignments of the sample to vectors. steps:
    of conjugate gradients for each vector in each round.
    """

    ridge: float = 2.0
    rounds: int = 2
    steps: int = 6


def support_sample(vectors: Any, lengths: Any, *, size: int = SAMPLE_SIZE, seed: int = 0) -> np.ndarray:
    """Draw token vectors (size, d) float32 of a collection, each with equal chance and none twice.

    vectors, lengths: ragged as in `pool_tokens`; with fewer than `size` vectors all are taken. They stand in
    the order of the collection. Raises UsageError (size), InputError (no vectors) and what `pool_tokens`
    raises for arrays.
    """
    size = checks.integer("size", size, 1)
    rows = as_ragged(vectors, lengths).rows
    if rows.shape[0] == 0:
        raise InputError("there are no token vectors to draw a sample from; pass documents with vectors")
    n = min(size, rows.shape[0])
    chosen = np.sort(checks.rng(seed).choice(rows.shape[0], n, replace=False))
    return to_float32(take_rows(rows, chosen))


def support_errors(
    vectors: Any,
    lengths: Any,
    pooled: Any,
    kept: Any,
    *,
    sample: Any,
    progress: Progress | None = None,
) -> np.ndarray:
    """How far a pooling is from all tokens: mean over the sample of (max_j <q, v_j> - max_i <q, x_i>)^2.

    vectors, lengths: token vectors x_i as `pool_tokens` takes them. pooled, kept: v_j as any of its methods
    returns them. sample: (n, d) vectors q. Returns (n_docs,) float64; 0 for a document without vectors.
    Raises DimensionError (numbers of documents differ) and what `pool_tokens` raises for arrays.
    """
    ragged = as_ragged(vectors, lengths)
    short = as_ragged(pooled, kept, name="pooled", dim=ragged.dim)
    if len(short) != len(ragged):
        raise DimensionError(
            f"kept has {len(short)} documents, but lengths has {len(ragged)}; pass those of one collection"
        )
    packed = pack_sample(sample, ragged.dim)
    errors = np.empty(len(ragged))
    ticker = Ticker(progress, "support", len(ragged))
    for block in _blocks(ragged, packed.n):
        wanted = support_values(ragged.part(block), packed, block.start)
        found = support_values(short.part(block), packed, block.start)
        errors[block] = np.mean((found - wanted.astype(np.float64)) ** 2, axis=1)
        ticker.advance(block.stop - block.start)
    ticker.finish()
    return errors


def pack_sample(sample: Any, dim: int) -> native.SupportSample:
    """A checked sample (n, dim), packed once for many documents."""
    rows = as_rows(sample, name="sample", dim=dim)
    packed = native.SupportSample(rows)
    if not packed.valid:
        raise InputError(f"sample has a vector longer than {LONGEST:.0e}; scale all vectors")
    return packed


def support_values(documents: Ragged, sample: native.SupportSample, first: int = 0) -> np.ndarray:
    """H (n_docs, n) float32 of the documents at the sample; 0 for one without vectors.

    Products are of vectors rounded to 16 bits, about 1e-5 |q| |x| off. first: number of the first document,
    for messages. Raises InputError for a vector longer than `LONGEST`.
    """
    values, bad = sample.values(documents.rows, documents.offsets)
    _check_length(bad, first)
    return values


def fit_support(
    ragged: Ragged,
    start: Ragged,
    fixed: np.ndarray,
    sample: native.SupportSample,
    how: SupportFit,
    advance: Callable[[int], None],
) -> np.ndarray:
    """Fit the vectors of each document, from `start`, to the support function of its token vectors.

    fixed: (n_docs,) int64; as many first vectors of a document stay as they are. advance(documents) is called
    after each block. Returns (rows of start, d) float32. Results depend on no block and no thread count.
    """
    fitted = np.empty(start.rows.shape, dtype=np.float32)
    for block in _blocks(ragged, sample.n):
        part = start.part(block)
        rows = slice(int(start.offsets[block.start]), int(start.offsets[block.stop]))
        values = support_values(ragged.part(block), sample, block.start)
        fitted[rows], _, bad = sample.fit(
            part.rows, part.offsets, fixed[block], values, how.ridge, how.rounds, how.steps
        )
        _check_length(bad, block.start)
        advance(block.stop - block.start)
    return fitted


def _blocks(ragged: Ragged, n: int) -> Iterator[slice]:
    """Documents whose support functions fit a block's memory, and whose products take a moment only."""
    products = ragged.lengths.astype(np.float64) * ragged.dim * n / _PRODUCTS_PER_BLOCK
    return document_blocks(np.maximum(products, n / _VALUES_PER_BLOCK), 1.0)


def _check_length(bad: int, first: int) -> None:
    if bad >= 0:
        raise InputError(f"document {first + bad} has a vector longer than {LONGEST:.0e}; scale all vectors")
