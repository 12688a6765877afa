"""Rows of weighted terms that were added together: a forward index, and blocks of similar rows by term."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, cast

import numpy as np

from cluscomp import native
from cluscomp.indexes.segments.compacting import live_column
from cluscomp.indexes.segments.ids import IdColumn
from cluscomp.indexes.segments.stored import Shapes, StoredRows
from cluscomp.indexes.segments.tombstones import Tombstones
from cluscomp.indexes.sparse.block_checking import block_faults
from cluscomp.indexes.sparse.blocks import (
    ARRAYS,
    BLOCK_ARRAYS,
    ROW_ARRAYS,
    SUMMARY_ARRAYS,
    Divider,
    Lengths,
    divided,
    row_arrays,
)
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
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.stages.seismic_codec import Seismic
from cluscomp.progress import Ticker


@dataclass(frozen=True)
class ClusteredSegment(NamedTerms):
    """clustered: the arrays of blocks.py by name."""

    parts: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(ROW_ARRAYS, "codes"),
        **dict.fromkeys(BLOCK_ARRAYS, "blocks"),
        **dict.fromkeys(SUMMARY_ARRAYS, "summaries"),
        **dict.fromkeys(NAMES, "terms"),
    }
    notes: ClassVar[Mapping[str, str]] = {
        "codes": "terms and weights of each row",
        "blocks": "rows of each block of each term",
        "summaries": "largest weights in each block",
        "terms": "names of terms that training has not seen",
        "codebooks": "words of the build, and how many documents hold each",
    }

    clustered: Mapping[str, np.ndarray]
    terms: np.ndarray
    term_offsets: np.ndarray
    ids: IdColumn
    deleted: Tombstones | None = None
    files: Mapping[str, Any] = field(default_factory=dict)

    def arrays(self) -> dict[str, np.ndarray]:
        return {**self.clustered, "terms": self.terms, "term_offsets": self.term_offsets}

    @property
    def n_postings(self) -> int:
        return len(self.clustered["row_terms"])

    @property
    def n_blocks(self) -> int:
        """Blocks of all terms together."""
        return len(self.clustered["block_starts"]) - 1

    @cached_property
    def scorer(self) -> native.ForwardRows:
        rows = {name: self.clustered[name] for name in ROW_ARRAYS}
        return native.ForwardRows(**rows, n_lists=len(self.clustered["list_scales"]))

    @cached_property
    def native(self) -> native.TermBlocks:
        """The blocks as kernels read them."""
        arrays = {name: self.clustered[name] for name in (*BLOCK_ARRAYS, *SUMMARY_ARRAYS)}
        return native.TermBlocks(self.scorer, **arrays)

    def entries(self, rows: np.ndarray) -> Entries:
        starts = self.clustered["row_starts"]
        first = starts[rows].astype(np.int64)
        counts = starts[rows + 1].astype(np.int64) - first
        places = np.repeat(np.arange(len(rows)), counts)
        at = np.arange(len(places)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
        yield places, self.clustered["row_terms"][at].astype(np.int64), self.clustered["row_weights"][at]

    def faults(self, pipeline: Pipeline) -> Iterator[tuple[str, str]]:
        yield from super().faults(pipeline)
        yield from block_faults(self.clustered, self.n_rows)

    @classmethod
    def new_arrays(cls, pipeline: Pipeline, n_rows: int, n_vectors: int) -> dict[str, ArraySpec]:
        """n_vectors: postings. What is not known beforehand is estimated."""
        assert isinstance(pipeline, TermPipeline)
        lengths = Lengths.estimated(n_rows, n_vectors, spec_of(pipeline))
        return lengths.specs(pipeline.terms.dtype) | no_name_specs()

    @classmethod
    def listed_arrays(cls, pipeline: Pipeline, n_rows: int, listed: Shapes) -> dict[str, ArraySpec]:
        assert isinstance(pipeline, TermPipeline)
        new, names = listed_names(listed)
        lengths = Lengths.listed(n_rows, pipeline.terms.n_terms + new, listed)
        return lengths.specs(pipeline.terms.dtype) | names

    @classmethod
    def from_stored(cls, pipeline: Pipeline, rows: StoredRows) -> ClusteredSegment:
        """Kernels check places when they use them, so that opening reads none."""
        offsets = rows.offsets("term_offsets", rows.arrays["term_offsets"], len(rows.arrays["terms"]))
        clustered = {name: rows.arrays[name] for name in ARRAYS}
        kept = offsets.astype(np.int32)
        return cls(clustered, rows.arrays["terms"], kept, rows.ids, rows.deleted, rows.files)

    @classmethod
    def encoded(cls, pipeline: TermPipeline, numbered: NumberedRows, ids: IdColumn) -> ClusteredSegment:
        rows, weights = numbered.rows, stored_weights(pipeline, numbered)
        order = np.lexsort((numbered.lists, rows.rows))
        n_lists = pipeline.terms.n_terms + len(numbered.extra)
        counts = np.diff(rows.offsets)
        arrays = clustered(pipeline, counts, numbered.lists[order], weights[order], n_lists)
        return cls(arrays, **name_arrays(numbered.extra), ids=ids)

    @classmethod
    def merged(
        cls, pipeline: Pipeline, segments: Sequence[ClusteredSegment], ticker: Ticker
    ) -> ClusteredSegment:
        """Terms are divided anew, since blocks of few rows say little about many."""
        assert isinstance(pipeline, TermPipeline)
        table, numbers = all_names(pipeline, segments)
        maps, n_rows = new_rows(segments)
        lists, rows, weights = [], [], []
        for segment, own, moved in zip(segments, numbers, maps, strict=True):
            live = np.flatnonzero(moved >= 0)
            for places, terms, stored in segment.entries(live):
                lists.append(own[terms])
                rows.append(moved[live[places]])
                weights.append(stored)
            ticker.advance(segment.n_rows)
        all_rows, all_lists = np.concatenate(rows), np.concatenate(lists)
        order = np.lexsort((all_lists, all_rows))
        counts = np.bincount(all_rows, minlength=n_rows)
        n_lists = pipeline.terms.n_terms + len(table)
        arrays = clustered(pipeline, counts, all_lists[order], np.concatenate(weights)[order], n_lists)
        return cls(arrays, **name_arrays(table), ids=live_column(segments))


def spec_of(pipeline: TermPipeline) -> Seismic:
    """How terms are divided."""
    return cast("Seismic", pipeline.terms.spec)


def clustered(
    pipeline: TermPipeline, row_counts: np.ndarray, lists: np.ndarray, weights: np.ndarray, n_lists: int
) -> dict[str, np.ndarray]:
    """All arrays of rows in memory; see `row_arrays`."""
    rows = row_arrays(row_counts, lists, weights, n_lists)
    counts = np.bincount(lists, minlength=n_lists)
    return divided(Divider(spec_of(pipeline), pipeline.seed, rows, counts), BLOCK_POSTINGS)
