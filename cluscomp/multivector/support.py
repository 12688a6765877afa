"""Support pooling: few vectors of a document fitted to what late interaction needs of its token vectors.

MaxSim sees a document only through h(q) = max_i <q, x_i>, the support function of its token vectors x_i. The
vectors v_j of a document are fitted to it on a sample of q's that is the same for all documents:

    minimise   sum_q (max_j <q, v_j> - target(q))^2 + ridge * sum_j |v_j - w_j|^2
    target(q) = (1 - ward_share) h(q) + ward_share (max_j <q, w_j> + shift)

They start at the means w_j of groups, whose own largest products may have a share in the target. These lie
below h, the more so the more tokens a document has, so that short documents would gain; the shift, a line in
the logarithm of the number of tokens, takes that back (`support_line`). A round assigns every q to its
largest <q, v_j> and moves each v_j towards the ridge regression of the target on its own q's, as in
max-affine regression (Magnani and Boyd, "Convex piecewise-linear fitting", Optimization and Engineering 10
(2009)). No query and no judgement is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp import checks, native
from cluscomp.arrays import as_rows, to_float32
from cluscomp.clustering.blocks import take_rows
from cluscomp.errors import DimensionError, InputError, UsageError
from cluscomp.multivector.ragged import Ragged, as_ragged, document_blocks, offsets_of
from cluscomp.progress import Progress, Ticker

SAMPLE_SIZE = 2000
LONGEST = 1e14
"""Longest vector that is taken: squares must stay within float32."""

VALUES_PER_BLOCK = 1 << 22  # of support functions: 16 MB
_PRODUCTS_PER_BLOCK = 1 << 33  # multiply-adds of one native call: about 0.1 s on two cores


@dataclass(frozen=True)
class SupportFit:
    """How vectors are fitted; see the formula above.

    ward_share: of the largest products at the start in the target, 0 to 1. line: (b, c) of their shift
    b + c log(tokens). ridge: weight of the squared distance to the start. rounds: assignments of the sample
    to vectors. steps: of conjugate gradients for each vector in each round.
    """

    ward_share: float = 0.0
    line: tuple[float, float] = (0.0, 0.0)
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
    ragged, short, packed = _compared(vectors, lengths, pooled, kept, sample)
    errors = np.empty(len(ragged))
    ticker = Ticker(progress, "support", len(ragged))
    for block, wanted, found in _both_values(ragged, short, packed):
        errors[block] = np.mean((found - wanted.astype(np.float64)) ** 2, axis=1)
        ticker.advance(block.stop - block.start)
    ticker.finish()
    return errors


def support_line(
    vectors: Any,
    lengths: Any,
    pooled: Any,
    kept: Any,
    *,
    sample: Any,
    progress: Progress | None = None,
) -> tuple[float, float]:
    """How far Ward's largest products lie below those of all tokens: b + c log(tokens of a document).

    The straight line of least squares through mean_q (max_i <q, x_i> - max_j <q, w_j>) over the documents,
    q of the sample. For the arguments, and what is raised, see `support_errors`; pooled, kept: Ward's means.
    Documents without vectors do not count; c is 0 where all have the same number of tokens, and both are
    where there is none.
    """
    ragged, short, packed = _compared(vectors, lengths, pooled, kept, sample)
    losses = np.zeros(len(ragged))
    ticker = Ticker(progress, "support", len(ragged))
    for block, wanted, found in _both_values(ragged, short, packed):
        losses[block] = np.mean(wanted.astype(np.float64) - found, axis=1)
        ticker.advance(block.stop - block.start)
    ticker.finish()
    filled = ragged.lengths > 0
    return _line_through(np.log(ragged.lengths[filled]), losses[filled])


def _line_through(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    if x.size == 0:
        return 0.0, 0.0
    mean_x, mean_y = math.fsum(x) / x.size, math.fsum(y) / x.size
    centred = x - mean_x
    spread = math.fsum(centred**2)
    slope = math.fsum(centred * y) / spread if spread > 1e-12 * x.size else 0.0
    return mean_y - slope * mean_x, slope


def checked_line(line: Any) -> tuple[float, float]:
    """(b, c) as numbers; (0, 0) of None. Raises UsageError."""
    if line is None:
        return 0.0, 0.0
    values = list(line) if np.iterable(line) and not isinstance(line, str) else []
    if len(values) != 2:
        raise UsageError(f"ward_line must be two numbers (b, c), but is {line!r:.60}")
    b, c = (checks.number("ward_line", value) for value in values)
    return b, c


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


def fit_means(
    ragged: Ragged,
    means: np.ndarray,
    kept: np.ndarray,
    protected: int,
    sample: native.SupportSample,
    how: SupportFit,
    advance: Callable[[int], None],
) -> np.ndarray:
    """Fit the means (N', d) of each document's groups, kept (n_docs,) of them; what a document keeps whole
    stays, and so do its first `protected` vectors. For the rest see `fit_support`.
    """
    fixed = np.where(kept == ragged.lengths, kept, np.minimum(kept, protected))
    start = Ragged(means, offsets_of(kept, means.shape[0]))
    return fit_support(ragged, start, fixed, sample, how, advance)


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
    shifts = how.line[0] + how.line[1] * np.log(np.maximum(ragged.lengths, 1))
    for block in _blocks(ragged, sample.n):
        part = start.part(block)
        rows = slice(int(start.offsets[block.start]), int(start.offsets[block.stop]))
        values = support_values(ragged.part(block), sample, block.start)
        fitted[rows], _, bad = sample.fit(
            part.rows,
            part.offsets,
            fixed[block],
            values,
            shifts[block],
            how.ward_share,
            how.ridge,
            how.rounds,
            how.steps,
        )
        _check_length(bad, block.start)
        advance(block.stop - block.start)
    return fitted


def _compared(
    vectors: Any, lengths: Any, pooled: Any, kept: Any, sample: Any
) -> tuple[Ragged, Ragged, native.SupportSample]:
    """Token vectors, pooled ones of the same documents, and the sample, all checked."""
    ragged = as_ragged(vectors, lengths)
    short = as_ragged(pooled, kept, name="pooled", dim=ragged.dim)
    if len(short) != len(ragged):
        raise DimensionError(
            f"kept has {len(short)} documents, but lengths has {len(ragged)}; pass those of one collection"
        )
    return ragged, short, pack_sample(sample, ragged.dim)


def _both_values(
    ragged: Ragged, short: Ragged, sample: native.SupportSample
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Blocks of documents, and the values (n, size of the sample) of their tokens and pooled vectors."""
    for block in _blocks(ragged, sample.n):
        wanted = support_values(ragged.part(block), sample, block.start)
        yield block, wanted, support_values(short.part(block), sample, block.start)


def _blocks(ragged: Ragged, n: int) -> Iterator[slice]:
    """Documents whose support functions fit a block's memory, and whose products take a moment only."""
    products = ragged.lengths.astype(np.float64) * ragged.dim * n / _PRODUCTS_PER_BLOCK
    return document_blocks(np.maximum(products, n / VALUES_PER_BLOCK), 1.0)


def _check_length(bad: int, first: int) -> None:
    if bad >= 0:
        raise InputError(f"document {first + bad} has a vector longer than {LONGEST:.0e}; scale all vectors")
