"""Documents that were added together, as vectors and as terms: two segments of the same rows, of which ids,
deletions, attributes and texts are kept once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np

from cluscomp.indexes.hybrid.pipeline import HybridPipeline
from cluscomp.indexes.keys.hybrid import WORDS
from cluscomp.indexes.multivector.segment import DocumentSegment
from cluscomp.indexes.segments.ids import IdColumn
from cluscomp.indexes.segments.numbered import NumberedVectors
from cluscomp.indexes.segments.segment import Segment
from cluscomp.indexes.segments.stored import Shapes, StoredRows, StoredSegment
from cluscomp.indexes.segments.tombstones import Tombstones
from cluscomp.indexes.sparse.clustered_segment import ClusteredSegment
from cluscomp.indexes.sparse.named_terms import NamedTerms
from cluscomp.indexes.sparse.segment import TermSegment
from cluscomp.indexes.stages.codec import Codes
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.progress import Ticker

PREFIX = f"{WORDS}_"
"""In front of the names of the arrays of the terms."""
_PARTS = {"codes": "postings"}  # the vectors have codes, too
TERM_SEGMENTS: tuple[type[NamedTerms], ...] = (TermSegment, ClusteredSegment)
"""Those of all kinds of terms."""
Value = TypeVar("Value")
Stored = TypeVar("Stored", bound=StoredSegment)


@dataclass(frozen=True)
class HybridSegment(StoredSegment):
    """vectors_stored: a `Segment` or `DocumentSegment`. words_stored: the terms of the same rows. What both
    have in common, such as deletions, is that of this segment; theirs is not read.
    """

    parts: ClassVar[Mapping[str, str]] = {
        **Segment.parts,
        **DocumentSegment.parts,
        **{
            f"{PREFIX}{name}": _PARTS.get(part, part)
            for kind in TERM_SEGMENTS
            for name, part in kind.parts.items()
        },
    }
    notes: ClassVar[Mapping[str, str]] = {
        **DocumentSegment.notes,
        **{
            part: note
            for kind in TERM_SEGMENTS
            for part, note in kind.notes.items()
            if part not in ("codes", "codebooks")  # the vectors have them, too
        },
        "postings": "weight of each posting, and its row or term",
        WORDS: TermSegment.notes["codebooks"],
    }

    vectors_stored: StoredSegment
    words_stored: NamedTerms
    ids: IdColumn
    deleted: Tombstones | None = None
    files: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, vectors: StoredSegment, words: NamedTerms) -> HybridSegment:
        """The segment of new rows in both forms, which have the same ids."""
        return cls(vectors, words, vectors.ids, statistics=vectors.statistics)

    @cached_property
    def dense(self) -> Any:
        """The vectors, with the deletions and attributes of this segment."""
        return self._with_own(self.vectors_stored)

    @cached_property
    def lexical(self) -> NamedTerms:
        """The terms, with the deletions and attributes of this segment."""
        return self._with_own(self.words_stored)

    def _with_own(self, part: Stored) -> Stored:
        if part.deleted is self.deleted and part.attributes is self.attributes:
            return part
        return part.changed(deleted=self.deleted, attributes=self.attributes)

    def arrays(self) -> dict[str, np.ndarray]:
        return {**self.vectors_stored.arrays(), **_prefixed(self.words_stored.arrays())}

    @classmethod
    def new_arrays(cls, pipeline: Pipeline, n_rows: int, n_vectors: int) -> dict[str, ArraySpec]:
        """Those of the vectors; how many terms rows have is not known."""
        assert isinstance(pipeline, HybridPipeline)
        return pipeline.dense_segment.new_arrays(pipeline, n_rows, n_vectors)

    @classmethod
    def listed_arrays(cls, pipeline: Pipeline, n_rows: int, listed: Shapes) -> dict[str, ArraySpec]:
        assert isinstance(pipeline, HybridPipeline)
        vectors, words = split_names(listed)
        return {
            **pipeline.dense_segment.listed_arrays(pipeline, n_rows, vectors),
            **_prefixed(pipeline.words_segment.listed_arrays(pipeline.words, n_rows, words)),
        }

    @classmethod
    def from_stored(cls, pipeline: Pipeline, rows: StoredRows) -> HybridSegment:
        assert isinstance(pipeline, HybridPipeline)
        vectors, words = split_names(rows.arrays)
        dense = pipeline.dense_segment.from_stored(pipeline, replace(rows, arrays=vectors))
        own = replace(rows, arrays=words, file_of=lambda name: rows.file_of(f"{PREFIX}{name}"))
        lexical = pipeline.words_segment.from_stored(pipeline.words, own)
        return cls(dense, lexical, rows.ids, rows.deleted, rows.files)

    @classmethod
    def merged(cls, pipeline: Pipeline, segments: Sequence[HybridSegment], ticker: Ticker) -> HybridSegment:
        assert isinstance(pipeline, HybridPipeline)
        vectors = pipeline.dense_segment.merged(pipeline, [part.dense for part in segments], ticker)
        terms = [part.lexical for part in segments]
        words = pipeline.words_segment.merged(pipeline.words, terms, Ticker(None, "", 0))
        return cls.of(vectors, words)

    def faults(self, pipeline: Pipeline) -> Iterator[tuple[str, str]]:
        assert isinstance(pipeline, HybridPipeline)
        yield from self.dense.faults(pipeline)
        own = self.words_stored.arrays()
        for name, fault in self.lexical.faults(pipeline.words):
            if name in own:  # ids and attributes are those of the vectors
                yield f"{PREFIX}{name}", fault

    def vectors(self, pipeline: Pipeline) -> NumberedVectors:
        found: NumberedVectors = self.dense.vectors(pipeline)
        return found

    def relisted(
        self, pipeline: Pipeline, numbers: np.ndarray, lists: np.ndarray, codes: Codes
    ) -> HybridSegment:
        moved = self.dense.relisted(pipeline, numbers, lists, codes)
        return HybridSegment.of(moved, self.words_stored).changed(
            deleted=self.deleted, statistics=self.statistics
        )

    def vector_offsets(self) -> np.ndarray | None:
        return self.vectors_stored.vector_offsets()

    def list_sizes(self, nlist: int) -> np.ndarray:
        """Vectors (nlist,) of each list."""
        sizes: np.ndarray = self.dense.list_sizes(nlist)
        return sizes


def split_names(arrays: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, Value]]:
    """What belongs to the vectors, and what to the terms, under the names that it has there."""
    words = {name.removeprefix(PREFIX): value for name, value in arrays.items() if name.startswith(PREFIX)}
    return {name: value for name, value in arrays.items() if not name.startswith(PREFIX)}, words


def _prefixed(arrays: Mapping[str, Value]) -> dict[str, Value]:
    return {f"{PREFIX}{name}": value for name, value in arrays.items()}
