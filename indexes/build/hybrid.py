"""Builds of documents in both forms: the stages of vectors, terms beside them, and one segment of both.

The source is a corpus of texts. The stages of the vectors see a request for vectors alone; the stage "words"
leaves the terms of all texts in a spool.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from cluscomp import errors
from cluscomp.indexes.build.costs import BuildShape, StageCost
from cluscomp.indexes.build.hybrid_writer import Both, HybridWriter
from cluscomp.indexes.build.recipe import Recipe, Rows, recipe_of
from cluscomp.indexes.build.request import Request, Shard
from cluscomp.indexes.build.source import Given, TextInput
from cluscomp.indexes.build.stage import BuildWork, Facts, Stage
from cluscomp.indexes.build.stages import PLAN, READ_TEXTS, SAMPLE, TRAIN
from cluscomp.indexes.build.term_spool import TermSpool
from cluscomp.indexes.build.terms import TermShape, has_spool, learn_terms, open_terms, spooled, term_blocks
from cluscomp.indexes.build.token_blocks import text_store
from cluscomp.indexes.hybrid.pipeline import HybridPipeline
from cluscomp.indexes.hybrid.segment import PREFIX
from cluscomp.indexes.keys.hybrid import WORDS, HybridSpec
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.storage.texts import CorpusFacts


def open_hybrid(spec: IndexSpec, given: Given) -> TextInput:
    """The source of a hybrid index: texts, with the encoder of both forms.

    given.encoder: that, or the one of the vectors; the terms are stems of words then. Raises UsageError for
    vectors, and what the recipes of both sides raise.
    """
    from cluscomp.encoders.hybrid import HybridEncoder

    assert isinstance(spec, HybridSpec)
    if given.encoder is None or hasattr(given.source, "shape") or hasattr(given.source, "blocks"):
        raise errors.UsageError(
            f"the key {str(spec)!r} stores vectors and terms of texts: pass a corpus and the encoder of "
            "the vectors; from vectors and terms that are there, make the index with index_factory and add "
            "HybridRows"
        )
    both = given.encoder if isinstance(given.encoder, HybridEncoder) else HybridEncoder(given.encoder)
    dense = recipe_of(spec.dense).open(spec.dense, replace(given, encoder=both.vectors))
    open_terms(spec.terms, replace(given, encoder=both.words))  # the encoder is one that the key takes
    assert isinstance(dense, TextInput)
    return replace(dense, encoder=both)


def of_vectors(request: Request) -> Request:
    """The same request for the vectors alone."""
    assert isinstance(request.spec, HybridSpec)
    assert isinstance(request.source, TextInput)
    source = replace(request.source, encoder=request.source.encoder.vectors)
    return replace(request, spec=request.spec.dense, source=source)


# ---- the stages ----


def _vector_stage(stage: Stage) -> Stage:
    """A stage of the vectors in a build of both."""
    if stage is PLAN or stage is READ_TEXTS:
        return stage

    def run(work: BuildWork, request: Request, shard: Shard) -> Facts | None:
        return stage.run(work, of_vectors(request), shard)

    def holds(work: BuildWork, request: Request, facts: Facts) -> bool:
        return stage.holds(work, of_vectors(request), facts)

    return replace(stage, run=run, holds=holds)


def _words(work: BuildWork, request: Request, shard: Shard) -> Facts:
    """Leave the terms of all texts in the spool."""
    source: Any = request.source
    with text_store(work, request) as store:
        assert store is not None
        return spooled(work, term_blocks(work, source.encoder.words, store))


WORD_STAGE = Stage(WORDS, ("read",), _words, holds=has_spool)
TRAIN_BOTH = replace(TRAIN, needs=(*TRAIN.needs, WORDS))


def _prepare(request: Request) -> tuple[Stage, ...]:
    stages = recipe_of(request.spec.dense).prepare(of_vectors(request))  # type: ignore[attr-defined]
    return (*map(_vector_stage, stages), WORD_STAGE)


def _take_over(work: BuildWork, pipeline: Pipeline) -> None:
    assert isinstance(pipeline, HybridPipeline)
    recipe_of(pipeline.spec.dense).take_over(work, pipeline)
    learn_terms(pipeline.words, TermSpool(work.folder.path), work.facts(WORDS))


# ---- the recipe ----


class BothRows:
    """Rows of vectors, with the terms of the same texts."""

    def __init__(self, vectors: Rows, spool: TermSpool) -> None:
        self.n, self._vectors, self._spool = vectors.n, vectors, spool

    def n_vectors(self, rows: slice) -> int:
        return self._vectors.n_vectors(rows)

    def sample(self, size: int, seed: int) -> np.ndarray:
        return self._vectors.sample(size, seed)

    def blocks(self, rows: slice, vectors: int) -> Iterator[tuple[Any, Any]]:
        start = rows.start
        for block, ids in self._vectors.blocks(rows, vectors):
            yield Both(block, self._spool.read(slice(start, start + len(ids)))), ids
            start += len(ids)


@contextmanager
def _rows(work: BuildWork, request: Request) -> Iterator[BothRows]:
    with recipe_of(request.spec.dense).rows(work, of_vectors(request)) as vectors:  # type: ignore[attr-defined]
        yield BothRows(vectors, TermSpool(work.folder.path))


@dataclass(frozen=True)
class HybridShape(BuildShape):
    """Of both forms; fields and all that is not said here are those of the vectors. dense: their shape.
    terms: of the terms.
    """

    dense: BuildShape | None = None
    terms: TermShape | None = None

    @classmethod
    def of(cls, pipeline: Pipeline, dense: BuildShape, terms: TermShape) -> HybridShape:
        """The shape of a build whose two parts have these."""
        common = {field.name: getattr(dense, field.name) for field in fields(BuildShape)}
        return cls(**{**common, "pipeline": pipeline, "writer": HybridWriter}, dense=dense, terms=terms)

    @property
    def _vectors(self) -> BuildShape:
        assert self.dense is not None
        return replace(self.dense, train_rows=self.train_rows, block_rows=self.block_rows)

    @property
    def _terms(self) -> TermShape:
        """Blocks of terms are as many rows as those of vectors."""
        assert self.terms is not None
        rows = max(1, self.block_rows * self.n // self.n_vectors)
        return replace(self.terms, block_rows=max(1, rows * self.terms.postings // self.n))

    @property
    def n_vectors(self) -> int:
        assert self.dense is not None
        return self.dense.n_vectors

    @property
    def arrays(self) -> dict[str, ArraySpec]:
        words = self._terms.arrays
        return self._vectors.arrays | {f"{PREFIX}{name}": spec for name, spec in words.items()}

    @property
    def block_limits(self) -> tuple[int, int]:
        return self._vectors.block_limits

    @property
    def preparing(self) -> list[StageCost]:
        """Words come while the process may still hold what the encoder of the vectors took."""
        before, words = self._vectors.preparing, self._terms.preparing[-1]
        held = max(stage.memory_bytes for stage in before)
        return [*before, replace(words, name=WORDS, memory_bytes=held + words.memory_bytes)]

    @property
    def temporary_bytes(self) -> int:
        return self._vectors.temporary_bytes + self._terms.temporary_bytes

    @property
    def finishing_bytes(self) -> int:
        return max(self._vectors.finishing_bytes, self._terms.finishing_bytes)

    @property
    def stages(self) -> list[StageCost]:
        terms = {stage.name: stage for stage in self._terms.stages}
        return [
            replace(stage, memory_bytes=stage.memory_bytes + terms[stage.name].memory_bytes)
            if stage.name == "add"
            else stage
            for stage in super().stages
        ]

    @property
    def code_bytes_per_document(self) -> int:
        return self._vectors.code_bytes_per_document + self._terms.code_bytes_per_document


def _shape(request: Request, corpus: CorpusFacts | None, timed: bool) -> HybridShape:
    spec, source = request.spec, request.source
    assert isinstance(spec, HybridSpec)
    assert isinstance(source, TextInput)
    dense = recipe_of(spec.dense).shape(of_vectors(request), corpus, timed)
    words = replace(request, spec=spec.terms, source=replace(source, encoder=source.encoder.words))
    into = request.into and request.into.lexical  # type: ignore[attr-defined]
    terms = recipe_of(spec.terms).shape(replace(words, into=into), corpus, timed)
    assert isinstance(terms, TermShape)
    return HybridShape.of(request.new_index().pipeline, dense, terms)


RECIPE = Recipe(
    open_hybrid, _shape, _prepare, _rows, HybridWriter, take_over=_take_over, training=(SAMPLE, TRAIN_BOTH)
)
