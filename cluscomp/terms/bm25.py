"""The formula of BM25, in Lucene's form without the factor k1 + 1, which changes no order.

    score(q, d) = sum over words t of q of  idf(t) * tf / (tf + k1 (1 - b + b * length(d) / mean length))
    idf(t) = ln(1 + (N - df + .5) / (df + .5))

Sources: Robertson, Zaragoza, "The probabilistic relevance framework: BM25 and beyond", 2009; Kamphuis, de
Vries, Boytsov, Lin, "Which BM25 do you mean?", ECIR 2020; scored ahead as in Lu, "BM25S", arXiv 2407.03618.
"""

from __future__ import annotations

import numpy as np


def inverse_document_frequency(document_counts: np.ndarray, documents: int) -> np.ndarray:
    """How rare each word is, (n,) float64, above 0 also for a word of all documents.

    document_counts: (n,) documents that hold each word; 0 for a word that none held. documents: all of them.
    """
    counts = np.asarray(document_counts, dtype=np.float64)
    return np.log1p((documents - counts + 0.5) / (counts + 0.5))


def saturation(
    counts: np.ndarray, lengths: np.ndarray, mean_length: float, k1: float, b: float
) -> np.ndarray:
    """What a word adds to a document besides how rare it is, (n,) float64 above 0 and below 1.

    counts: (n,) times that the document holds the word. lengths: (n,) words of the document.
    """
    counts = np.asarray(counts, dtype=np.float64)
    return counts / (counts + k1 * (1 - b + b * np.asarray(lengths) / mean_length))
