"""What segments of weighted terms have in common: names of the terms that training has not seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from cluscomp import native
from cluscomp.indexes.segments.compacting import live_mask
from cluscomp.indexes.segments.ids import IdColumn, TextIds
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.sparse.known_names import KnownNames
from cluscomp.indexes.sparse.pipeline import NumberedRows, TermPipeline, term_names
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.pipeline import Pipeline

NAMES = ("terms", "term_offsets")
BLOCK_POSTINGS = 1 << 20
"""Postings that are put in order or decoded at a time."""
Self = TypeVar("Self", bound="NamedTerms")
Entries = Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]


class NamedTerms(StoredSegment):
    """Base of the frozen dataclasses of segments of terms. terms, term_offsets: UTF-8 names, end to end, of
    the terms that training has not seen; (E + 1,) int32 where each begins.
    """

    terms: np.ndarray
    term_offsets: np.ndarray

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

    @classmethod
    def encoded(cls: type[Self], pipeline: TermPipeline, numbered: NumberedRows, ids: IdColumn) -> Self:
        """The segment of rows."""
        raise NotImplementedError

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


def stored_weights(pipeline: TermPipeline, numbered: NumberedRows) -> np.ndarray:
    """Weights (N,) of rows as they are stored."""
    rows = numbered.rows
    return pipeline.terms.stored(rows.weights, np.repeat(rows.totals, np.diff(rows.offsets)))


def name_arrays(extra: TextIds) -> dict[str, Any]:
    """The arrays NAMES of the names of new terms."""
    return {"terms": extra.blob, "term_offsets": extra.offsets.astype(np.int32)}


def no_name_specs() -> dict[str, ArraySpec]:
    """Dtype and shape of the arrays NAMES without a name."""
    return {"terms": ArraySpec("|u1", (0,)), "term_offsets": ArraySpec("<i4", (1,))}


def listed_names(listed: Mapping[str, tuple[int, ...]]) -> tuple[int, dict[str, ArraySpec]]:
    """Number of new terms, and dtype and shape of the arrays NAMES, as a manifest lists them."""
    size, offsets = ((listed.get(name) or (0,))[0] for name in NAMES)
    new = max(0, offsets - 1)
    return new, {"terms": ArraySpec("|u1", (size,)), "term_offsets": ArraySpec("<i4", (new + 1,))}


def all_names(pipeline: TermPipeline, segments: Sequence[NamedTerms]) -> tuple[TextIds, list[np.ndarray]]:
    """New terms of all segments, ascending, and for each segment the numbers that its terms get."""
    own = [segment.names.take(np.arange(len(segment.names))).tolist() for segment in segments]
    names = sorted(set().union(*own))
    known = pipeline.terms.n_terms
    place = {name: known + number for number, name in enumerate(names)}
    first = np.arange(known)
    numbers = [np.concatenate([first, np.array([place[n] for n in some], dtype=np.int64)]) for some in own]
    return TextIds.from_texts(names), numbers


def new_rows(segments: Sequence[NamedTerms]) -> tuple[list[np.ndarray], int]:
    """For each segment the new position of its rows, -1 for deleted ones, and how many rows are left."""
    maps, done = [], 0
    for segment in segments:
        live = live_mask(segment)
        maps.append(np.where(live, done + np.cumsum(live) - 1, -1))
        done += int(live.sum())
    return maps, done
