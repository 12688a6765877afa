"""Rows of weighted terms that were added together: a forward index, and blocks of similar rows by term."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, cast

import numpy as np

from cluscomp import native
from cluscomp.indexes.segments.stored import Shapes
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
from cluscomp.indexes.sparse.named_terms import BLOCK_POSTINGS, NAMES, Entries, NamedTerms, Specs, Stored
from cluscomp.indexes.sparse.pipeline import NumberedRows, TermPipeline
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.stages.seismic_codec import Seismic


@dataclass(frozen=True)
class ClusteredSegment(NamedTerms):
    """stored: the arrays of blocks.py, whose places kernels check when they use them: opening reads none."""

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

    own: ClassVar[tuple[str, ...]] = ARRAYS

    @property
    def n_postings(self) -> int:
        return len(self.stored["row_terms"])

    @property
    def n_blocks(self) -> int:
        """Blocks of all terms together."""
        return len(self.stored["block_starts"]) - 1

    @cached_property
    def scorer(self) -> native.ForwardRows:
        rows = {name: self.stored[name] for name in ROW_ARRAYS}
        return native.ForwardRows(**rows, n_lists=len(self.stored["list_scales"]))

    @cached_property
    def native(self) -> native.TermBlocks:
        """The blocks as kernels read them."""
        arrays = {name: self.stored[name] for name in (*BLOCK_ARRAYS, *SUMMARY_ARRAYS)}
        return native.TermBlocks(self.scorer, **arrays)

    def entries(self, rows: np.ndarray) -> Entries:
        starts = self.stored["row_starts"]
        first = starts[rows].astype(np.int64)
        counts = starts[rows + 1].astype(np.int64) - first
        places = np.repeat(np.arange(len(rows)), counts)
        at = np.arange(len(places)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
        yield places, self.stored["row_terms"][at].astype(np.int64), self.stored["row_weights"][at]

    def faults(self, pipeline: Pipeline) -> Iterator[tuple[str, str]]:
        yield from super().faults(pipeline)
        yield from block_faults(self.stored, self.n_rows)

    @classmethod
    def _estimated(cls, pipeline: TermPipeline, n_rows: int, n_postings: int) -> Specs:
        return Lengths.estimated(n_rows, n_postings, spec_of(pipeline)).specs(pipeline.terms.dtype)

    @classmethod
    def _specs(cls, pipeline: TermPipeline, n_rows: int, n_lists: int, listed: Shapes) -> Specs:
        return Lengths.listed(n_rows, n_lists, listed).specs(pipeline.terms.dtype)

    @classmethod
    def _of_rows(cls, pipeline: TermPipeline, numbered: NumberedRows, weights: np.ndarray) -> Stored:
        rows = numbered.rows
        n_lists = pipeline.terms.n_terms + len(numbered.extra)
        return _clustered(pipeline, rows.rows, numbered.lists, weights, len(rows), n_lists)

    @classmethod
    def _of_segments(
        cls,
        pipeline: TermPipeline,
        segments: Sequence[ClusteredSegment],
        lists: Sequence[np.ndarray],
        rows: Sequence[np.ndarray],
        n_rows: int,
        n_lists: int,
    ) -> Stored:
        """Terms are divided anew, since blocks of few rows say little about many."""
        parts = []
        for segment, own, moved in zip(segments, lists, rows, strict=True):
            live = np.flatnonzero(moved >= 0)
            for places, terms, weights in segment.entries(live):
                parts.append((moved[live[places]], own[terms], weights))
        owners, numbers, stored = (np.concatenate(column) for column in zip(*parts, strict=True))
        return _clustered(pipeline, owners, numbers, stored, n_rows, n_lists)


def spec_of(pipeline: TermPipeline) -> Seismic:
    """How terms are divided."""
    return cast("Seismic", pipeline.terms.spec)


def _clustered(
    pipeline: TermPipeline,
    rows: np.ndarray,
    lists: np.ndarray,
    weights: np.ndarray,
    n_rows: int,
    n_lists: int,
) -> Stored:
    """All arrays. rows, lists, weights: (N,) row, term and stored weight of each posting."""
    order = np.lexsort((lists, rows))
    sizes = np.bincount(rows, minlength=n_rows)
    arrays = row_arrays(sizes, lists[order], weights[order], n_lists)
    counts = np.bincount(lists, minlength=n_lists)
    return divided(Divider(spec_of(pipeline), pipeline.seed, arrays, counts), BLOCK_POSTINGS)
