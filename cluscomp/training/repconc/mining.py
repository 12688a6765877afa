"""Hard negatives: what the index finds and the judgements do not call relevant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.progress import Progress, Ticker
from cluscomp.quantization.rotation import rotate_rows
from cluscomp.training.repconc.codec import TrainableCodec
from cluscomp.training.repconc.live_index import LiveIndex

_QUERIES_PER_BLOCK = 256


def hard_negatives(
    documents: np.ndarray,
    queries: np.ndarray,
    positives: Sequence[Sequence[int]],
    codec: TrainableCodec,
    nbits: int,
    k: int,
    progress: Progress | None = None,
) -> np.ndarray:
    """The best k documents of each query (q, k) int64 in a product-quantized index, without its positives.

    documents: (n, d), queries: (q, d). Rows with fewer than k such documents end in -1.
    """
    rotation, centroids = codec.rotation.cpu().numpy(), codec.centroid_array()
    index = LiveIndex(rotate_rows(documents, rotation), centroids, nbits)
    found = np.full((len(queries), k), -1, dtype=np.int64)
    most = k + max(map(len, positives), default=0)
    ticker = Ticker(progress, "negatives", len(queries))
    for block in iter_blocks(len(queries), _QUERIES_PER_BLOCK):
        _, hits = index.search(queries[block] @ rotation.T, centroids, most)
        for query, row in zip(range(block.start, block.stop), hits, strict=True):
            kept = row[~np.isin(row, positives[query])][:k]
            found[query, : kept.size] = kept
        ticker.advance(block.stop - block.start)
    return found
