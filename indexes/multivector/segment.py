"""Segments of a multi-vector index: what one `add` leaves behind, by document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks, require_finite
from cluscomp.errors import CorruptIndexError, InputError
from cluscomp.indexes.segments.compacting import live_column, live_mask
from cluscomp.indexes.segments.faults import lists_fault
from cluscomp.indexes.segments.ids import IdColumn
from cluscomp.indexes.segments.numbered import NumberedVectors
from cluscomp.indexes.segments.segment import list_offsets
from cluscomp.indexes.segments.stored import Shapes, StoredRows, StoredSegment, finer_codes, stored_finer
from cluscomp.indexes.segments.tombstones import Tombstones
from cluscomp.indexes.stages.codec import CODES, Codes
from cluscomp.indexes.stages.ivf import ListAssigner
from cluscomp.indexes.stages.kernel_codec import kernel_codec
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.pipeline import BLOCK_ROWS, Pipeline
from cluscomp.indexes.stages.tally import Tally, combined
from cluscomp.multivector import Ragged
from cluscomp.progress import Progress, Ticker

UINT16_LISTS = 2**16


@dataclass(frozen=True)
class DocumentSegment(StoredSegment):
    """Documents added together; vectors stand document by document, in order of adding.

    codes: of all N vectors. doc_offsets: (n + 1,) int64; document i has vectors doc_offsets[i] to
    doc_offsets[i + 1]. lists: (N,) uint16 or int32 list of each vector, None without partition. refine:
    finer codes, or None. kernels: the documents, and their fixed-dimensional encodings, as kernels read
    them, made when first used; segments that differ only in what is deleted share them.
    """

    parts: ClassVar[Mapping[str, str]] = {
        "codes": "codes",
        "lists": "list_numbers",
        "doc_offsets": "doc_offsets",
        "refine": "refine",
    }
    notes: ClassVar[Mapping[str, str]] = {
        "list_numbers": "list of each vector",
        "doc_offsets": "where the vectors of each document begin",
    }

    codes: Codes
    doc_offsets: np.ndarray
    lists: np.ndarray | None
    refine: Codes | None
    ids: IdColumn
    deleted: Tombstones | None = None
    files: Mapping[str, Any] = field(default_factory=dict)
    kernels: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def n_vectors(self) -> int:
        """Vectors stored, those of deleted documents included."""
        return int(self.codes[CODES].shape[0])

    def arrays(self) -> dict[str, np.ndarray]:
        """codes, doc_offsets, and lists and refine where there are any."""
        lists = {} if self.lists is None else {"lists": self.lists}
        return {**self.codes, **lists, "doc_offsets": self.doc_offsets, **stored_finer(self.refine)}

    @classmethod
    def new_arrays(cls, pipeline: Pipeline, n_rows: int, n_vectors: int) -> dict[str, ArraySpec]:
        return document_arrays(pipeline, n_rows, n_vectors)

    @classmethod
    def listed_arrays(cls, pipeline: Pipeline, n_rows: int, listed: Shapes) -> dict[str, ArraySpec]:
        """`document_arrays`; the listing says how many vectors the documents have together."""
        codes = listed.get(CODES)
        return document_arrays(pipeline, n_rows, codes[0] if codes else 0)

    @classmethod
    def from_stored(cls, pipeline: Pipeline, rows: StoredRows) -> DocumentSegment:
        arrays = rows.arrays
        offsets = rows.offsets("doc_offsets", arrays["doc_offsets"], arrays[CODES].shape[0])
        return cls(
            codes={name: arrays[name] for name in pipeline.codec.arrays},
            doc_offsets=offsets,
            lists=arrays.get("lists"),
            refine=finer_codes(pipeline, arrays),
            ids=rows.ids,
            deleted=rows.deleted,
            files=rows.files,
        )

    @classmethod
    def merged(
        cls, pipeline: Pipeline, segments: Sequence[DocumentSegment], ticker: Ticker
    ) -> DocumentSegment:
        lengths = np.concatenate([np.diff(part.doc_offsets)[live_mask(part)] for part in segments])
        ids, offsets = live_column(segments), list_offsets(lengths)
        specs, first = document_arrays(pipeline, len(ids), int(offsets[-1])), 0
        arrays = {name: np.empty(spec.shape, spec.dtype) for name, spec in specs.items()}
        for segment in segments:
            first += segment.move_vectors(arrays, first)
            ticker.advance(segment.n_rows)
        codes = {name: arrays[name] for name in pipeline.codec.arrays}
        left = [int(np.diff(part.doc_offsets)[live_mask(part)].sum()) for part in segments]
        figures = combined([segment.statistics for segment in segments], left)
        finer = finer_codes(pipeline, arrays)
        return cls(codes, offsets, arrays.get("lists"), finer, ids, statistics=figures)

    def move_vectors(self, arrays: Mapping[str, np.ndarray], first: int) -> int:
        """Copy the vectors of documents that are left into arrays, from row `first` on; returns their
        number.
        """
        kept = np.flatnonzero(np.repeat(live_mask(self), np.diff(self.doc_offsets)))
        own = self.arrays()
        del own["doc_offsets"]
        for block in iter_blocks(len(kept), BLOCK_ROWS):
            for name, values in own.items():
                arrays[name][first + block.start : first + block.stop] = values[kept[block]]
        return len(kept)

    def faults(self, pipeline: Pipeline) -> Iterator[tuple[str, str]]:
        """Those of every kind, lists that do not exist, and documents without vectors."""
        yield from super().faults(pipeline)
        fault = None if self.lists is None else lists_fault(self.lists, pipeline.spec.nlist)
        if fault is not None:
            yield "lists", fault
        empty = np.flatnonzero(np.diff(self.doc_offsets) == 0)
        if empty.size:
            yield "doc_offsets", f"document {empty[0]} has 0 vectors ({empty.size} documents have none)"

    def vectors(self, pipeline: Pipeline) -> NumberedVectors:
        """Its vectors, document by document."""
        self.check_lists(pipeline.spec.nlist)
        return NumberedVectors(pipeline, self.n_vectors, self.codes, lists=self.lists, finer=self.refine)

    def relisted(
        self, pipeline: Pipeline, numbers: np.ndarray, lists: np.ndarray, codes: Codes
    ) -> DocumentSegment:
        changed = {name: np.array(array) for name, array in self.codes.items()}
        for name, values in codes.items():
            changed[name][numbers] = values
        assert self.lists is not None
        moved = np.array(self.lists)
        moved[numbers] = lists
        return DocumentSegment(
            changed, self.doc_offsets, moved, self.refine, self.ids, self.deleted, statistics=self.statistics
        )

    def vector_offsets(self) -> np.ndarray:
        """doc_offsets."""
        return self.doc_offsets

    def list_sizes(self, nlist: int) -> np.ndarray:
        """Vectors (nlist,) of each list, those of deleted documents included."""
        self.check_lists(nlist)
        lists = np.zeros(0, dtype=np.int64) if self.lists is None else self.lists
        return np.bincount(lists, minlength=nlist)

    def searchable(self, pipeline: Pipeline) -> native.Documents:
        """The documents as kernels read them; made when first used. pipeline: the trained one of the
        index.
        """
        made: native.Documents | None = self.kernels.get("codes")
        if made is None:
            self.check_lists(pipeline.spec.nlist)
            partition = pipeline.partition
            made = native.Documents(
                kernel_codec(pipeline.codec).stored(self.codes),
                self.doc_offsets,
                lists=self.lists,
                coarse=None if partition is None else partition.centroids,
                residual=pipeline.uses_residuals,
                unit=pipeline.decodes_to_unit,
            )
            self.kernels["codes"] = made  # threads may do this at the same time, to the same end
        return made

    def refined(self, pipeline: Pipeline) -> native.Documents:
        """The documents in the finer codes of the rerank."""
        made: native.Documents | None = self.kernels.get("refine")
        if made is None:
            assert pipeline.refine is not None
            assert self.refine is not None
            made = native.Documents(kernel_codec(pipeline.refine).stored(self.refine), self.doc_offsets)
            self.kernels["refine"] = made
        return made

    def finest(self, pipeline: Pipeline) -> native.Documents:
        """The documents in the codes that decide the order of hits."""
        return self.searchable(pipeline) if pipeline.refine is None else self.refined(pipeline)

    def check_lists(self, nlist: int) -> None:
        """Raise CorruptIndexError for a list that does not exist: lists in a file are not trusted."""
        if self.lists is not None and self._largest_list >= nlist:
            raise CorruptIndexError(
                f"a vector is in list {self._largest_list}, but the index has {nlist} lists: the index is "
                "damaged; restore a copy or rebuild it"
            )

    @cached_property
    def _largest_list(self) -> int:
        assert self.lists is not None
        low, high = int(self.lists.min(initial=0)), int(self.lists.max(initial=0))
        return high if low >= 0 else 2**31


def list_dtype(nlist: int) -> str:
    """uint16 while it suffices: lists are 2 of the bytes that each vector costs."""
    return "<u2" if nlist <= UINT16_LISTS else "<i4"


def document_arrays(pipeline: Pipeline, n_documents: int, n_vectors: int) -> dict[str, ArraySpec]:
    """Dtype and shape of the arrays of a segment, without ids and deletions."""
    specs = {name: array.spec(n_vectors) for name, array in pipeline.row_arrays().items()}
    specs["doc_offsets"] = ArraySpec("<i8", (n_documents + 1,))
    if pipeline.partition is not None:
        specs["lists"] = ArraySpec(list_dtype(pipeline.partition.nlist), (n_vectors,))
    return specs


def encode_documents(
    pipeline: Pipeline, documents: Ragged, ids: IdColumn, sizes: np.ndarray, progress: Progress | None = None
) -> DocumentSegment:
    """Encode pooled documents, block by block, into a segment in memory. All values are finite.

    sizes: (nlist,) vectors that lie in the lists already. progress(stage, done, total) counts vectors.
    Raises InputError naming the id of a document without vectors.
    """
    require_vectors(documents, ids)
    specs = document_arrays(pipeline, len(documents), documents.rows.shape[0])
    arrays = {name: np.empty(spec.shape, spec.dtype) for name, spec in specs.items()}
    arrays["doc_offsets"][:] = documents.offsets
    list_assigner, tally = pipeline.list_assigner(sizes, documents.rows.shape[0]), Tally(pipeline)
    ticker = Ticker(progress, "codes", documents.rows.shape[0])
    for block in iter_blocks(documents.rows.shape[0], BLOCK_ROWS):
        for name, values in encode_vectors(pipeline, documents.rows[block], list_assigner, tally).items():
            arrays[name][block] = values
        ticker.advance(block.stop - block.start)
    codes = {name: arrays[name] for name in pipeline.codec.arrays}
    return DocumentSegment(
        codes,
        arrays["doc_offsets"],
        arrays.get("lists"),
        finer_codes(pipeline, arrays),
        ids,
        statistics=tally.statistics(),
    )


def encode_vectors(
    pipeline: Pipeline, rows: np.ndarray, assigner: ListAssigner | None, tally: Tally | None = None
) -> dict[str, np.ndarray]:
    """Codes, lists and finer codes, as they are stored, of a block of rows (n, dim) of kernel dtype."""
    encoded = pipeline.encode(rows, assigner, tally)
    arrays = encoded.arrays()
    if encoded.labels is not None:
        arrays["lists"] = encoded.labels.astype(list_dtype(pipeline.spec.nlist))
    return arrays


def require_vectors(documents: Ragged, ids: IdColumn) -> None:
    """Raise InputError naming the first document that has no vectors: no query could find it."""
    empty = np.flatnonzero(documents.lengths == 0)
    if empty.size:
        name = ids.take(empty[:1]).tolist()[0]
        raise InputError(
            f"document {empty[0]} (id {name!r}) has 0 vectors ({empty.size} of {len(documents)} documents "
            "have none); leave out empty documents"
        )


def require_finite_documents(documents: Ragged, ids: IdColumn, largest: float) -> None:
    """Raise NonFiniteError or TooLargeError naming the document of the first vector that holds NaN, infinity
    or a magnitude above `largest`.
    """
    bad = native.first_row_beyond(documents.rows, largest) if documents.rows.shape[0] else -1
    if bad >= 0:
        document = int(np.searchsorted(documents.offsets, bad, side="right")) - 1
        name = ids.take(np.array([document])).tolist()
        require_finite(
            documents.rows[bad : bad + 1], name="vectors", ids=name, first_row=bad, largest=largest
        )
