"""Builds of single vectors: a file or array of them, which is checked first, or texts, which are encoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp import errors
from cluscomp.arrays import require_finite
from cluscomp.indexes.build.costs import BuildShape
from cluscomp.indexes.build.rates import pipeline_rates
from cluscomp.indexes.build.recipe import Recipe
from cluscomp.indexes.build.request import Request, Shard
from cluscomp.indexes.build.source import TextInput, VectorInput, open_vectors, stored_id_bytes
from cluscomp.indexes.build.stage import BuildWork, Facts, Stage, WorkDone
from cluscomp.indexes.build.stages import PLAN, READ_TEXTS
from cluscomp.indexes.build.texts import text_costs
from cluscomp.indexes.build.vector_writer import VectorWriter
from cluscomp.indexes.storage.texts import FILE_NAME, CorpusFacts, DocumentStore
from cluscomp.inputs.embeddings import open_embeddings
from cluscomp.inputs.sources import VectorSource
from cluscomp.progress import as_stage

VECTORS = "vectors.npy"
_SAMPLE_STRATUM = 1 << 20


class VectorRows:
    """Single vectors with their ids: those of a store of texts, those of the vectors, or numbers from 0."""

    def __init__(self, vectors: VectorSource, store: DocumentStore | None) -> None:
        self.n, self._vectors, self._store = vectors.n, vectors, store

    def n_vectors(self, rows: slice) -> int:
        return int(rows.stop - rows.start)

    def sample(self, size: int, seed: int) -> np.ndarray:
        return self._vectors.take(sample_rows(self.n, min(size, self.n), seed))

    def blocks(self, rows: slice, vectors: int) -> Iterator[tuple[np.ndarray, Any]]:
        for part, block in in_blocks(self._vectors, rows, vectors):
            yield block, self._ids(part)

    def _ids(self, part: slice) -> Any:
        if self._store is not None:
            return self._store.ids(part.start, part.stop)
        ids = self._vectors.ids
        return np.arange(part.start, part.stop) if ids is None else ids[part]


def in_blocks(vectors: VectorSource, rows: slice, size: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Numbers and values of the rows of a slice in order, `size` at a time."""
    if rows == slice(0, vectors.n):  # read in one go
        done = 0
        for block in vectors.blocks(size):
            yield slice(done, done + len(block)), block
            done += len(block)
        return
    for start in range(rows.start, rows.stop, size):
        part = slice(start, min(start + size, rows.stop))
        yield part, vectors.read(part.start, part.stop)


def sample_rows(n: int, size: int, seed: int) -> np.ndarray:
    """Ascending row numbers (size,) int64, uniform without replacement, in memory of the sample alone.

    Goes through the rows in strata; how many each gives is hypergeometric.
    """
    rng = np.random.default_rng((seed, 0x5A))
    picked: list[np.ndarray] = []
    left = size
    for start in range(0, n, _SAMPLE_STRATUM):
        rows = min(_SAMPLE_STRATUM, n - start)
        rest = n - start - rows
        count = left if rest == 0 else int(rng.hypergeometric(rows, rest, left)) if left else 0
        if count:
            picked.append(start + np.sort(rng.choice(rows, size=count, replace=False, shuffle=False)))
            left -= count
    return np.concatenate(picked).astype(np.int64)


# ---- the stages ----


def _check(work: BuildWork, request: Request, shard: Shard) -> Facts:
    """Read all rows once and raise NonFiniteError or TooLargeError naming the id of the first that holds NaN,
    infinity or a magnitude that the index cannot compare.

    Takes the time of one pass over the file, so that a fault at its end does not show after hours of
    training.
    """
    vectors, largest = _given(request), request.new_index().pipeline.largest
    rows, done = shard.part(vectors.n), 0
    n = rows.stop - rows.start
    for part, block in in_blocks(vectors, rows, work.plan.block_rows):
        names = None if vectors.ids is None else vectors.ids[part]
        require_finite(block, name="embeddings", ids=names, first_row=part.start, largest=largest)
        done += len(block)
        work.progress("read", done, n)
    return {"rows": n}


def _encode(work: BuildWork, request: Request, shard: Shard) -> Facts:
    """Leave vectors (n, dim) float32 of the texts, in a file of the cache of encodings or in the work folder.

    Both ways go on with the finished blocks of an interrupted encoding.
    """
    from cluscomp.encoders.cache import encode_cached, encode_to_file, usable_cache

    source, target = request.source, work.path(VECTORS)
    assert isinstance(source, TextInput)
    n, progress = work.facts("read")["rows"], as_stage(work.progress, "encode")
    with DocumentStore(work.path(FILE_NAME)) as store:
        texts = store.iter_contents(n)
        if request.cache and usable_cache("encodings", source.encoder.info.fingerprint) is not None:
            found = encode_cached(source.encoder, texts, side="document", progress=progress)
            target = Path(getattr(found, "filename", None) or target)
        else:
            encode_to_file(source.encoder, texts, target, n=n, progress=progress)
    vectors = open_embeddings(target)
    if (vectors.n, vectors.dim) != (n, source.dim):
        raise errors.DimensionError(
            f"the encoder {source.encoder.info.name!r} made {vectors.n} vectors of dim {vectors.dim} of {n} "
            f"texts, {n} of dim {source.dim} are needed: one vector a text can be indexed"
        )
    return {"rows": n, "file": str(target)}


def _is_encoded(work: BuildWork, request: Request, facts: Facts) -> bool:
    """The cache knows what it holds; a file of our own is known by the record."""
    return work.path(VECTORS).is_file()


CHECK = Stage("read", ("plan",), _check)
ENCODE = Stage("encode", ("read",), _encode, holds=_is_encoded)


# ---- the recipe ----


def _prepare(request: Request) -> tuple[Stage, ...]:
    return (READ_TEXTS, PLAN, ENCODE) if isinstance(request.source, TextInput) else (PLAN, CHECK)


@contextmanager
def _rows(work: WorkDone, request: Request) -> Iterator[VectorRows]:
    with ExitStack() as stack:
        if isinstance(request.source, TextInput):
            store = stack.enter_context(DocumentStore(work.path(FILE_NAME)))
            yield VectorRows(open_embeddings(work.facts("encode")["file"]), store)
        else:
            yield VectorRows(_given(request), None)


def _shape(request: Request, corpus: CorpusFacts | None, timed: bool) -> BuildShape:
    pipeline, source = request.new_index().pipeline, request.source
    if isinstance(source, TextInput):
        assert corpus is not None
        return BuildShape(
            pipeline,
            VectorWriter,
            n=corpus.n,
            itemsize=4,
            source_dtype="text",
            id_bytes=corpus.id_bytes + 8 * (corpus.n + 1),
            rates=pipeline_rates(pipeline),
            texts=text_costs(corpus, source.encoder, request.store_texts, timed=timed),
        )
    vectors = _given(request)
    return BuildShape(
        pipeline,
        VectorWriter,
        n=vectors.n,
        itemsize=vectors.dtype.itemsize,
        source_dtype=str(vectors.dtype),
        id_bytes=stored_id_bytes(vectors.ids),
        rates=pipeline_rates(pipeline),
    )


def _given(request: Request) -> VectorSource:
    assert isinstance(request.source, VectorInput)
    return request.source.vectors


RECIPE = Recipe(open_vectors, _shape, _prepare, _rows, VectorWriter)
