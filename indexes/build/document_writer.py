"""Writing a segment of documents: all arrays are stored in order of adding, so that nothing is left to
arrange.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.indexes.build.segment_writer import SegmentWriter
from cluscomp.indexes.multivector.segment import document_arrays, encode_vectors, require_vectors
from cluscomp.indexes.segments.ids import IdColumn
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.pipeline import BLOCK_ROWS
from cluscomp.multivector import Ragged


class DocumentWriter(SegmentWriter):
    """Codes and lists of all vectors, and where the documents begin."""

    def start(self, n_vectors: int | None) -> None:
        self._assigner = self.list_assigner(n_vectors)
        self._vectors = 0

    def table(self) -> dict[str, ArraySpec]:
        return document_arrays(self.pipeline, 0, 0)

    def checked(self, block: Any) -> tuple[Ragged, int]:
        return block, len(block)

    @classmethod
    def vectors(cls, block: Ragged) -> np.ndarray:
        return block.rows

    def encode(self, block: Ragged, ids: IdColumn) -> Iterator[dict[str, np.ndarray]]:
        require_vectors(block, ids)
        for part in iter_blocks(block.rows.shape[0], BLOCK_ROWS):
            yield encode_vectors(self.pipeline, block.rows[part], self._assigner, self.tally)
        first = 0 if self._vectors == 0 else 1  # the offset before the first document is 0
        yield {"doc_offsets": block.offsets[first:] + self._vectors}
        self._vectors += int(block.offsets[-1])
