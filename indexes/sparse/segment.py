"""Rows of weighted terms that were added together: an inverted file, and the names of terms that are new in
it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from cluscomp import native
from cluscomp.indexes.segments.compacting import live_column
from cluscomp.indexes.segments.ids import IdColumn
from cluscomp.indexes.segments.stored import Shapes, StoredRows
from cluscomp.indexes.segments.tombstones import Tombstones
from cluscomp.indexes.sparse.checking import list_faults
from cluscomp.indexes.sparse.named_terms import (
    BLOCK_POSTINGS,
    NAMES,
    Entries,
    NamedTerms,
    all_names,
    listed_names,
    name_arrays,
    new_rows,
    no_name_specs,
    stored_weights,
)
from cluscomp.indexes.sparse.pipeline import NumberedRows, TermPipeline
from cluscomp.indexes.sparse.postings import (
    ARRAYS,
    CHUNK_ARRAYS,
    POSTING_ARRAYS,
    chunked,
    estimated_specs,
    inverted,
    posting_specs,
    read_lists,
    starts_of,
    term_ranges,
)
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.progress import Ticker


@dataclass(frozen=True)
class TermSegment(NamedTerms):
    """postings: the arrays of postings.py by name."""

    parts: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(POSTING_ARRAYS, "codes"),
        **dict.fromkeys(CHUNK_ARRAYS, "chunks"),
        **dict.fromkeys(("list_chunks", "list_starts", *NAMES), "terms"),
    }
    notes: ClassVar[Mapping[str, str]] = {
        "codes": "row and weight of each posting",
        "chunks": "postings of 256 rows: which, how many, largest weight",
        "terms": "where the postings of each term begin; names of terms that training has not seen",
        "codebooks": "words of the build, and how many documents hold each",
    }

    postings: Mapping[str, np.ndarray]
    terms: np.ndarray
    term_offsets: np.ndarray
    ids: IdColumn
    deleted: Tombstones | None = None
    files: Mapping[str, Any] = field(default_factory=dict)

    def arrays(self) -> dict[str, np.ndarray]:
        return {**self.postings, "terms": self.terms, "term_offsets": self.term_offsets}

    @property
    def n_postings(self) -> int:
        return len(self.postings["rows"])

    @property
    def scorer(self) -> native.Postings:
        return self.native

    def entries(self, rows: np.ndarray) -> Entries:
        """Reads all postings once."""
        place = np.full(self.n_rows, -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        counts = np.diff(self.postings["list_starts"].astype(np.int64))
        for lists in term_ranges(counts, BLOCK_POSTINGS):
            owners, found, stored = read_lists(self.postings, lists)
            here = np.flatnonzero(place[found] >= 0)
            yield place[found[here]], owners[here] + lists.start, stored[here]

    @cached_property
    def native(self) -> native.Postings:
        """The inverted file as kernels read it."""
        arrays: dict[str, Any] = dict(self.postings)
        starts = {name: arrays[name].astype(np.int64) for name in ("list_chunks", "list_starts")}
        return native.Postings(**(arrays | starts), n_rows=self.n_rows)

    def faults(self, pipeline: Pipeline) -> Iterator[tuple[str, str]]:
        yield from super().faults(pipeline)
        yield from list_faults(self.postings, self.n_rows)

    @classmethod
    def new_arrays(cls, pipeline: Pipeline, n_rows: int, n_vectors: int) -> dict[str, ArraySpec]:
        """n_vectors: postings. What is not known beforehand is estimated."""
        assert isinstance(pipeline, TermPipeline)
        specs = estimated_specs(n_rows, n_vectors, pipeline.terms.dtype)
        return specs | no_name_specs()

    @classmethod
    def listed_arrays(cls, pipeline: Pipeline, n_rows: int, listed: Shapes) -> dict[str, ArraySpec]:
        assert isinstance(pipeline, TermPipeline)
        postings, chunks = ((listed.get(name) or (0,))[0] for name in ("rows", "chunk_numbers"))
        new, names = listed_names(listed)
        n_lists = pipeline.terms.n_terms + new
        return posting_specs(n_rows, postings, chunks, n_lists, pipeline.terms.dtype) | names

    @classmethod
    def from_stored(cls, pipeline: Pipeline, rows: StoredRows) -> TermSegment:
        postings = {name: rows.arrays[name] for name in ARRAYS}
        rows.offsets("list_chunks", postings["list_chunks"], len(postings["chunk_sizes"]))
        rows.offsets("list_starts", postings["list_starts"], len(postings["rows"]))
        offsets = rows.offsets("term_offsets", rows.arrays["term_offsets"], len(rows.arrays["terms"]))
        kept = offsets.astype(np.int32)
        return cls(postings, rows.arrays["terms"], kept, rows.ids, rows.deleted, rows.files)

    @classmethod
    def merged(cls, pipeline: Pipeline, segments: Sequence[TermSegment], ticker: Ticker) -> TermSegment:
        assert isinstance(pipeline, TermPipeline)
        table, owners = all_names(pipeline, segments)
        maps, n_rows = new_rows(segments)
        postings = _merged_postings(segments, owners, maps, n_rows, pipeline.terms.n_terms + len(table))
        ticker.advance(sum(segment.n_rows for segment in segments))
        return cls(postings, **name_arrays(table), ids=live_column(segments))

    @classmethod
    def encoded(cls, pipeline: TermPipeline, numbered: NumberedRows, ids: IdColumn) -> TermSegment:
        rows, n_lists = numbered.rows, pipeline.terms.n_terms + len(numbered.extra)
        weights = stored_weights(pipeline, numbered)
        postings = inverted(numbered.lists, rows.rows, weights, n_lists, len(rows))
        return cls(postings, **name_arrays(numbered.extra), ids=ids)


def _merged_postings(
    segments: Sequence[TermSegment],
    owners: list[np.ndarray],
    maps: list[np.ndarray],
    n_rows: int,
    n_lists: int,
) -> dict[str, np.ndarray]:
    """Postings of all segments, some terms at a time. owners: new number of each term, ascending. maps: of
    rows.
    """
    counts = np.zeros(n_lists, dtype=np.int64)
    for segment, own in zip(segments, owners, strict=True):
        counts[own] += np.diff(segment.postings["list_starts"].astype(np.int64))
    parts = [chunked(counts[:0], counts[:0], segments[0].postings["weights"][:0], n_rows)[0]]
    chunk_counts, list_counts = np.zeros(n_lists, dtype=np.int64), np.zeros(n_lists, dtype=np.int64)
    for terms in term_ranges(counts, BLOCK_POSTINGS):
        found = [_moved(*item, terms) for item in zip(segments, owners, maps, strict=True)]
        lists, rows, weights = (np.concatenate(column) for column in zip(*found, strict=True))
        order = np.lexsort((rows, lists))
        arrays, chunk_lists = chunked(lists[order], rows[order], weights[order], n_rows)
        parts.append(arrays)
        list_counts += np.bincount(lists, minlength=n_lists)
        chunk_counts += np.bincount(chunk_lists, minlength=n_lists)
    postings = {
        name: np.concatenate([part[name] for part in parts]) for name in (*POSTING_ARRAYS, *CHUNK_ARRAYS)
    }
    total = len(postings["rows"])
    starts = {"list_chunks": starts_of(chunk_counts, total), "list_starts": starts_of(list_counts, total)}
    return {name: (postings | starts)[name] for name in ARRAYS}


def _moved(
    segment: TermSegment, owners: np.ndarray, rows: np.ndarray, terms: slice
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Postings of a segment for the new terms of a run: new term, new row, stored weight; deleted rows left
    out.
    """
    own = slice(*np.searchsorted(owners, [terms.start, terms.stop]).tolist())
    numbers, positions, weights = read_lists(segment.postings, own)
    moved = rows[positions]
    kept = moved >= 0
    return owners[own][numbers[kept]], moved[kept], weights[kept]
