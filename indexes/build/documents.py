"""Builds of documents of several vectors: token vectors exist for one block of documents at a time.

Where the pool learns, the stage "guides" comes before (guides.py). The stage "pool" takes token vectors from
the encoder, or from the file, a block at a time, and leaves what the pool of the key keeps of them in a
spool; a killed build goes on behind the last whole block.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.indexes.build.document_shape import document_shape
from cluscomp.indexes.build.document_writer import DocumentWriter
from cluscomp.indexes.build.guides import GUIDES, take_over_pool
from cluscomp.indexes.build.pooled import PooledSpool
from cluscomp.indexes.build.recipe import Recipe
from cluscomp.indexes.build.request import Request, Shard
from cluscomp.indexes.build.source import TextInput, open_documents
from cluscomp.indexes.build.stage import BuildWork, Facts, Stage, WorkDone
from cluscomp.indexes.build.stages import PLAN, READ_TEXTS, corpus_of
from cluscomp.indexes.build.token_blocks import (
    Block,
    document_count,
    ids_of,
    require_tokens,
    text_store,
    token_blocks,
)
from cluscomp.indexes.multivector.pooling import pooled
from cluscomp.indexes.storage.texts import DocumentStore
from cluscomp.multivector import Ragged
from cluscomp.multivector.ragged import document_blocks, rows_of_documents


class DocumentRows:
    """Pooled documents with their ids: those of a store of texts, those of the source, or numbers from 0."""

    def __init__(self, spool: PooledSpool, source: Any, store: DocumentStore | None) -> None:
        self.n, self._spool, self._source, self._store = spool.documents, spool, source, store
        self._offsets = spool.offsets()

    def n_vectors(self, rows: slice) -> int:
        return int(self._offsets[rows.stop] - self._offsets[rows.start])

    def sample(self, size: int, seed: int) -> np.ndarray:
        """Vectors of documents drawn at random that have about so many."""
        if self._spool.vectors <= size:
            return self._spool.read(0, self._spool.vectors)
        order = checks.rng(seed).permutation(self.n)
        lengths = np.diff(self._offsets)[order]
        few = np.sort(order[: int(np.searchsorted(np.cumsum(lengths), size)) + 1])
        ends = rows_of_documents(self._offsets, few)[1]
        rows = np.empty((int(ends[-1]), self._source.dim), dtype=np.float32)
        for document, start, stop in zip(few.tolist(), ends[:-1], ends[1:], strict=True):
            rows[start:stop] = self._spool.read(*self._offsets[document : document + 2].tolist())
        return rows

    def blocks(self, rows: slice, vectors: int) -> Iterator[Block]:
        bounds = self._offsets[rows.start : rows.stop + 1]
        for block in document_blocks(np.diff(bounds), vectors):
            offsets = bounds[block.start : block.stop + 1]
            part = slice(block.start + rows.start, block.stop + rows.start)
            pooled_rows = self._spool.read(int(offsets[0]), int(offsets[-1]))
            yield Ragged(pooled_rows, offsets - offsets[0]), ids_of(self._source, self._store, part)


def _pool(work: BuildWork, request: Request, shard: Shard) -> Facts:
    """Leave the pooled vectors of all documents in the spool."""
    source: Any = request.source
    spool, pipeline = _spool(work, request), request.new_index().pipeline
    if request.into is None:
        take_over_pool(work, pipeline)
    with text_store(work, request) as store:
        n = document_count(work, request)
        if spool.documents:
            work.resumed.append(f"pool from {spool.documents}")
        left = slice(spool.documents, n)
        for tokens, ids in token_blocks(source, store, left, work.plan.block_rows):
            require_tokens(pipeline, tokens, ids)
            spool.append(pooled(pipeline, tokens))
            work.progress("pool", spool.documents, n)
    return {"rows": n, "vectors": spool.vectors}


POOL = Stage("pool", ("read", "plan", "guides"), _pool)


def _prepare(request: Request) -> tuple[Stage, ...]:
    learns = request.into is None and request.new_index().pipeline.support is not None
    stages = (PLAN, GUIDES, POOL) if learns else (PLAN, POOL)
    return (READ_TEXTS, *stages) if isinstance(request.source, TextInput) else stages


@contextmanager
def _rows(work: WorkDone, request: Request) -> Iterator[DocumentRows]:
    with text_store(work, request) as store:
        yield DocumentRows(_spool(work, request), request.source, store)


def _spool(work: WorkDone, request: Request) -> PooledSpool:
    corpus = corpus_of(work)
    return PooledSpool(work.folder.path, request.source.dim, "" if corpus is None else corpus.digest)


RECIPE = Recipe(open_documents, document_shape, _prepare, _rows, DocumentWriter, take_over=take_over_pool)
