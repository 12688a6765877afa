"""Token pooling: fewer vectors a document, each the mean of a group of its token vectors.

Source: Clavie, Chaffin and Adams, "Reducing the Footprint of Multi-Vector Retrieval with Minimal Performance
Impact via Token Pooling", arXiv 2409.14683 (2024). Fitting the means to the support function: support.py.
"""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np

from cluscomp import checks, native
from cluscomp.arrays import normalize_rows, to_float32
from cluscomp.clustering.ward import LINKAGE_INPUTS, LinkageInput, ward_merges
from cluscomp.errors import UsageError
from cluscomp.multivector.budgets import Budget
from cluscomp.multivector.grouping import clustered_groups, sequential_groups
from cluscomp.multivector.ragged import Ragged, as_ragged
from cluscomp.multivector.support import SupportFit, checked_line, fit_means, pack_sample
from cluscomp.progress import Progress, Ticker
from cluscomp.vocabulary import POOL_METHODS, SUPPORT, PoolMethod

_MEAN_ROWS = 16_384  # token vectors whose means are taken at a time


@overload
def pool_tokens(
    vectors: Any,
    lengths: Any,
    *,
    factor: float | None = None,
    max_vectors: int | None = None,
    method: str = "ward",
    linkage_input: str = "euclidean",
    renormalize: bool = True,
    protected: int = 0,
    height: float | None = None,
    total_vectors: int | None = None,
    total_bytes: int | None = None,
    bytes_per_vector: float | None = None,
    sample: Any = None,
    ward_share: float = 0.0,
    ward_line: Any = None,
    seed: int = 0,
    return_labels: Literal[False] = False,
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]: ...
@overload
def pool_tokens(
    vectors: Any,
    lengths: Any,
    *,
    factor: float | None = None,
    max_vectors: int | None = None,
    method: str = "ward",
    linkage_input: str = "euclidean",
    renormalize: bool = True,
    protected: int = 0,
    height: float | None = None,
    total_vectors: int | None = None,
    total_bytes: int | None = None,
    bytes_per_vector: float | None = None,
    sample: Any = None,
    ward_share: float = 0.0,
    ward_line: Any = None,
    seed: int = 0,
    return_labels: Literal[True],
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...
def pool_tokens(
    vectors: Any,
    lengths: Any,
    *,
    factor: float | None = None,
    max_vectors: int | None = None,
    method: str = "ward",
    linkage_input: str = "euclidean",
    renormalize: bool = True,
    protected: int = 0,
    height: float | None = None,
    total_vectors: int | None = None,
    total_bytes: int | None = None,
    bytes_per_vector: float | None = None,
    sample: Any = None,
    ward_share: float = 0.0,
    ward_line: Any = None,
    seed: int = 0,
    return_labels: bool = False,
    progress: Progress | None = None,
) -> tuple[np.ndarray, ...]:
    """Replace the token vectors of each document by the means of fewer groups.

    Give one budget: factor, max_vectors, height, total_vectors or total_bytes. Source: Clavie, Chaffin and
    Adams, arXiv 2409.14683 (2024).

    Args:
        vectors: (N, d) token vectors of all documents below each other, NumPy, memory map or torch CPU
            tensor, float32, float16 or bfloat16. With lengths=None a list with one array a document, or an
            array (n_docs, tokens, d); such an array with lengths has documents that are padded at their ends.
        lengths: (n_docs,) tokens of each document, adding up to N; a document with 0 tokens keeps 0 vectors.
        factor: a document keeps floor(n / factor) of its n unprotected vectors, at least 1.
        max_vectors: kept by a document at most, protected ones included.
        method: "ward" (agglomerative), "kmeans", "kmedoids" (FasterPAM), or "sequential" (runs of neighbours
            as equal in length as possible). "support" starts from the means of Ward's groups and fits them to
            the largest inner products of the document's tokens with `sample`; its results keep the lengths
            that the fit gives them, and documents that keep all their vectors and protected vectors are not
            fitted.
        linkage_input: what Ward works on. "euclidean" is Ward's criterion. "cosine_condensed" hands 1 -
            cosine to it as if it were a distance, as sentence-transformers and PyLate do; "cosine_square"
            takes the rows of the square matrix of 1 - cosine for points, as stanford-futuredata/ColBERT does.
            The three give different groups.
        renormalize: scale all results to length 1, also vectors that stay alone; a group whose mean is zero
            gets its first vector. Without it results are plain means.
        protected: this many first tokens of each document stay by themselves, in front.
        height: Ward distance up to which vectors are merged; needs method "ward" or "support".
        total_vectors: kept by all documents together, spent where merging would lose most (the sum of squared
            distances to the means); needs method "ward" or "support".
        total_bytes: the same in bytes.
        bytes_per_vector: of total_bytes; 4 d unless given.
        sample: of "support": (n, d) token vectors of the whole collection, the same for all documents.
            `cluscomp.multivector.support_sample` draws one, and `support_errors` says how close a pooling
            comes.
        ward_share: of "support": share, 0 to 1, that the largest products of Ward's means have in what is
            fitted, beside those of the tokens.
        ward_line: of "support": (b, c); b + c log(tokens of the document) is added to Ward's products.
            `cluscomp.multivector.support_line` finds it. None: nothing is added.
        seed: of k-means and k-medoids.
        return_labels: return labels, too.
        progress: called as progress(stage, done, total).

    Returns:
        Pooled vectors (N', d) float32 and lengths' (n_docs,) int64, never more than the budget allows: exact
        duplicates and equal heights may leave fewer. The pooled vectors of a document stand in the order of
        their first tokens. With return_labels also labels (N,) int64: the row of the pooled vectors that each
        token went to.

    Raises:
        UsageError: no budget or two, or settings that do not go together.
        UnknownKeyError: a name is unknown.
        InfeasibleError: a total is below one vector a document.
        InputError: "support" is given a vector longer than 1e14.
        DimensionError, DTypeError, NonFiniteError, TooLargeError: the vectors or lengths are wrong.
    """
    ragged = as_ragged(vectors, lengths)
    total = _total(total_vectors, total_bytes, bytes_per_vector, ragged.dim)
    budget = Budget(factor, max_vectors, height, total)
    known = checks.one_of("method", method, (*POOL_METHODS, SUPPORT))
    grouping: PoolMethod = "ward" if known == SUPPORT else known
    linkage = checks.one_of("linkage_input", linkage_input, LINKAGE_INPUTS)
    if budget.needs_merges and grouping != "ward":
        raise UsageError(f"a budget by height or in total needs method 'ward' or 'support', not {method!r}")
    protected = checks.integer("protected", protected, 0)
    how = _support_fit(method, ward_share, ward_line)
    packed = _packed(sample, method, ragged.dim)
    ticker = Ticker(progress, "pool", (2 if packed is None else 3) * len(ragged))
    labels, kept = _group(ragged, budget, grouping, linkage, protected, seed, ticker)
    pooled = _means(ragged, labels, kept, renormalize, ticker)
    if packed is not None:
        pooled = fit_means(ragged, pooled, kept, protected, packed, how, ticker.advance)
    ticker.finish()
    return (pooled, kept, labels) if return_labels else (pooled, kept)


def _total(
    vectors: int | None, total_bytes: int | None, bytes_per_vector: float | None, dim: int
) -> int | None:
    """The total budget in vectors."""
    if total_bytes is None:
        if bytes_per_vector is not None:
            raise UsageError("bytes_per_vector belongs to total_bytes, which is not given")
        return vectors
    if vectors is not None:
        raise UsageError("total_vectors and total_bytes are both given; pass one of them")
    size = 4 * dim if bytes_per_vector is None else bytes_per_vector
    return int(checks.number("total_bytes", total_bytes) // checks.number("bytes_per_vector", size, above=0))


def _support_fit(method: str, ward_share: float, ward_line: Any) -> SupportFit:
    """What support pooling fits to, checked."""
    share = checks.number("ward_share", ward_share, low=0, high=1)
    if method != SUPPORT and (share > 0 or ward_line is not None):
        raise UsageError(f"ward_share and ward_line belong to method 'support', but method is {method!r}")
    return SupportFit(ward_share=share, line=checked_line(ward_line))


def _packed(sample: Any, method: str, dim: int) -> native.SupportSample | None:
    """The sample that support pooling needs, None for the other methods."""
    if method != SUPPORT:
        if sample is not None:
            raise UsageError(f"sample belongs to method 'support', but method is {method!r}")
        return None
    if sample is None:
        raise UsageError(
            "method 'support' needs sample, token vectors of the whole collection; draw them by "
            "cluscomp.multivector.support_sample(vectors, lengths)"
        )
    return pack_sample(sample, dim)


def _group(
    ragged: Ragged,
    budget: Budget,
    method: PoolMethod,
    linkage: LinkageInput,
    protected: int,
    seed: int,
    ticker: Ticker,
) -> tuple[np.ndarray, np.ndarray]:
    """Row of the result for each token (N,) int64, and vectors kept by each document (n_docs,) int64."""
    alone = np.minimum(ragged.lengths, protected)
    starts, stops = ragged.offsets[:-1] + alone, ragged.offsets[1:]
    sizes = stops - starts
    if method == "ward":
        merges = ward_merges(ragged.rows, starts, stops, linkage, ticker.advance)
        within, found = merges.cut(budget.counts(sizes, alone, merges))
    else:
        counts = budget.counts(sizes, alone, None)
        if method == "sequential":
            within, found = sequential_groups(starts, stops, counts, ragged.rows.shape[0]), counts
        else:
            within, found = clustered_groups(
                method, ragged.rows, starts, stops, counts, seed=seed, advance=ticker.advance
            )
    kept = alone + found
    return _rows_of(ragged, within, alone, kept), kept


def _rows_of(ragged: Ragged, within: np.ndarray, alone: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Labels within documents (-1: protected) as rows of the result."""
    lengths = ragged.lengths
    position = np.arange(within.shape[0]) - np.repeat(ragged.offsets[:-1], lengths)
    local = np.where(within < 0, position, within + np.repeat(alone, lengths))
    labels: np.ndarray = local + np.repeat(np.cumsum(kept) - kept, lengths)
    return labels


def _means(
    ragged: Ragged, labels: np.ndarray, kept: np.ndarray, renormalize: bool, ticker: Ticker
) -> np.ndarray:
    """Means (N', d) float32 of the rows with equal labels, which ascend with the documents."""
    pooled = np.empty((int(kept.sum()), ragged.dim), dtype=np.float32)
    ends = np.cumsum(kept)
    for documents in ragged.blocks(_MEAN_ROWS):
        first = int(ends[documents.start] - kept[documents.start])
        last = int(ends[documents.stop - 1])
        tokens = slice(int(ragged.offsets[documents.start]), int(ragged.offsets[documents.stop]))
        local = (labels[tokens] - first).astype(np.int32)
        pooled[first:last] = _block_means(ragged.rows[tokens], local, last - first, renormalize)
        ticker.advance(documents.stop - documents.start)
    return pooled


def _block_means(rows: np.ndarray, labels: np.ndarray, k: int, renormalize: bool) -> np.ndarray:
    """Means of k groups in float64, none of which is empty."""
    sums, counts = np.zeros((k, rows.shape[1])), np.zeros(k)
    native.accumulate(rows, labels, None, sums, counts)
    if not renormalize:
        sums /= counts[:, None]
        return sums
    for group in np.flatnonzero(~sums.any(axis=1)):
        sums[group] = to_float32(rows[np.flatnonzero(labels == group)[:1]])[0]
    return normalize_rows(sums)
