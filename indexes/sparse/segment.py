"""Rows of weighted terms that were added together: an inverted file, and the names of terms that are new in
it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from cluscomp import native
from cluscomp.indexes.segments.stored import Shapes, StoredRows
from cluscomp.indexes.sparse.checking import list_faults
from cluscomp.indexes.sparse.named_terms import (
    BLOCK_POSTINGS,
    NAMES,
    Entries,
    NamedTerms,
    Specs,
    Stored,
    listed_length,
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
from cluscomp.indexes.stages.pipeline import Pipeline


@dataclass(frozen=True)
class TermSegment(NamedTerms):
    """stored: the arrays of postings.py."""

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

    own: ClassVar[tuple[str, ...]] = ARRAYS

    @property
    def n_postings(self) -> int:
        return len(self.stored["rows"])

    @property
    def scorer(self) -> native.Postings:
        return self.native

    def entries(self, rows: np.ndarray) -> Entries:
        """Reads all postings once."""
        place = np.full(self.n_rows, -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        counts = np.diff(self.stored["list_starts"].astype(np.int64))
        for lists in term_ranges(counts, BLOCK_POSTINGS):
            owners, found, stored = read_lists(self.stored, lists)
            here = np.flatnonzero(place[found] >= 0)
            yield place[found[here]], owners[here] + lists.start, stored[here]

    @cached_property
    def native(self) -> native.Postings:
        """The inverted file as kernels read it."""
        arrays: dict[str, Any] = dict(self.stored)
        starts = {name: arrays[name].astype(np.int64) for name in ("list_chunks", "list_starts")}
        return native.Postings(**(arrays | starts), n_rows=self.n_rows)

    def faults(self, pipeline: Pipeline) -> Iterator[tuple[str, str]]:
        yield from super().faults(pipeline)
        yield from list_faults(self.stored, self.n_rows)

    @classmethod
    def _estimated(cls, pipeline: TermPipeline, n_rows: int, n_postings: int) -> Specs:
        return estimated_specs(n_rows, n_postings, pipeline.terms.dtype)

    @classmethod
    def _specs(cls, pipeline: TermPipeline, n_rows: int, n_lists: int, listed: Shapes) -> Specs:
        postings, chunks = (listed_length(listed, name) for name in ("rows", "chunk_numbers"))
        return posting_specs(n_rows, postings, chunks, n_lists, pipeline.terms.dtype)

    @classmethod
    def from_stored(cls, pipeline: Pipeline, rows: StoredRows) -> TermSegment:
        postings = rows.arrays
        rows.offsets("list_chunks", postings["list_chunks"], len(postings["chunk_sizes"]))
        rows.offsets("list_starts", postings["list_starts"], len(postings["rows"]))
        return super().from_stored(pipeline, rows)

    @classmethod
    def _of_rows(cls, pipeline: TermPipeline, numbered: NumberedRows, weights: np.ndarray) -> Stored:
        rows, n_lists = numbered.rows, pipeline.terms.n_terms + len(numbered.extra)
        return inverted(numbered.lists, rows.rows, weights, n_lists, len(rows))

    @classmethod
    def _of_segments(
        cls,
        pipeline: TermPipeline,
        segments: Sequence[TermSegment],
        lists: Sequence[np.ndarray],
        rows: Sequence[np.ndarray],
        n_rows: int,
        n_lists: int,
    ) -> Stored:
        """Some terms at a time."""
        counts = np.zeros(n_lists, dtype=np.int64)
        for segment, own in zip(segments, lists, strict=True):
            counts[own] += np.diff(segment.stored["list_starts"].astype(np.int64))
        parts = [chunked(counts[:0], counts[:0], segments[0].stored["weights"][:0], n_rows)[0]]
        chunk_counts, list_counts = np.zeros(n_lists, dtype=np.int64), np.zeros(n_lists, dtype=np.int64)
        for terms in term_ranges(counts, BLOCK_POSTINGS):
            found = [_moved(*item, terms) for item in zip(segments, lists, rows, strict=True)]
            numbers, places, weights = (np.concatenate(column) for column in zip(*found, strict=True))
            order = np.lexsort((places, numbers))
            arrays, chunk_lists = chunked(numbers[order], places[order], weights[order], n_rows)
            parts.append(arrays)
            list_counts += np.bincount(numbers, minlength=n_lists)
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
    numbers, positions, weights = read_lists(segment.stored, own)
    moved = rows[positions]
    kept = moved >= 0
    return owners[own][numbers[kept]], moved[kept], weights[kept]
