"""What tools that take trained codebooks get of an index: arrays, and how rows and queries are prepared.

The tools store rows themselves and code them by these centroids and codebooks, so that nothing is trained
again; ids and codes are not copied. Rows pass here what the tool does not have: the normalisation of cosine
and L2norm, and transforms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cluscomp.errors import UsageError
from cluscomp.indexes.segments.rows import queries_of_dim, rows_of_dim
from cluscomp.indexes.stages.pipeline import Pipeline


@dataclass(frozen=True)
class Bridged:
    """Base of `ForLance` and `ForCuvs`."""

    pipeline: Pipeline = field(repr=False)
    projects: bool = field(repr=False)

    def rows(self, x: Any) -> np.ndarray:
        """What the tool stores for rows.

        Args:
            x: rows (n, dim) of the index, NumPy, torch or memory map.

        Returns:
            Rows (n, d) float32: scaled to length one where the index does so, behind its transforms where
            the tool has none; x itself otherwise.

        Raises:
            DimensionError, DTypeError, NonFiniteError, TooLargeError: the rows are wrong.
        """
        base = self.pipeline.base_rows(rows_of_dim(x, self.pipeline.dim, "rows", largest=None))
        return self.pipeline.project(base) if self.projects else base

    def queries(self, x: Any) -> np.ndarray:
        """What the tool is asked for queries.

        Args:
            x: queries (nq, dim) of the index, or (dim,) for one.

        Returns:
            Queries (nq, d) float32, as `rows` returns rows; a learned codec (RepCONC) maps them otherwise.

        Raises:
            DimensionError, DTypeError, NonFiniteError, TooLargeError: the queries are wrong.
        """
        pipeline = self.pipeline
        base, projected = pipeline.query_rows(queries_of_dim(x, pipeline.dim, pipeline.largest))
        return projected if self.projects else base

    @property
    def projection(self) -> np.ndarray | None:
        """(d, dim) float32: `rows` are x @ projection.T, of scaled x where the index scales; None: x.

        Raises UsageError where a transform is more than a matrix.
        """
        if not self.projects or not self.pipeline.steps:
            return None
        matrix = matrix_of(self.pipeline)
        if matrix is None:
            steps = ", ".join(str(step.spec) for step in self.pipeline.steps)
            raise UsageError(
                f"rows pass {steps}, which is more than a matrix that a file could hold; "
                "call to_lance() or to_cuvs() from Python, whose rows() and queries() do all of it"
            )
        return matrix


def matrix_of(pipeline: Pipeline) -> np.ndarray | None:
    """The product of all transforms (d, dim) float32; None where one is more than a matrix."""
    product = np.eye(pipeline.dim, dtype=np.float32)
    for step in pipeline.steps:
        if step.matrix is None:
            return None
        product = step.matrix @ product
    return product


def coarse_centroids(pipeline: Pipeline, tool: str) -> np.ndarray:
    """Centroids (nlist, d) float32 by which the tool chooses lists as the index does; without lists, one
    that is zero.

    Raises UsageError for lists that are not those of the nearest centroid.
    """
    partition = pipeline.partition
    if partition is None:
        return np.zeros((1, pipeline.codec.dim), dtype=np.float32)
    if not partition.plain_distances:
        raise UsageError(
            f"{tool} puts each row into the list of the nearest centroid, and the lists of {partition.spec} "
            f"have prices as well; build the index with IVF{partition.nlist}"
        )
    return partition.centroids


def codebooks_of(pipeline: Pipeline, tool: str, bits: tuple[int, ...]) -> np.ndarray:
    """Codebooks (m, 2**nbits, d / m) float32. bits: of codes that the tool has. UsageError without them."""
    codec, known = pipeline.codec, ", ".join(map(str, bits))
    codebooks = codec.shared_codebooks
    if codebooks is None:
        raise UsageError(
            f"{codec.spec} has no codebooks by which {tool} could both code and score rows; "
            "build the index with PQ"
        )
    nbits = codebooks.shape[1].bit_length() - 1
    if nbits not in bits:
        raise UsageError(
            f"{codec.spec} has codes of {nbits} bits, and {tool} has codes of {known} bits; "
            f"build the index with {', '.join(f'PQ{len(codebooks)}x{b}' for b in bits)}"
        )
    return codebooks
