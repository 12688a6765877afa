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
from cluscomp.indexes.segments.compacting import live_column, live_mask
from cluscomp.indexes.segments.ids import IdColumn, TextIds
from cluscomp.indexes.segments.stored import Shapes, StoredRows, StoredSegment
from cluscomp.indexes.segments.tombstones import Tombstones
from cluscomp.indexes.sparse.checking import list_faults
from cluscomp.indexes.sparse.pipeline import NumberedRows, TermPipeline, term_names
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

NAMES = ("terms", "term_offsets")
BLOCK_POSTINGS = 1 << 20
"""Postings that are decoded at a time when segments become one."""


@dataclass(frozen=True)
class TermSegment(StoredSegment):
    """postings: the arrays of postings.py by name. terms, term_offsets: UTF-8 names, end to end, of the terms
    that training has not seen; (E + 1,) int32 where each begins.
    """

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
        """Terms of all rows together, those of deleted rows included."""
        return len(self.postings["rows"])

    @cached_property
    def names(self) -> TextIds:
        """Names of the terms that training has not seen."""
        return term_names(self.terms, self.term_offsets)

    @cached_property
    def native(self) -> native.Postings:
        """The inverted file as kernels read it."""
        arrays: dict[str, Any] = dict(self.postings)
        starts = {name: arrays[name].astype(np.int64) for name in ("list_chunks", "list_starts")}
        return native.Postings(**(arrays | starts), n_rows=self.n_rows)

    def faults(self, pipeline: Pipeline) -> Iterator[tuple[str, str]]:
        yield from super().faults(pipeline)
        wrong = self.names.fault()
        if wrong is not None:
            yield wrong[0].replace("ids_text", "terms").replace("ids_offsets", "term_offsets"), wrong[1]
        yield from list_faults(self.postings, self.n_rows)

    @classmethod
    def new_arrays(cls, pipeline: Pipeline, n_rows: int, n_vectors: int) -> dict[str, ArraySpec]:
        """n_vectors: postings. What is not known beforehand is estimated."""
        assert isinstance(pipeline, TermPipeline)
        specs = estimated_specs(n_rows, n_vectors, pipeline.terms.dtype)
        return specs | {"terms": ArraySpec("|u1", (0,)), "term_offsets": ArraySpec("<i4", (1,))}

    @classmethod
    def listed_arrays(cls, pipeline: Pipeline, n_rows: int, listed: Shapes) -> dict[str, ArraySpec]:
        assert isinstance(pipeline, TermPipeline)
        postings, chunks, names, offsets = (
            (listed.get(name) or (0,))[0] for name in ("rows", "chunk_numbers", *NAMES)
        )
        new = max(0, offsets - 1)
        specs = posting_specs(n_rows, postings, chunks, pipeline.terms.n_terms + new, pipeline.terms.dtype)
        return specs | {"terms": ArraySpec("|u1", (names,)), "term_offsets": ArraySpec("<i4", (new + 1,))}

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
        known = pipeline.terms.n_terms
        table, numbers = _all_names(segments)
        owners = [np.concatenate([np.arange(known), known + own]) for own in numbers]
        maps, n_rows = _new_rows(segments)
        postings = _merged_postings(segments, owners, maps, n_rows, known + len(table))
        ticker.advance(sum(segment.n_rows for segment in segments))
        return cls(postings, table.blob, table.offsets.astype(np.int32), live_column(segments))


def encode_terms(pipeline: TermPipeline, numbered: NumberedRows, ids: IdColumn) -> TermSegment:
    """The segment of rows."""
    rows = numbered.rows
    weights = pipeline.terms.stored(rows.weights, np.repeat(rows.totals, np.diff(rows.offsets)))
    n_lists = pipeline.terms.n_terms + len(numbered.extra)
    postings = inverted(numbered.lists, rows.rows, weights, n_lists, len(rows))
    return TermSegment(postings, numbered.extra.blob, numbered.extra.offsets.astype(np.int32), ids)


def _all_names(segments: Sequence[TermSegment]) -> tuple[TextIds, list[np.ndarray]]:
    """New terms of all segments, ascending, and the number of each segment's among them."""
    own = [segment.names.take(np.arange(len(segment.names))).tolist() for segment in segments]
    names = sorted(set().union(*own))
    place = {name: number for number, name in enumerate(names)}
    return TextIds.from_texts(names), [np.array([place[n] for n in some], dtype=np.int64) for some in own]


def _new_rows(segments: Sequence[TermSegment]) -> tuple[list[np.ndarray], int]:
    """For each segment the new position of its rows, -1 for deleted ones, and how many rows are left."""
    maps, done = [], 0
    for segment in segments:
        live = live_mask(segment)
        maps.append(np.where(live, done + np.cumsum(live) - 1, -1))
        done += int(live.sum())
    return maps, done


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
