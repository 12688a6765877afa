"""The order of results: one rule for run files and metrics.

trec_eval ignores the ranks of a run and sorts by score, largest first, compared in single precision; equal
scores go by document id, largest string first (bytes of UTF-8, which is code point order). Scores of
compressed indexes tie often, so the rule decides figures.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cluscomp.errors import DTypeError, NonFiniteError


def rank_documents(scores: Mapping[str, float], *, query_id: str = "") -> list[str]:
    """Document ids of one query in trec_eval's order, best first; `scores` stays as it is.

    Infinite scores are allowed, NaN raises NonFiniteError. Raises DTypeError for ids that are no strings and
    scores that are no numbers; `query_id` is for these messages.
    """
    doc_ids = _string_ids(scores, query_id)
    single = _single_precision(scores, doc_ids, query_id)
    if len(np.unique(single)) < len(doc_ids):
        doc_ids.sort(reverse=True)  # the stable sort below keeps this order among equal scores
        single = _single_precision(scores, doc_ids, query_id)
    order = np.argsort(-single, kind="stable")
    return [doc_ids[position] for position in order.tolist()]


def _string_ids(scores: Mapping[str, float], query_id: str) -> list[str]:
    for kind in set(map(type, scores)):
        if not issubclass(kind, str):
            raise DTypeError(
                f"query {query_id!r}: document ids of a run must be strings, found {kind.__name__}; "
                "use str(id), since judgements are keyed by strings"
            )
    return list(scores)


def _single_precision(scores: Mapping[str, float], doc_ids: list[str], query_id: str) -> np.ndarray:
    try:
        values = np.fromiter(map(scores.__getitem__, doc_ids), np.float64, len(doc_ids))
    except (TypeError, ValueError) as exc:
        raise DTypeError(f"query {query_id!r}: a score is not a number ({exc})") from exc
    if np.isnan(values).any():
        raise NonFiniteError(
            f"query {query_id!r}: the score of document {doc_ids[int(np.isnan(values).argmax())]!r} is NaN; "
            "results without a score cannot be ranked"
        )
    with np.errstate(over="ignore"):  # beyond float32 a score becomes infinite, in trec_eval too
        return values.astype(np.float32)
