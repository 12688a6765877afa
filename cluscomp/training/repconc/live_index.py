"""An index whose codes are frozen and whose centroids change: searched in every step of training."""

from __future__ import annotations

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks
from cluscomp.clustering.blocks import block_rows
from cluscomp.quantization.codes import code_size, unpack_codes


class LiveIndex:
    """Product codes of rotated documents, scanned with whatever centroids the caller has now.

    rotated: (n, d_out) float32. centroids: (m, 2**nbits, d_out/m) float32, which give the codes.
    Attributes: codes (n, m) uint8, the centroid numbers.
    """

    def __init__(self, rotated: np.ndarray, centroids: np.ndarray, nbits: int) -> None:
        book = native.PqCodebook(np.ascontiguousarray(centroids), nbits)
        self._nbits = nbits
        self._packed = np.empty((rotated.shape[0], code_size(centroids.shape[0], nbits)), np.uint8)
        for block in iter_blocks(rotated.shape[0], block_rows(rotated.shape[1], 1 << nbits)):
            self._packed[block] = native.pq_encode(rotated[block], book, nbits)
        self.codes = unpack_codes(self._packed, centroids.shape[0], nbits)

    def search(self, queries: np.ndarray, centroids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores (q, k) float32 and rows (q, k) int64 of the best documents by inner product, best first.

        queries: (q, d_out) float32, rotated. k is cut to the number of documents.
        """
        n = self._packed.shape[0]
        book = native.PqCodebook(np.ascontiguousarray(centroids), self._nbits)
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        codes, lists = native.Codes.pq(self._packed, book), native.Lists(np.array([0, n]))
        return native.scan(codes, lists, queries, None, min(k, n), "ip")
