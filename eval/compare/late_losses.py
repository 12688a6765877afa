"""Where a multi-vector index loses quality: by pooling, in rough codes, or among documents never scored.

    exact MaxSim of all token vectors        E
    exact MaxSim of the pooled vectors       P    E - P  pooling
    the index, all documents scored          F    P - F  quantization, the codes of a rerank included
    what the index answers                   A    F - A  coarse miss: not among the candidates

The three add up to E - A.
"""

from __future__ import annotations

from typing import Any

from cluscomp.eval.compare.adapter import Opened
from cluscomp.eval.compare.collection import Collection
from cluscomp.eval.compare.exact import exact_search
from cluscomp.eval.compare.losses import LossSplit, Measure, minus
from cluscomp.multivector import Ragged


def split_late_losses(
    opened: Opened,
    collection: Collection,
    k: int,
    parameters: dict[str, int],
    measure: Measure,
    exact: dict[str, float],
    answered: dict[str, float],
    pooled: dict[Any, dict[str, float]],
) -> LossSplit:
    """Split `exact` - `answered` for a multi-vector index of ours.

    pooled: measures of exact search over pooled vectors, by pool and seed; what is missing is added, since
    many keys share a pool.
    """
    index, documents, queries = opened.index, collection.documents, collection.queries
    assert isinstance(documents, Ragged) and isinstance(queries, Ragged)
    name = (str(index.pool), index.seed)
    if name not in pooled:
        kept = index.pool_documents(documents)
        pooled[name] = measure(*exact_search(queries, kept, k, collection.metric))
    everywhere = answered
    if "candidates" in parameters and parameters["candidates"] < len(documents):
        all_scored = {**parameters, "candidates": len(documents)}
        everywhere = measure(*opened.search(queries.rows, k, lengths=queries.lengths, **all_scored))
    return LossSplit(
        coarse=minus(everywhere, answered),
        quantization=minus(pooled[name], everywhere),
        rerank=dict.fromkeys(exact, 0.0),
        pooling=minus(exact, pooled[name]),
    )
