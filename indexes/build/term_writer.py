"""Writing a segment of terms: first in order of adding, then term by term, some terms at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.indexes.build.segment_writer import SegmentWriter
from cluscomp.indexes.segments.ids import IdColumn, TextIds
from cluscomp.indexes.sparse.named_terms import name_arrays
from cluscomp.indexes.sparse.pipeline import NO_NAMES, TermPipeline
from cluscomp.indexes.sparse.postings import (
    CHUNK_ARRAYS,
    POSTING_ARRAYS,
    chunked,
    number_dtype,
    starts_of,
    term_ranges,
)
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.storage.stream import ArrayStream
from cluscomp.terms import TermRows

LISTS, ROWS, WEIGHTS = ".lists", ".rows", ".weights"
SORTED_BYTES = 64
"""Memory of a posting while some terms are put in order."""
_READ = 1 << 18


class TermWriter(SegmentWriter):
    """Postings of terms. All blocks must share their names, which those of the source do."""

    pipeline: TermPipeline

    def start(self, n_vectors: int | None) -> None:
        self._weight = self.pipeline.terms.dtype
        self._extra: TextIds = NO_NAMES
        self._numbers: tuple[Any, np.ndarray] | None = None

    def table(self) -> dict[str, ArraySpec]:
        return {
            LISTS: ArraySpec("<i4", (0,)),
            ROWS: ArraySpec("<i8", (0,)),
            WEIGHTS: ArraySpec(self._weight, (0,)),
        }

    def checked(self, block: Any) -> tuple[TermRows, int]:
        return block, len(block)

    def encode(self, block: TermRows, ids: IdColumn) -> Iterator[dict[str, np.ndarray]]:
        lengths = np.repeat(block.totals, np.diff(block.offsets))
        yield {
            LISTS: self._list_numbers(block)[block.numbers],
            ROWS: block.rows + self.rows,
            WEIGHTS: self.pipeline.terms.stored(block.weights, lengths),
        }

    def _list_numbers(self, block: TermRows) -> np.ndarray:
        """Number of each name of the source: those of training, then the others in order."""
        if self._numbers is None or self._numbers[0] is not block.names:
            numbers, self._extra = self.pipeline.numbered_names(block.names)
            self._numbers = block.names, numbers
        return self._numbers[1]

    def arrange(self, specs: dict[str, ArraySpec], block_bytes: int) -> dict[str, ArraySpec]:
        counts, weight = self._counts(), self._weight
        dtypes = {"rows": "|u1", "weights": weight, "chunk_numbers": number_dtype(self.rows),
                  "chunk_sizes": "|u1", "chunk_maxima": weight}  # fmt: skip
        chunk_counts = np.zeros(len(counts), dtype=np.int64)
        with self._arranging({name: dtypes[name] for name in (*POSTING_ARRAYS, *CHUNK_ARRAYS)}) as streams:
            for terms in term_ranges(counts, max(1, block_bytes // SORTED_BYTES)):
                arrays, owners = chunked(*self._gathered(terms), self.rows)
                for name, array in arrays.items():
                    streams[name].append(array)
                chunk_counts += np.bincount(owners, minlength=len(counts))
            arranged = {name: stream.finish() for name, stream in streams.items()}
        total = int(counts.sum())
        starts = {"list_chunks": starts_of(chunk_counts, total), "list_starts": starts_of(counts, total)}
        self._finish_arranging(starts)
        return arranged

    def _counts(self) -> np.ndarray:
        """Rows that hold each term."""
        n_lists = self.pipeline.terms.n_terms + len(self._extra)
        counts = np.zeros(n_lists, dtype=np.int64)
        for block in self._blocks():
            counts += np.bincount(self.streams[LISTS].read(block), minlength=n_lists)
        return counts

    @contextmanager
    def _arranging(self, dtypes: Mapping[str, str]) -> Iterator[dict[str, ArrayStream]]:
        """New streams, closed in the end."""
        streams = {name: ArrayStream(self.path(name), dtype, ()) for name, dtype in dtypes.items()}
        try:
            yield streams
        finally:
            for stream in streams.values():
                stream.close()

    def _finish_arranging(self, small: Mapping[str, np.ndarray]) -> None:
        """Write arrays that are in memory, and the names; remove what is in order of adding."""
        for name, array in {**small, **name_arrays(self._extra)}.items():
            self.drafts[name] = self.folder.write_array(array, array.dtype.str)
        for name in (LISTS, ROWS, WEIGHTS):
            self.streams.pop(name).remove()

    def _blocks(self) -> Iterator[slice]:
        return iter_blocks(self.streams[LISTS].rows, _READ)

    def _gathered(self, terms: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Term, row and weight of the postings of some terms, in order, from one pass over the streams."""
        nothing = np.empty(0, dtype=np.int64)
        parts = [(nothing, nothing, nothing.astype(self._weight))]
        for block in self._blocks():
            lists = self.streams[LISTS].read(block)
            here = np.flatnonzero((lists >= terms.start) & (lists < terms.stop))
            if here.size:
                rows, weights = (self.streams[name].read(block)[here] for name in (ROWS, WEIGHTS))
                parts.append((lists[here].astype(np.int64), rows, weights))
        lists, rows, weights = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(lists, kind="stable")  # rows ascend already
        return lists[order], rows[order], weights[order]

    @classmethod
    def temporary_bytes(cls, pipeline: Pipeline, n_vectors: int) -> int:
        """Term, row and weight of each posting in order of adding."""
        return n_vectors * (11 + pipeline.codec.row_bytes)

    @classmethod
    def finishing_bytes(cls, pipeline: Pipeline, n_vectors: int, block_bytes: int) -> int:
        """Some terms at a time."""
        return min(block_bytes, n_vectors * SORTED_BYTES) + 32 * _READ
