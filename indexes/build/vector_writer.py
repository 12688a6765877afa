"""Writing a segment of single vectors.

Ids and finer codes are stored in order of adding and streamed at once. Codes of a partitioned index belong
list by list, and the sizes of the lists are known only at the end: the first pass writes codes and lists in
order of adding to temporary files; the second reads them back in blocks, sorts each block by list, and writes
each run where its list continues. Memory is bounded by the block size, whatever the number of rows (costs.py
counts it).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np

from cluscomp.arrays import as_rows, iter_blocks
from cluscomp.bits import position_dtype
from cluscomp.errors import DimensionError
from cluscomp.indexes.build.finishing import arrange_file, write_prescreen
from cluscomp.indexes.build.segment_writer import SegmentWriter
from cluscomp.indexes.segments.ids import IdColumn
from cluscomp.indexes.segments.segment import encode_block, list_offsets
from cluscomp.indexes.stages.codec import CODES
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.pipeline import BLOCK_ROWS, Pipeline
from cluscomp.indexes.stages.prescreen import PRESCREEN_ARRAYS, prescreen_block_rows, prescreen_bytes
from cluscomp.indexes.storage.stream import GroupedFile

LABELS = ".labels"
# Of a row while its list is sorted: number of the list; order, place and position.
LABEL_BYTES, ORDER_BYTES = 4, 8


class VectorWriter(SegmentWriter):
    """Codes, grouped by list where there are lists, finer codes, and the prescreen of float rows."""

    def start(self, n_vectors: int | None) -> None:
        self._counts = np.zeros(self.pipeline.spec.nlist, dtype=np.int64)
        self._assigner = self.list_assigner(n_vectors)

    def table(self) -> dict[str, ArraySpec]:
        streams = {self._stream(name): array.spec(0) for name, array in self.pipeline.row_arrays().items()}
        return streams if self._assigner is None else streams | {LABELS: ArraySpec("<i4", (0,))}

    def _stream(self, name: str) -> str:
        """Stream of an array of codes: a temporary one where they have to be grouped by list."""
        return f".{name}" if self._assigner is not None and name in self.pipeline.codec.arrays else name

    def checked(self, block: Any) -> tuple[np.ndarray, int]:
        rows = as_rows(block, check_finite=False)
        if rows.shape[1] != self.pipeline.dim:
            raise DimensionError(f"index has dim {self.pipeline.dim}, rows have dim {rows.shape[1]}")
        return rows, rows.shape[0]

    def encode(self, block: np.ndarray, ids: IdColumn) -> Iterator[dict[str, np.ndarray]]:
        for part in iter_blocks(block.shape[0], BLOCK_ROWS):
            encoded = encode_block(self.pipeline, block[part], ids, part.start, self._assigner, self.tally)
            values = {self._stream(name): array for name, array in encoded.arrays().items()}
            if encoded.labels is not None:
                values[LABELS] = encoded.labels
                self._counts += np.bincount(encoded.labels, minlength=self._counts.shape[0])
            yield values

    def arrange(self, specs: dict[str, ArraySpec], block_bytes: int) -> dict[str, ArraySpec]:
        names, offsets = self.pipeline.row_arrays(), np.array([0, self.rows], dtype=np.int64)
        arrays = {name: specs[self._stream(name)] for name in names}
        if self._assigner is not None:
            arrays["positions"] = self._group_lists(arrays, block_bytes)
            offsets = list_offsets(self._counts)
            self.drafts["offsets"] = self.folder.write_array(offsets, "<i8")
        arrange_file(self.pipeline.codec, self.path(CODES), arrays[CODES], offsets, block_bytes)
        if self.pipeline.spec.has_prescreen:
            paths = {name: self.path(name) for name in PRESCREEN_ARRAYS}
            arrays |= write_prescreen(self.streams[CODES], paths, self.pipeline.score_metric, block_bytes)
        return arrays

    @classmethod
    def temporary_bytes(cls, pipeline: Pipeline, n_vectors: int) -> int:
        """Codes and lists in order of adding."""
        return 0 if pipeline.partition is None else n_vectors * (pipeline.codec.row_bytes + LABEL_BYTES)

    @classmethod
    def finishing_bytes(cls, pipeline: Pipeline, n_vectors: int, block_bytes: int) -> int:
        """The passes read block_bytes of codes at a time; they group codes by list, bring 4-bit codes into
        storage order (stages/code_layout.py) and make the prescreen.
        """
        width, dim = pipeline.codec.row_bytes, pipeline.codec.dim
        rows = min(n_vectors, max(1, block_bytes // width))
        if pipeline.spec.has_prescreen:
            rows = min(n_vectors, prescreen_block_rows(dim, block_bytes))
            return rows * width + 2 * prescreen_bytes(rows, dim)  # the last is there until the next is made
        if pipeline.partition is None:
            return rows * width
        return rows * (2 * width + LABEL_BYTES + ORDER_BYTES * 3) + pipeline.spec.nlist * ORDER_BYTES * 4

    def _group_lists(self, specs: dict[str, ArraySpec], block_bytes: int) -> ArraySpec:
        """Second pass: codes from order of adding to list order, and the positions that say so.

        specs: of the arrays of codes, for all rows.
        """
        names = list(self.pipeline.codec.arrays)
        positions = ArraySpec(position_dtype(self.rows), (self.rows,))
        with ExitStack() as files:

            def create(name: str, spec: ArraySpec) -> GroupedFile:
                file = files.enter_context(self.folder.create(self.file(name)))
                return GroupedFile(file, spec)

            grouped = {name: create(name, specs[name]) for name in names}
            numbered = create("positions", positions)
            next_row = list_offsets(self._counts)[:-1].copy()
            for block in iter_blocks(self.rows, max(1, block_bytes // self.pipeline.codec.row_bytes)):
                labels = self.streams[LABELS].read(block)
                order = np.argsort(labels, kind="stable")
                lists, starts = np.unique(labels[order], return_index=True)
                for name, file in grouped.items():
                    file.write_runs(self.streams[f".{name}"].read(block)[order], starts, next_row[lists])
                numbered.write_runs((order + block.start).astype(positions.dtype), starts, next_row[lists])
                next_row[lists] += np.diff(starts, append=len(order))
        for stream in (LABELS, *(f".{name}" for name in names)):
            self.streams.pop(stream).remove()
        return positions
