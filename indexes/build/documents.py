"""Builds of documents of several vectors: token vectors exist for one block of documents at a time.

The stage "pool" takes token vectors from the encoder, or from the file, a block at a time, and leaves what
the pool of the key keeps of them in a spool; a killed build goes on behind the last whole block.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.indexes.build.document_shape import document_shape, texts_at_a_time
from cluscomp.indexes.build.document_writer import DocumentWriter
from cluscomp.indexes.build.pooled import PooledSpool
from cluscomp.indexes.build.recipe import Recipe
from cluscomp.indexes.build.request import Request, Shard
from cluscomp.indexes.build.source import TextInput, open_documents
from cluscomp.indexes.build.stage import BuildWork, Facts, Stage
from cluscomp.indexes.build.stages import PLAN, READ_TEXTS, corpus_of
from cluscomp.indexes.multivector.pooling import pool_of, pooled
from cluscomp.indexes.multivector.segment import require_finite_documents, require_vectors
from cluscomp.indexes.segments.ids import make_ids
from cluscomp.indexes.storage.texts import FILE_NAME, DocumentStore
from cluscomp.multivector import Ragged, as_ragged
from cluscomp.multivector.ragged import document_blocks, rows_of_documents

Block = tuple[Ragged, Any]


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


def ids_of(source: Any, store: DocumentStore | None, part: slice) -> Any:
    """Ids of some documents."""
    if store is not None:
        return store.ids(part.start, part.stop)
    return np.arange(part.start, part.stop) if source.ids is None else source.ids[part]


def _pool(work: BuildWork, request: Request, shard: Shard) -> Facts:
    """Leave the pooled vectors of all documents in the spool."""
    source: Any = request.source
    spool, pipeline = _spool(work, request), request.new_index().pipeline
    pool = pool_of(pipeline.spec)
    with _store(work, request) as store:
        n = source.n if store is None else work.facts("read")["rows"]
        if spool.documents:
            work.resumed.append(f"pool from {spool.documents}")
        left = slice(spool.documents, n)
        for tokens, ids in _token_blocks(source, store, left, work.plan.block_rows):
            column = make_ids(ids, len(tokens))
            require_finite_documents(tokens, column, pipeline.largest)
            require_vectors(tokens, column)
            spool.append(pooled(pool, tokens, request.seed))
            work.progress("pool", spool.documents, n)
    return {"rows": n, "vectors": spool.vectors}


def _token_blocks(
    source: Any, store: DocumentStore | None, documents: slice, vectors: int
) -> Iterator[Block]:
    """Token vectors and ids of some documents, a block at a time."""
    if store is None:
        for part, tokens in source.blocks(documents, vectors):
            yield tokens, ids_of(source, None, part)
        return
    step = texts_at_a_time(vectors)
    for start in range(documents.start, documents.stop, step):
        part = slice(start, min(start + step, documents.stop))
        yield as_ragged(*source.encoder.encode_documents(store.contents(part))), ids_of(source, store, part)


POOL = Stage("pool", ("read", "plan"), _pool)


def _prepare(request: Request) -> tuple[Stage, ...]:
    return (READ_TEXTS, PLAN, POOL) if isinstance(request.source, TextInput) else (PLAN, POOL)


@contextmanager
def _rows(work: BuildWork, request: Request) -> Iterator[DocumentRows]:
    with _store(work, request) as store:
        yield DocumentRows(_spool(work, request), request.source, store)


@contextmanager
def _store(work: BuildWork, request: Request) -> Iterator[DocumentStore | None]:
    """The texts, where texts are read."""
    with ExitStack() as stack:
        is_text = isinstance(request.source, TextInput)
        yield stack.enter_context(DocumentStore(work.path(FILE_NAME))) if is_text else None


def _spool(work: BuildWork, request: Request) -> PooledSpool:
    corpus = corpus_of(work)
    return PooledSpool(work.folder.path, request.source.dim, "" if corpus is None else corpus.digest)


RECIPE = Recipe(open_documents, document_shape, _prepare, _rows, DocumentWriter)
