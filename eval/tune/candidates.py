"""Keys worth trying for a collection, and their exact bytes before anything is built."""

from __future__ import annotations

import math

from cluscomp.indexes.keys.grammar import parse_key
from cluscomp.indexes.segments.segment import Segment, segment_arrays
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.storage.parts import part_bytes, trained_bytes

MIN_PQ_ROWS = 256
ROWS_PER_LIST = 39
"""Rows a list below which k-means has too few to learn from (faiss warns at the same number)."""


def candidate_keys(n: int, dim: int) -> list[str]:
    """Keys for n rows of dim: floats, scalar and product quantizers, 4-bit codes with a rerank; each plain
    and behind about sqrt(n) lists; and principal components that are normalised again.
    """
    lists = _lists(n)
    keys = ["Flat", "SQfp16", "SQ8"]
    keys += [f"IVF{lists},{codec}" for codec in ("Flat", "SQfp16", "SQ8")] if lists else []
    if n < MIN_PQ_ROWS:
        return keys
    keys += [f"PCA{d},L2norm,SQ8" for d in (64, 128) if 2 * d <= dim]
    for size in (2, 4, 8, 16, 32):  # dimensions a code
        if dim % size:
            continue
        m = dim // size
        keys.append(f"OPQ{m},PQ{m}")
        if lists:
            keys.append(f"OPQ{m},IVF{lists},PQ{m}")
        if size <= 4:  # with fewer codes of 4 bits, too little is left for the rerank to choose from
            keys.append(f"OPQ{m},PQ{m}x4")
            keys += [f"IVF{lists},PQ{m}x4,Refine({codec})" for codec in ("SQ8", "SQfp16")] if lists else []
    return keys


def _lists(n: int) -> int:
    """The power of two nearest to sqrt(n), or 0 where lists would be too short for their centroids."""
    wanted = 2 ** round(math.log2(math.sqrt(max(n, 1))))
    return wanted if wanted >= 8 and n >= ROWS_PER_LIST * wanted else 0


def bytes_per_document(key: str, n: int, dim: int, metric: str, id_bytes: float) -> float:
    """Bytes of the arrays of an index of n documents over n; id_bytes: of one stored id."""
    pipeline = Pipeline(parse_key(key), dim, metric, 0)
    parts = part_bytes(Segment, segment_arrays(pipeline, n), n, id_bytes=id_bytes)
    return (sum(parts.values()) + sum(trained_bytes(pipeline).values())) / n
