"""The published formula of each metric, for one query.

All take `ranked`, the relevance levels of the retrieved documents in rank order (0 for unjudged ones), and
`judged`, the levels of all judged documents of the query. A level of 1 or more is relevant; its value is the
gain of nDCG. Negative levels count as not relevant with gain 0 and hold their rank. `k` cuts the ranking;
None takes all of it. Without a relevant document every metric is 0. These are trec_eval's conventions (its
m_*.c files).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Levels = Sequence[int]


def dcg(levels: Levels) -> float:
    """Discounted cumulative gain: sum over ranks i >= 1 of gain_i / log2(i + 1).

    Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 20(4), 2002, with the
    discount of trec_eval, which starts at rank 2.
    """
    return math.fsum(level / math.log2(rank + 1) for rank, level in enumerate(levels, 1) if level > 0)


def ndcg(ranked: Levels, judged: Levels, k: int | None = None) -> float:
    """DCG of the first k results over that of the best possible first k (trec_eval: ndcg_cut, ndcg)."""
    ideal = dcg(sorted((level for level in judged if level > 0), reverse=True)[:k])
    return dcg(ranked[:k]) / ideal if ideal else 0.0


def recall(ranked: Levels, judged: Levels, k: int | None = None) -> float:
    """Share of all relevant documents that are among the first k (trec_eval: recall, set_recall)."""
    total = _relevant(judged)
    return _relevant(ranked[:k]) / total if total else 0.0


def precision(ranked: Levels, judged: Levels, k: int | None = None) -> float:
    """Relevant documents among the first k, over k, even when fewer were retrieved (trec_eval: P)."""
    depth = len(ranked) if k is None else k
    return _relevant(ranked[:k]) / depth if depth else 0.0


def average_precision(ranked: Levels, judged: Levels, k: int | None = None) -> float:
    """Sum of the precisions at each relevant result among the first k, over all relevant ones.

    trec_eval: map_cut; map without k.
    """
    total = _relevant(judged)
    if not total:
        return 0.0
    ranks = [rank for rank, level in enumerate(ranked[:k], 1) if level > 0]
    return math.fsum(found / rank for found, rank in enumerate(ranks, 1)) / total


def reciprocal_rank(ranked: Levels, judged: Levels, k: int | None = None) -> float:
    """1 / rank of the first relevant document, 0 when that is beyond k.

    trec_eval: recip_rank. MS MARCO: k = 10.
    """
    return next((1.0 / rank for rank, level in enumerate(ranked[:k], 1) if level > 0), 0.0)


def success(ranked: Levels, judged: Levels, k: int | None = None) -> float:
    """1 if a relevant document is among the first k, else 0 (trec_eval: success)."""
    return float(_relevant(ranked[:k]) > 0)


def _relevant(levels: Levels) -> int:
    return sum(level > 0 for level in levels)
