"""Exact late-interaction scores.

Source: Khattab and Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized Late
Interaction over BERT", SIGIR 2020.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.multivector.ragged import as_ragged, document_blocks
from cluscomp.progress import Progress, Ticker

_PRODUCTS_PER_BLOCK = 1 << 34  # multiply-adds of one native call: about 0.2-0.4 s on two cores


def maxsim(
    queries: Any, query_lengths: Any, vectors: Any, lengths: Any, *, progress: Progress | None = None
) -> np.ndarray:
    """Score every query against every document: sum over query vectors of the largest inner product.

    Scores do not depend on threads, blocks, or what else is in the call. Source: Khattab and Zaharia,
    "ColBERT", SIGIR 2020.

    Args:
        queries: (Q, d) vectors of all queries below each other, as `pool_tokens` takes documents.
        query_lengths: (n_queries,) vectors of each query.
        vectors: (N, d) vectors of all documents; they are read once, in blocks.
        lengths: (n_docs,) vectors of each document.
        progress: called as progress(stage, done, total) in documents.

    Returns:
        (n_queries, n_docs) float32. A document with 0 vectors scores -inf, a query with 0 vectors 0.

    Raises:
        DimensionError: lengths do not add up, or queries have another dim.
        DTypeError, NonFiniteError, TooLargeError: a value cannot be used.
    """
    documents = as_ragged(vectors, lengths)
    asked = as_ragged(queries, query_lengths, name="queries", dim=documents.dim)
    scores = np.empty((len(asked), len(documents)), dtype=np.float32)
    ticker = Ticker(progress, "maxsim", len(documents))
    limit = _PRODUCTS_PER_BLOCK / (documents.dim * max(1, asked.rows.shape[0]))
    for block in document_blocks(documents.lengths, limit):
        part = documents.part(block)
        scores[:, block] = native.maxsim(asked.rows, asked.offsets, part.rows, part.offsets)
        ticker.advance(len(part))
    ticker.finish()
    return scores
