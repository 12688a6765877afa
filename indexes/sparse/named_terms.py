"""What segments of weighted terms have in common: names of the terms that training has not seen, and how they
are made, opened and merged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np

from cluscomp import native
from cluscomp.indexes.segments.compacting import live_column, live_mask
from cluscomp.indexes.segments.ids import IdColumn, TextIds
from cluscomp.indexes.segments.stored import Shapes, StoredRows, StoredSegment
from cluscomp.indexes.segments.tombstones import Tombstones
from cluscomp.indexes.sparse.known_names import KnownNames
from cluscomp.indexes.sparse.pipeline import NumberedRows, TermPipeline, term_names
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.progress import Ticker

NAMES = ("terms", "term_offsets")
BLOCK_POSTINGS = 1 << 20
"""Postings that are put in order or decoded at a time."""
Self = TypeVar("Self", bound="NamedTerms")
Stored = dict[str, np.ndarray]
Specs = dict[str, ArraySpec]
Entries = Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class NamedTerms(StoredSegment):
    """Base of the segments of terms. stored: the arrays `own` by name, which hold the rows. terms,
    term_offsets: UTF-8 names, end to end, of the terms that training has not seen; (E + 1,) int32 where each
    begins.
    """

    own: ClassVar[tuple[str, ...]]

    stored: Mapping[str, np.ndarray]
    terms: np.ndarray
    term_offsets: np.ndarray
    ids: IdColumn
    deleted: Tombstones | None = None
    files: Mapping[str, Any] = field(default_factory=dict)

    def arrays(self) -> dict[str, np.ndarray]:
        return {**self.stored, "terms": self.terms, "term_offsets": self.term_offsets}

    @property
    def n_postings(self) -> int:
        """Terms of all rows together, those of deleted rows included."""
        raise NotImplementedError

    @property
    def scorer(self) -> native.Postings | native.ForwardRows:
        """What kernels score given rows by."""
        raise NotImplementedError

    def entries(self, rows: np.ndarray) -> Entries:
        """Terms of rows (m,), each once: place among them, number of the term, stored weight."""
        raise NotImplementedError

    # ---- what kinds make ----

    @classmethod
    def _of_rows(cls, pipeline: TermPipeline, numbered: NumberedRows, weights: np.ndarray) -> Stored:
        """The arrays `own` of rows. weights: (N,) as stored."""
        raise NotImplementedError

    @classmethod
    def _of_segments(
        cls: type[Self],
        pipeline: TermPipeline,
        segments: Sequence[Self],
        lists: Sequence[np.ndarray],
        rows: Sequence[np.ndarray],
        n_rows: int,
        n_lists: int,
    ) -> Stored:
        """The arrays `own` of the rows of several segments that are not deleted. lists: for each segment the
        new number of each term, ascending. rows: the new position of each row, -1 for deleted ones.
        """
        raise NotImplementedError

    @classmethod
    def _specs(cls, pipeline: TermPipeline, n_rows: int, n_lists: int, listed: Shapes) -> Specs:
        """Dtype and shape of the arrays `own`, as a manifest lists them."""
        raise NotImplementedError

    @classmethod
    def _estimated(cls, pipeline: TermPipeline, n_rows: int, n_postings: int) -> Specs:
        """`_specs` before anything is known but the postings."""
        raise NotImplementedError

    # ---- the same for all ----

    @classmethod
    def encoded(cls: type[Self], pipeline: TermPipeline, numbered: NumberedRows, ids: IdColumn) -> Self:
        """The segment of rows."""
        rows = numbered.rows
        weights = pipeline.terms.stored(rows.weights, np.repeat(rows.totals, np.diff(rows.offsets)))
        return cls(cls._of_rows(pipeline, numbered, weights), **name_arrays(numbered.extra), ids=ids)

    @classmethod
    def new_arrays(cls, pipeline: Pipeline, n_rows: int, n_vectors: int) -> Specs:
        """n_vectors: postings. What is not known beforehand is estimated."""
        assert isinstance(pipeline, TermPipeline)
        return cls._estimated(pipeline, n_rows, n_vectors) | _name_specs(0, 0)

    @classmethod
    def listed_arrays(cls, pipeline: Pipeline, n_rows: int, listed: Shapes) -> Specs:
        assert isinstance(pipeline, TermPipeline)
        size, offsets = (listed_length(listed, name) for name in NAMES)
        new = max(0, offsets - 1)
        return cls._specs(pipeline, n_rows, pipeline.terms.n_terms + new, listed) | _name_specs(size, new)

    @classmethod
    def from_stored(cls: type[Self], pipeline: Pipeline, rows: StoredRows) -> Self:
        stored = {name: rows.arrays[name] for name in cls.own}
        names = rows.arrays["terms"]
        offsets = rows.offsets("term_offsets", rows.arrays["term_offsets"], len(names))
        return cls(stored, names, offsets.astype(np.int32), rows.ids, rows.deleted, rows.files)

    @classmethod
    def merged(cls: type[Self], pipeline: Pipeline, segments: Sequence[Self], ticker: Ticker) -> Self:
        assert isinstance(pipeline, TermPipeline)
        table, lists = _all_names(pipeline, segments)
        rows, n_rows = _new_rows(segments)
        n_lists = pipeline.terms.n_terms + len(table)
        stored = cls._of_segments(pipeline, segments, lists, rows, n_rows, n_lists)
        ticker.advance(sum(segment.n_rows for segment in segments))
        return cls(stored, **name_arrays(table), ids=live_column(segments))

    @property
    def code_bytes(self) -> int:
        """Bytes of the rows and weights of all postings."""
        return sum(array.nbytes for name, array in self.arrays().items() if self.part_of(name) == "codes")

    @cached_property
    def known(self) -> KnownNames:
        """Names of the terms that training has not seen."""
        return KnownNames(term_names(self.terms, self.term_offsets))

    @property
    def names(self) -> TextIds:
        """`known`, by number."""
        return self.known.names

    def faults(self, pipeline: Pipeline) -> Iterator[tuple[str, str]]:
        yield from super().faults(pipeline)
        wrong = self.names.fault()
        if wrong is not None:
            yield wrong[0].replace("ids_text", "terms").replace("ids_offsets", "term_offsets"), wrong[1]


def name_arrays(extra: TextIds) -> dict[str, Any]:
    """The arrays NAMES of the names of new terms."""
    return {"terms": extra.blob, "term_offsets": extra.offsets.astype(np.int32)}


def listed_length(listed: Shapes, name: str) -> int:
    """Length of an array as a manifest lists it; 0 for one that is not there."""
    return (listed.get(name) or (0,))[0]


def _name_specs(size: int, n: int) -> Specs:
    """Dtype and shape of the arrays NAMES of n names of so many bytes."""
    return {"terms": ArraySpec("|u1", (size,)), "term_offsets": ArraySpec("<i4", (n + 1,))}


def _all_names(pipeline: TermPipeline, segments: Sequence[NamedTerms]) -> tuple[TextIds, list[np.ndarray]]:
    """New terms of all segments, ascending, and for each segment the numbers that its terms get."""
    own = [segment.names.take(np.arange(len(segment.names))).tolist() for segment in segments]
    names = sorted(set().union(*own))
    known = pipeline.terms.n_terms
    place = {name: known + number for number, name in enumerate(names)}
    first = np.arange(known)
    numbers = [np.concatenate([first, np.array([place[n] for n in some], dtype=np.int64)]) for some in own]
    return TextIds.from_texts(names), numbers


def _new_rows(segments: Sequence[NamedTerms]) -> tuple[list[np.ndarray], int]:
    """For each segment the new position of its rows, -1 for deleted ones, and how many rows are left."""
    maps, done = [], 0
    for segment in segments:
        live = live_mask(segment)
        maps.append(np.where(live, done + np.cumsum(live) - 1, -1))
        done += int(live.sum())
    return maps, done
