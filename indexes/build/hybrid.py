"""Builds of documents in both forms: the stages of vectors, terms beside them, and one segment of both.

What is read says hybrid_source.py. The stages of the vectors see a request for vectors alone; the stage
"words" leaves the terms of all documents in a spool.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from cluscomp.indexes.build.costs import BuildShape, StageCost
from cluscomp.indexes.build.hybrid_source import open_hybrid
from cluscomp.indexes.build.hybrid_writer import Both, HybridWriter
from cluscomp.indexes.build.recipe import Recipe, Rows, recipe_of
from cluscomp.indexes.build.request import Request, Shard
from cluscomp.indexes.build.source import TextInput
from cluscomp.indexes.build.stage import BuildWork, Facts, Stage, WorkDone
from cluscomp.indexes.build.stages import PLAN, READ_TEXTS, SAMPLE, TRAIN
from cluscomp.indexes.build.term_spool import TermSpool
from cluscomp.indexes.build.terms import TermShape, has_spool, learn_terms, spooled, term_blocks
from cluscomp.indexes.build.token_blocks import text_store
from cluscomp.indexes.build.vectors import CHECK
from cluscomp.indexes.hybrid.pipeline import HybridPipeline
from cluscomp.indexes.hybrid.segment import PREFIX
from cluscomp.indexes.keys.hybrid import WORDS, HybridSpec
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.storage.texts import CorpusFacts, DocumentStore


def of_vectors(request: Request) -> Request:
    """The same request for the vectors alone."""
    assert isinstance(request.spec, HybridSpec)
    source: Any = request.source
    return replace(request, spec=request.spec.dense, source=source.dense)


# ---- the stages ----


def _vector_stage(stage: Stage) -> Stage:
    """A stage of the vectors in a build of both."""
    if stage is PLAN or stage is READ_TEXTS:
        return stage
    if stage is CHECK:
        stage = replace(stage, name="check")  # "read" are the texts

    def run(work: BuildWork, request: Request, shard: Shard) -> Facts | None:
        return stage.run(work, of_vectors(request), shard)

    def holds(work: BuildWork, request: Request, facts: Facts) -> bool:
        return stage.holds(work, of_vectors(request), facts)

    return replace(stage, run=run, holds=holds)


def _words(work: BuildWork, request: Request, shard: Shard) -> Facts:
    """Leave the terms of all documents in the spool."""
    source: Any = request.source
    with text_store(work, request) as store:
        return spooled(
            work, source.blocks() if store is None else term_blocks(work, source.words.encoder, store)
        )


WORD_STAGE = Stage(WORDS, ("read",), _words, holds=has_spool)
TRAIN_BOTH = replace(TRAIN, needs=(*TRAIN.needs, WORDS))


def _prepare(request: Request) -> tuple[Stage, ...]:
    stages = recipe_of(request.spec.dense).prepare(of_vectors(request))
    texts = (READ_TEXTS,) if isinstance(request.source, TextInput) and READ_TEXTS not in stages else ()
    return (*texts, *map(_vector_stage, stages), WORD_STAGE)


def _take_over(work: BuildWork, pipeline: Pipeline) -> None:
    assert isinstance(pipeline, HybridPipeline)
    recipe_of(pipeline.spec.dense).take_over(work, pipeline)
    learn_terms(pipeline.words, TermSpool(work.folder.path), work.facts(WORDS))


# ---- the recipe ----


class BothRows:
    """Rows of vectors, with the terms of the same documents. Ids are those of a store of texts, those that
    came with the terms, or those of the vectors.
    """

    def __init__(self, vectors: Rows, spool: TermSpool, store: DocumentStore | None) -> None:
        self.n, self._vectors, self._spool, self._store = vectors.n, vectors, spool, store
        self._ids = spool.ids

    def n_vectors(self, rows: slice) -> int:
        return self._vectors.n_vectors(rows)

    def sample(self, size: int, seed: int) -> np.ndarray:
        return self._vectors.sample(size, seed)

    def blocks(self, rows: slice, vectors: int) -> Iterator[tuple[Any, Any]]:
        start = rows.start
        for block, ids in self._vectors.blocks(rows, vectors):
            part = slice(start, start + len(ids))
            yield Both(block, self._spool.read(part)), self._names(part, ids)
            start = part.stop

    def _names(self, part: slice, of_vectors: Any) -> Any:
        if self._store is not None:
            return self._store.ids(part.start, part.stop)
        return self._ids[part] if self._ids else of_vectors


@contextmanager
def _rows(work: WorkDone, request: Request) -> Iterator[BothRows]:
    dense = recipe_of(request.spec.dense)
    with dense.rows(work, of_vectors(request)) as vectors, text_store(work, request) as store:
        yield BothRows(vectors, TermSpool(work.folder.path), store)


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
        common |= {"id_bytes": terms.id_bytes, "texts": terms.texts} if dense.texts is None else {}
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
        before, (*reading, words) = self._vectors.preparing, self._terms.preparing
        if self._vectors.texts is None:
            before = [replace(stage, name="check") if stage.name == "read" else stage for stage in before]
            before = [*reading, *before]
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
    spec: Any = request.spec
    source: Any = request.source
    of_texts = isinstance(source.dense, TextInput)
    dense = recipe_of(spec.dense).shape(of_vectors(request), corpus if of_texts else None, timed)
    words = replace(request, spec=spec.terms, source=source.words)
    into = request.into and request.into.lexical  # type: ignore[attr-defined]
    terms = recipe_of(spec.terms).shape(replace(words, into=into), corpus, timed)
    assert isinstance(terms, TermShape)
    return HybridShape.of(request.new_index().pipeline, dense, terms)


RECIPE = Recipe(
    open_hybrid, _shape, _prepare, _rows, HybridWriter, take_over=_take_over, training=(SAMPLE, TRAIN_BOTH)
)
