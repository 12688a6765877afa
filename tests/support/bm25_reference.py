"""BM25 as the formula says it, one document after the other: the oracle of the lexical index.

Lucene's form without the factor k1 + 1: idf = ln(1 + (N - df + .5) / (df + .5)), a term of frequency tf in a document of
length l adds idf * tf / (tf + k1 (1 - b + b l / mean l)).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a an and are as at be but by for if in into is it no not of on or such that the their then there these
        they this to was will with""",
    )
)


def words(text: str) -> list[str]:
    found = re.findall(r"\w\w+", unicodedata.normalize("NFKC", text).lower())
    return [word for word in found if word not in STOP_WORDS]


class Bm25:
    """documents: lists of words."""

    def __init__(self, documents: Sequence[Sequence[str]], k1: float = 1.5, b: float = 0.75) -> None:
        self.n = len(documents)
        mean = sum(map(len, documents)) / self.n
        counts = [Counter(document) for document in documents]
        df = Counter(word for count in counts for word in count)
        self.postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for row, (document, count) in enumerate(zip(documents, counts, strict=True)):
            for word, tf in count.items():
                idf = math.log(1 + (self.n - df[word] + 0.5) / (df[word] + 0.5))
                weight = idf * tf / (tf + k1 * (1 - b + b * len(document) / mean))
                self.postings[word].append((row, weight))

    def scores(self, query: Iterable[str]) -> np.ndarray:
        total = np.zeros(self.n)
        for word in query:
            for row, weight in self.postings.get(word, ()):
                total[row] += weight
        return total


def run_of(
    model: Bm25, ids: Sequence[str], queries: Mapping[str, str], k: int = 100
) -> dict[str, dict[str, float]]:
    """The k best documents of each query; those of score 0 are no hits."""
    run = {}
    for query_id, text in queries.items():
        scores = model.scores(words(text))
        best = np.argsort(-scores, kind="stable")[:k]
        run[query_id] = {ids[row]: float(scores[row]) for row in best if scores[row] > 0}
    return run
