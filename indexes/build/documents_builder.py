"""Building a multi-vector index larger than memory: token vectors exist for one block of documents at a time.

    read    texts: into a spool on disk
    pool    token vectors by the encoder, or from the file, a block at a time, pooled into a spool
    train   rotation, lists and codebooks from documents drawn at random
    add     codes of all documents, a block at a time
    write   checksums, report, and the rename that makes the index appear

A killed build goes on behind the last whole block of the stage `pool`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from cluscomp.indexes.build.documents_plan import BLOCK_TEXTS, BLOCK_VECTORS, document_plan
from cluscomp.indexes.build.documents_source import RaggedInput
from cluscomp.indexes.build.documents_spool import PooledSpool
from cluscomp.indexes.build.documents_writer import DocumentWriter
from cluscomp.indexes.build.plan import BuildPlan
from cluscomp.indexes.build.source import TextInput
from cluscomp.indexes.build.stages import Builder
from cluscomp.indexes.index import open_index
from cluscomp.indexes.multivector.index import MultiVectorIndex
from cluscomp.indexes.multivector.segment import require_finite_documents, require_vectors
from cluscomp.indexes.segments.ids import make_ids
from cluscomp.indexes.stages.pipeline import training_rows
from cluscomp.indexes.storage.texts import FILE_NAME, DocumentStore
from cluscomp.multivector import Ragged, as_ragged
from cluscomp.multivector.ragged import document_blocks

Block = tuple[slice, Ragged, Any]


class DocumentBuilder(Builder):
    """Runs the stages of one build in a work folder and publishes the index at `output`."""

    source: Any

    def run(self, *, replace: bool, config: Mapping[str, Any]) -> BuildPlan:
        """All stages; the index stands at the output when this returns."""
        source, facts = self.source, None
        with ExitStack() as stack:
            store = None
            if isinstance(source, TextInput):
                path = self.work.path / FILE_NAME
                facts = self._read_documents(source, path)
                store = stack.enter_context(DocumentStore(path))
            plan = document_plan(self.request, source, facts, timed=False)
            plan.check()
            plan.check_disk(self.output)
            index = MultiVectorIndex(self.request.spec, plan.dim, plan.metric, seed=self.request.seed)
            documents = self._pool(index, store, plan.n)
            index = self._learn(index, documents)
            index.encoder = source.encoder.info if isinstance(source, TextInput) else source.encoder
            self._publish(index, documents, store, plan, replace, config)
        return plan

    # ---- stages ----

    def _pool(self, index: Any, store: DocumentStore | None, n: int) -> Ragged:
        """Pooled vectors of all documents, memory-mapped."""
        spool = PooledSpool(self.work.path, index.dim)
        if spool.documents == n:
            self._skip("pool", n)
            return spool.open()
        if spool.documents:
            self.resumed.append(f"pool from {spool.documents}")
        with self._stage("pool"):
            for part, tokens, names in self._token_blocks(store, spool.documents, n):
                column = make_ids(range(part.start, part.stop) if names is None else names, len(tokens))
                require_finite_documents(tokens, column, index.pipeline.largest)
                require_vectors(tokens, column)
                spool.append(index.pool_documents(tokens))
                self.progress("pool", spool.documents, n)
        return spool.open()

    def _token_blocks(self, store: DocumentStore | None, first: int, n: int) -> Iterator[Block]:
        """Numbers, token vectors and ids of documents from `first` on."""
        if store is None:
            for part, tokens in self.source.blocks(first, BLOCK_VECTORS):
                yield part, tokens, self.source.names(part)
            return
        for start in range(first, n, BLOCK_TEXTS):
            part = slice(start, min(start + BLOCK_TEXTS, n))
            yield (
                part,
                as_ragged(*self.source.encoder.encode_documents(store.contents(part))),
                store.ids(part.start, part.stop),
            )

    def _learn(self, index: Any, documents: Ragged) -> Any:
        trained = self.work.path / "trained"
        if self.work.facts("train") is not None:
            self.resumed.append("train")
            return open_index(trained)
        with self._stage("train"):
            wanted = self.request.train_rows or training_rows(index.spec)
            sample = _sample(documents, wanted, self.request.seed)
            index.train_pooled(sample, lambda part, done, total: self.progress(f"train {part}", done, total))
        index.save(trained, if_exists="replace")
        self.work.finish("train")
        return open_index(trained)

    def _publish(
        self, index: Any, documents: Ragged, store: DocumentStore | None, plan: BuildPlan, replace: bool,
        config: Mapping[str, Any],
    ) -> None:  # fmt: skip
        extra = self._extra_files(store, plan, config)
        n_vectors = documents.rows.shape[0]
        with DocumentWriter(
            index, self.output, if_exists="replace" if replace else "fail", n_vectors=n_vectors
        ) as writer:
            with self._stage("add"):
                for part in document_blocks(documents.lengths, BLOCK_VECTORS):
                    writer.add(documents.part(part), self._names(store, part))
                    self.progress("add", writer.documents, plan.n)
            self.progress("write", 0, plan.n)
            writer.finish(extra_files=extra)
            self.progress("write", plan.n, plan.n)

    def _names(self, store: DocumentStore | None, part: slice) -> Any:
        return self.source.names(part) if store is None else store.ids(part.start, part.stop)


def _sample(documents: Ragged, vectors: int, seed: int) -> Ragged:
    """Documents drawn at random that have about so many vectors."""
    if documents.rows.shape[0] <= vectors:
        return documents
    order = np.random.default_rng(seed).permutation(len(documents))
    n = int(np.searchsorted(np.cumsum(documents.lengths[order]), vectors)) + 1
    return documents.take(np.sort(order[:n]))


def is_ragged(source: Any) -> bool:
    """Whether a source is token vectors of documents."""
    return isinstance(source, RaggedInput)
