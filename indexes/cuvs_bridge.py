"""to_cuvs: arrays for `cuvs.neighbors.ivf_pq.build_precomputed`, which then trains nothing.

cuVS keeps lists by centers in the space of the rows, and codes rotated residuals R (x - center): our
transforms are its rotation matrix. Its shapes (cuVS 26.8): pq_dim = m sub-spaces of pq_len = ceil(dim / m)
components, rot_dim = m * pq_len. Where our sub-spaces are shorter (fewer dimensions behind the transforms, or
m that does not divide dim), components that are zero in R and in every codeword fill them up. Column dim of
the centers holds their squared lengths, which cuVS adds to inner products when it chooses lists for l2.

Nothing here has run on a GPU: tests compare shapes with the documented ones, and scores that NumPy computes
from the arrays as cuVS describes its search with scores of the index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.errors import UsageError
from cluscomp.indexes.base import StoredIndex
from cluscomp.indexes.bridged import Bridged, coarse_centroids, codebooks_of, matrix_of

TOOL = "cuVS"
BITS = (4, 6, 8)
PADDED = 8
"""Centers have a multiple of so many columns."""


@dataclass(frozen=True)
class ForCuvs(Bridged):
    """Arguments of `cuvs.neighbors.ivf_pq.build_precomputed`, of which arrays still have to reach the GPU.

    `extend` adds `rows(x)`, and searches ask for `queries(q)`.

    Attributes:
        index_params: of `cuvs.neighbors.ivf_pq.IndexParams`.
        dim: of the rows that cuVS gets.
        arrays: float32 by the names of the arguments: pq_centers (pq_dim, pq_len, 2**pq_bits), centers
            (n_lists, dim_ext), centers_rot (n_lists, rot_dim) and rotation_matrix (rot_dim, dim).
    """

    index_params: dict[str, Any]
    dim: int
    arrays: dict[str, np.ndarray]


def to_cuvs(index: StoredIndex[Any]) -> ForCuvs:
    """Centroids, codebooks and rotation of an index; see `Index.to_cuvs`.

    Raises UsageError (a part that cuVS does not have), NotTrainedError.
    """
    pipeline = index.pipeline
    pipeline.require_trained()
    codebooks = codebooks_of(pipeline, TOOL, BITS)
    centroids = coarse_centroids(pipeline, TOOL)
    if pipeline.partition is not None and not pipeline.uses_residuals:
        raise UsageError(
            f"{pipeline.codec.spec} behind lists codes whole rows, and cuVS codes residuals; "
            "build the index without lists"
        )
    m, k, length = codebooks.shape
    nbits = k.bit_length() - 1
    if m * nbits % 8:
        raise UsageError(
            f"{pipeline.codec.spec} has codes of {m} * {nbits} bits a row, and cuVS takes whole bytes; "
            f"build the index with {m + 1 if nbits == 4 else -(-m // 4) * 4} groups"
        )
    matrix = matrix_of(pipeline)
    projects = matrix is None
    if matrix is None:
        matrix = np.eye(pipeline.codec.dim, dtype=np.float32)
    dim = matrix.shape[1]
    pq_len = -(-dim // m)
    params = {
        "n_lists": len(centroids),
        "metric": "sqeuclidean" if pipeline.score_metric == "l2" else "inner_product",
        "pq_bits": nbits,
        "pq_dim": m,
        "codebook_kind": "subspace",
        "add_data_on_build": False,
    }
    arrays = {
        "pq_centers": _filled(codebooks.transpose(0, 2, 1), 1, pq_len),
        "centers": _centers(centroids @ matrix),
        "centers_rot": _filled(centroids.reshape(-1, m, length), 2, pq_len).reshape(len(centroids), -1),
        "rotation_matrix": _filled(matrix.reshape(m, length, dim), 1, pq_len).reshape(-1, dim),
    }
    return ForCuvs(pipeline, projects, params, dim, arrays)


def _filled(array: np.ndarray, axis: int, length: int) -> np.ndarray:
    """Zeros behind the components of each sub-space along the axis."""
    missing = [(0, length - array.shape[axis] if i == axis else 0) for i in range(array.ndim)]
    return np.ascontiguousarray(np.pad(array, missing), dtype=np.float32)


def _centers(centroids: np.ndarray) -> np.ndarray:
    """(n, dim) -> (n, dim_ext): the squared lengths in column dim, then zeros."""
    n, dim = centroids.shape
    padded = np.zeros((n, (dim + PADDED) // PADDED * PADDED), dtype=np.float32)
    padded[:, :dim] = centroids
    padded[:, dim] = np.einsum("ij,ij->i", centroids, centroids)
    return padded
