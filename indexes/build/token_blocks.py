"""Token vectors of documents that become an index, a block at a time: encoded, or read from the source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from cluscomp.indexes.build.document_shape import texts_at_a_time
from cluscomp.indexes.build.request import Request
from cluscomp.indexes.build.source import TextInput
from cluscomp.indexes.build.stage import BuildWork, WorkDone
from cluscomp.indexes.multivector.segment import require_finite_documents, require_vectors
from cluscomp.indexes.segments.ids import make_ids
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.storage.texts import FILE_NAME, DocumentStore
from cluscomp.multivector import Ragged, as_ragged
from cluscomp.multivector.ragged import document_blocks, offsets_of

Block = tuple[Ragged, Any]


def ids_of(source: Any, store: DocumentStore | None, part: slice) -> Any:
    """Ids of some documents."""
    if store is not None:
        return store.ids(part.start, part.stop)
    return np.arange(part.start, part.stop) if source.ids is None else source.ids[part]


def token_blocks(source: Any, store: DocumentStore | None, documents: slice, vectors: int) -> Iterator[Block]:
    """Token vectors and ids of some documents, a block at a time."""
    if store is None:
        for part, tokens in source.blocks(documents, vectors):
            yield tokens, ids_of(source, None, part)
        return
    step = texts_at_a_time(vectors)
    for start in range(documents.start, documents.stop, step):
        part = slice(start, min(start + step, documents.stop))
        yield as_ragged(*source.encoder.encode_documents(store.contents(part))), ids_of(source, store, part)


@contextmanager
def text_store(work: WorkDone, request: Request) -> Iterator[DocumentStore | None]:
    """The texts, where texts are read, else None."""
    with ExitStack() as stack:
        is_text = isinstance(request.source, TextInput)
        yield stack.enter_context(DocumentStore(work.path(FILE_NAME))) if is_text else None


def document_count(work: BuildWork, request: Request) -> int:
    """Documents of the source, or of the texts that were read."""
    source: Any = request.source
    return int(work.facts("read")["rows"] if isinstance(source, TextInput) else source.n)


def some_tokens(
    source: Any, store: DocumentStore | None, numbers: Sequence[int], vectors: int
) -> Iterator[Block]:
    """`token_blocks` of documents by number."""
    if store is None:
        lengths = np.diff(source.offsets)[numbers]
        for block in document_blocks(lengths, vectors):
            parts = [source.vectors.read(*source.offsets[i : i + 2].tolist()) for i in numbers[block]]
            own = np.concatenate([ids_of(source, None, slice(i, i + 1)) for i in numbers[block]])
            yield Ragged(np.concatenate(parts), offsets_of(lengths[block], sum(map(len, parts)))), own
        return
    step = texts_at_a_time(vectors)
    for start in range(0, len(numbers), step):
        each = [slice(number, number + 1) for number in numbers[start : start + step]]
        texts = [store.contents(one)[0] for one in each]
        ids = [store.ids(one.start, one.stop)[0] for one in each]
        yield as_ragged(*source.encoder.encode_documents(texts)), ids


def require_tokens(pipeline: Pipeline, tokens: Ragged, ids: Any) -> None:
    """Refuse values that are no numbers or too large, and documents without vectors."""
    column = make_ids(ids, len(tokens))
    require_finite_documents(tokens, column, pipeline.largest)
    require_vectors(tokens, column)
