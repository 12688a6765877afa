"""Writing clustered postings: rows as they come, then blocks and summaries, some terms at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cluscomp.indexes.build.term_writer import LISTS, ROWS, WEIGHTS, TermWriter
from cluscomp.indexes.segments.ids import IdColumn
from cluscomp.indexes.sparse.blocks import (
    Divider,
    row_starts,
    streamed_dtypes,
    term_dtype,
)
from cluscomp.indexes.sparse.clustered_segment import spec_of
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.storage.stream import map_array
from cluscomp.terms import TermRows

_DIVIDED_BYTES = 192
"""Memory of a posting while its term is put in order and divided."""


class ClusteredTermWriter(TermWriter):
    """The same streams; terms ascend within a row."""

    def encode(self, block: TermRows, ids: IdColumn) -> Iterator[dict[str, np.ndarray]]:
        for piece in super().encode(block, ids):
            order = np.lexsort((piece[LISTS], piece[ROWS]))
            yield {name: array[order] for name, array in piece.items()}

    def arrange(self, specs: dict[str, ArraySpec], block_bytes: int) -> dict[str, ArraySpec]:
        counts = self._counts()
        rows = self._write_rows(len(counts))
        arranged = {name: ArraySpec(array.dtype.str, array.shape) for name, array in rows.items()}
        del arranged["row_starts"]
        divider = Divider(spec_of(self.pipeline), self.pipeline.seed, rows, counts)
        with self._arranging(streamed_dtypes(len(counts))) as streams:
            for piece in divider.pieces(self._gathered, max(1, block_bytes // _DIVIDED_BYTES)):
                for name, array in piece.items():
                    streams[name].append(array)
            arranged |= {name: stream.finish() for name, stream in streams.items()}
        self._finish_arranging({"row_starts": rows["row_starts"], **divider.small()})
        return arranged

    def _write_rows(self, n_lists: int) -> dict[str, np.ndarray]:
        """Write terms and weights of all rows, and map them."""
        dtypes = {"row_terms": term_dtype(n_lists), "row_weights": self._weight}
        counts = np.zeros(self.rows, dtype=np.int64)
        with self._arranging(dtypes) as streams:
            for block in self._blocks():
                counts += np.bincount(self.streams[ROWS].read(block), minlength=self.rows)
                streams["row_terms"].append(self.streams[LISTS].read(block).astype(dtypes["row_terms"]))
                streams["row_weights"].append(self.streams[WEIGHTS].read(block))
            specs = {name: stream.finish() for name, stream in streams.items()}
        mapped = {name: map_array(self.path(name), spec) for name, spec in specs.items()}
        return {"row_starts": row_starts(counts), **mapped}

    @classmethod
    def finishing_bytes(cls, pipeline: Pipeline, n_vectors: int, block_bytes: int) -> int:
        """Rows are mapped; some terms at a time are in memory, and where blocks begin."""
        return super().finishing_bytes(pipeline, n_vectors, block_bytes) + 2 * n_vectors
