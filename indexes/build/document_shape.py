"""What the plan of a build of documents has to know beside that of single vectors: how many vectors a pool
leaves, and what pooling takes, by a few documents of the corpus.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.indexes.build.costs import BuildShape, StageCost, TextShape, read_texts
from cluscomp.indexes.build.document_writer import DocumentWriter
from cluscomp.indexes.build.rates import pipeline_rates
from cluscomp.indexes.build.request import Request
from cluscomp.indexes.build.source import RaggedInput, TextInput, stored_id_bytes
from cluscomp.indexes.build.texts import text_costs
from cluscomp.indexes.multivector.pooling import pooled
from cluscomp.indexes.stages.support_pool import GUIDES, SupportPool
from cluscomp.indexes.storage.texts import CorpusFacts
from cluscomp.multivector import Ragged, as_ragged

BLOCK_VECTORS = 65_536
"""Token vectors of one block: 100 MB of 384 dimensions."""
BLOCK_TEXTS = 256
"""Texts that are encoded at a time with blocks of BLOCK_VECTORS; fewer with smaller ones."""
MIN_BLOCK_VECTORS = 256
_SAMPLE_VECTORS = 4096


def texts_at_a_time(block_vectors: int) -> int:
    """Texts that are encoded and pooled together."""
    return max(1, BLOCK_TEXTS * block_vectors // BLOCK_VECTORS)


@dataclass(frozen=True)
class DocumentShape(BuildShape):
    """Of documents. pooled_vectors: vectors that the pool leaves of all documents, as estimated. token_bytes:
    most bytes of the token vectors of one text or document. pool_seconds: of encoding and pooling one.
    """

    pooled_vectors: int = 0
    token_bytes: int = 0
    pool_seconds: float = 0.0

    @property
    def n_vectors(self) -> int:
        return self.pooled_vectors

    @property
    def block_limits(self) -> tuple[int, int]:
        return min(MIN_BLOCK_VECTORS, BLOCK_VECTORS), BLOCK_VECTORS

    @property
    def preparing(self) -> list[StageCost]:
        """Documents are read, where they are texts, and pooled."""
        disk = 4 * self.pipeline.dim * self.n_vectors + 8 * self.n
        pool = StageCost("pool", self.n, self._pool_bytes(self.texts), disk, self.pool_seconds * self.n)
        stages = (
            [pool] if self.pipeline.support is None else [self._guides(self.pipeline.support, pool), pool]
        )
        return stages if self.texts is None else [read_texts(self, self.texts), *stages]

    def _guides(self, learning: SupportPool, pool: StageCost) -> StageCost:
        """Token vectors of some documents, which lie on disk until the pool has learned from them."""
        few = min(self.n, GUIDES)
        disk = few * self.token_bytes + learning.nbytes
        return StageCost("guides", few, pool.memory_bytes, disk, self.pool_seconds * few)

    def _pool_bytes(self, texts: TextShape | None) -> int:
        """Token vectors of a block as the encoder leaves them, as one matrix, and what the pool holds."""
        held = 0 if self.pipeline.support is None else self.pipeline.support.working_bytes
        if texts is None:
            return held + 3 * max(self.block_rows * self.row_bytes, self.token_bytes)
        return held + 3 * texts_at_a_time(self.block_rows) * self.token_bytes + texts.encode_bytes


def document_shape(request: Request, corpus: CorpusFacts | None, timed: bool) -> DocumentShape:
    """What the plan has to know. corpus: of texts. timed: measure encoding and pooling on a few documents,
    else they count as 0 seconds.
    """
    pipeline = request.new_index().pipeline
    source: Any = request.source
    tokens, seconds = _some_tokens(source, corpus)
    if pipeline.support is not None and request.into is None:
        pipeline.support.learn(tokens, 0)
    start = time.perf_counter()
    kept = pooled(pipeline, tokens).rows.shape[0] / len(tokens)
    seconds += (time.perf_counter() - start) / len(tokens)
    n, id_bytes, token_vectors, dtype = _sizes(source, corpus)
    texts = None if corpus is None else text_costs(corpus, source.encoder, request.store_texts, timed=False)
    return DocumentShape(
        pipeline,
        DocumentWriter,
        n=n,
        itemsize=4,
        source_dtype=dtype,
        id_bytes=id_bytes,
        rates=pipeline_rates(pipeline),
        texts=texts,
        pooled_vectors=max(n, round(n * kept)),
        token_bytes=token_vectors * pipeline.dim * 4,
        pool_seconds=seconds if timed else 0.0,
    )


def _sizes(source: TextInput | RaggedInput, corpus: CorpusFacts | None) -> tuple[int, int, int, str]:
    """Documents, bytes of their ids, most token vectors of one, and what the vectors are read from."""
    if isinstance(source, TextInput):
        assert corpus is not None
        longest = source.encoder.info.max_seq_length or 512
        return corpus.n, corpus.id_bytes + 8 * (corpus.n + 1), longest, "text"
    longest = int(np.diff(source.offsets).max(initial=1))
    return source.n, stored_id_bytes(source.ids), longest, str(source.vectors.dtype)


def _some_tokens(source: Any, corpus: CorpusFacts | None) -> tuple[Ragged, float]:
    """Token vectors of a few documents, and the seconds that encoding one of them takes."""
    if corpus is None:
        stop = int(np.searchsorted(source.offsets, _SAMPLE_VECTORS, side="right")) - 1
        offsets = source.offsets[: min(max(1, stop), source.n) + 1]
        rows = source.vectors.read(0, int(offsets[-1]))
        return Ragged(np.nan_to_num(rows), offsets), 0.0  # what is no number is found when pooled
    texts = list(corpus.sample)
    source.encoder.encode_documents(texts[:2])
    start = time.perf_counter()
    tokens = as_ragged(*source.encoder.encode_documents(texts))
    return tokens, (time.perf_counter() - start) / len(texts)
