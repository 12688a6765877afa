"""to_lance: centroids and codebooks for `create_index` of Lance, which then trains nothing.

What Lance does with them, by its metric (pylance 14; tests/indexes/test_lance_bridge.py):

| metric | lists                                   | codes          | distance                              |
|--------|-----------------------------------------|----------------|---------------------------------------|
| L2     | nearest centroid                        | of residuals   | squared, to what the code stands for  |
| cosine | the same, of rows scaled to length one  | of residuals   | the same                              |
| dot    | largest inner product                   | of whole rows  | 1 - inner product                     |

So an index of the metric ip whose codes are residuals has a counterpart for rows of length one only: there
the smallest distance is the largest product, and our centroids, which all have one length, choose the same
lists by either. Codes of the metrics ip and cosine are chosen here to keep products (score_aware.py), and in
Lance as the nearest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.errors import UsageError
from cluscomp.indexes.base import StoredIndex
from cluscomp.indexes.bridged import Bridged, coarse_centroids, codebooks_of
from cluscomp.indexes.stages.pipeline import Pipeline

TOOL = "Lance"
BITS = (4, 8)


@dataclass(frozen=True)
class ForLance(Bridged):
    """Arguments of `lance.LanceDataset.create_index`, beside the name of the column.

    The column holds `rows(x)`, and searches ask for `queries(q)`.

    Attributes:
        arguments: index_type, metric and num_partitions; ivf_centroids (nlist, d) float32; for codes
            pq_codebook (m, 2**num_bits, d / m) float32, num_sub_vectors and num_bits.
    """

    arguments: dict[str, Any]


def to_lance(index: StoredIndex[Any], *, unit_rows: bool = False) -> ForLance:
    """Centroids and codebooks of an index; see `Index.to_lance`.

    Raises UsageError (a part that Lance does not have), NotTrainedError.
    """
    pipeline = index.pipeline
    pipeline.require_trained()
    exact = pipeline.codec.exact
    if exact and pipeline.partition is None:
        raise UsageError(
            f"the key {index.key!r} learns nothing that Lance could use, which searches a column without an "
            "index exactly; build the index with IVF or PQ"
        )
    centroids = coarse_centroids(pipeline, TOOL)
    coded = {} if exact else _codes(codebooks_of(pipeline, TOOL, BITS))
    arguments = {
        "index_type": "IVF_FLAT" if exact else "IVF_PQ",
        "metric": _metric(pipeline, unit_rows),
        "num_partitions": len(centroids),
        "ivf_centroids": centroids,
        **coded,
    }
    return ForLance(pipeline, True, arguments)


def _codes(codebooks: np.ndarray) -> dict[str, Any]:
    m, k, _ = codebooks.shape
    return {"pq_codebook": codebooks, "num_sub_vectors": m, "num_bits": k.bit_length() - 1}


def _metric(pipeline: Pipeline, unit_rows: bool) -> str:
    """The metric of Lance that codes and scores as the index does."""
    residual = pipeline.uses_residuals
    if pipeline.score_metric == "l2":
        if pipeline.partition is None or residual or pipeline.codec.exact:
            return "L2"
        raise UsageError(
            f"{pipeline.codec.spec} behind lists codes whole rows, and Lance codes residuals for l2; "
            "build the index without lists"
        )
    if not residual:
        return "dot"
    if _has_unit_rows(pipeline, unit_rows):
        return "cosine"
    remedy = "build the index with the metric l2, or without lists"
    if _has_unit_rows(pipeline, True):
        remedy = (
            "where all rows have length one, pass unit_rows=True to to_lance(); otherwise build the index "
            "with the metric cosine or l2, or without lists"
        )
    raise UsageError(
        f"Lance codes whole rows for inner products, and {str(pipeline.spec)!r} has codes of residuals; "
        f"{remedy}"
    )


def _has_unit_rows(pipeline: Pipeline, unit_rows: bool) -> bool:
    """Whether rows have length one behind the transforms."""
    known = pipeline.normalizes or unit_rows
    for step in pipeline.steps:
        known = step.unit_after(known)
    return known
