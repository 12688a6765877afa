"""Writing a segment of both forms: the writers of vectors and of terms, under one set of ids."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from cluscomp.indexes.build.segment_writer import SegmentWriter
from cluscomp.indexes.hybrid.pipeline import HybridPipeline
from cluscomp.indexes.hybrid.segment import PREFIX
from cluscomp.indexes.segments.ids import IdColumn
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.storage.staging import Draft
from cluscomp.multivector import Ragged
from cluscomp.terms import TermRows


class Both(NamedTuple):
    """A block in both forms. vectors: as the writer of the vectors takes them."""

    vectors: Any
    terms: TermRows


class HybridWriter(SegmentWriter):
    """Files of the vectors and of the terms. Blocks are `Both`."""

    pipeline: HybridPipeline

    def start(self, n_vectors: int | None) -> None:
        from cluscomp.indexes.build.recipe import recipe_of

        dense = recipe_of(self.pipeline.spec.dense).writer
        self._dense = dense(
            self.folder, self.pipeline, n_vectors=n_vectors, sizes=self.sizes, chosen=self.chosen
        )
        terms = recipe_of(self.pipeline.spec.terms).writer
        self._words = terms(self.folder, self.pipeline.words, n_vectors=None)
        self.tally = self._dense.tally

    def table(self) -> dict[str, ArraySpec]:
        return {}

    def checked(self, block: Any) -> tuple[Any, int]:
        vectors, _ = self._dense.checked(block.vectors)
        return Both(vectors, block.terms), len(block.terms)

    @classmethod
    def vectors(cls, block: Any) -> np.ndarray:
        rows: np.ndarray = block.vectors.rows if isinstance(block.vectors, Ragged) else block.vectors
        return rows

    def take(self, block: Any, ids: IdColumn) -> None:
        self._dense.take(block.vectors, ids)
        self._words.take(block.terms, ids)
        self.rows += len(ids)

    def arranged(self, block_bytes: int) -> dict[str, Draft]:
        words = self._words.arranged(block_bytes)
        return self._dense.arranged(block_bytes) | {f"{PREFIX}{name}": draft for name, draft in words.items()}

    def close(self) -> None:
        super().close()
        for writer in (getattr(self, "_dense", None), getattr(self, "_words", None)):
            if writer is not None:
                writer.close()

    @classmethod
    def temporary_bytes(cls, pipeline: Pipeline, n_vectors: int) -> int:
        """Of the vectors; the plan knows how many terms there are (hybrid.py)."""
        from cluscomp.indexes.build.recipe import recipe_of

        assert isinstance(pipeline, HybridPipeline)
        return recipe_of(pipeline.spec.dense).writer.temporary_bytes(pipeline, n_vectors)
