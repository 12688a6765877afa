"""Builds of indexes of weighted terms: of texts, whose words are counted or which a model encodes, or of rows
of terms.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp import errors
from cluscomp.indexes.build.clustered_term_writer import ClusteredTermWriter
from cluscomp.indexes.build.costs import BuildShape, StageCost, TextShape, read_texts
from cluscomp.indexes.build.rates import DISK_BYTES_PER_SECOND, NO_WORK
from cluscomp.indexes.build.recipe import Recipe, recipe_of
from cluscomp.indexes.build.request import Request, Shard
from cluscomp.indexes.build.source import (
    Given,
    TextInput,
    checked_ids,
    file_identity,
    ids_digest,
    refuse_columns,
    text_input,
)
from cluscomp.indexes.build.stage import BuildWork, Facts, Stage, WorkDone
from cluscomp.indexes.build.stages import PLAN, READ_TEXTS, TRAINED
from cluscomp.indexes.build.term_spool import TermSpool
from cluscomp.indexes.build.term_writer import TermWriter
from cluscomp.indexes.build.texts import text_costs
from cluscomp.indexes.build.token_blocks import text_store
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.sparse.pipeline import TermPipeline
from cluscomp.indexes.storage.texts import BATCH, CorpusFacts, DocumentStore
from cluscomp.terms import TermRows, as_term_rows

_CHARACTERS_A_POSTING = 12  # of abstracts without stop words, by measurement; for models of sparse vectors
TEXTS = 512
"""Texts whose words are in memory at a time."""
_WORD_BYTES = 100  # of a word of them
_TERM_BYTES = 200  # of a name as a Python object, with its place in a dict
_POSTINGS_A_TERM = 12
Blocks = Iterator[tuple[Any, TermRows]]


@dataclass(frozen=True)
class TermInput:
    """Rows of terms that are there already. blocks: starts a new pass over ids (None: numbered) and rows."""

    blocks: Callable[[], Blocks]
    identity: dict[str, Any]
    info: dict[str, Any] | None
    dim: int = 1


def open_terms(spec: IndexSpec, given: Given) -> TextInput | TermInput:
    """The source of an index of terms.

    given.source: a corpus of texts (path, or iterable of Documents) for keys with bm25, or with an encoder of
    kind "sparse"; else what `term_input` takes. Raises
    UsageError for arguments that contradict each other, and what opening raises.
    """
    if given.lengths is not None:
        raise errors.UsageError(
            f"lengths belong to token vectors, but the rows of {str(spec)!r} are weighted terms"
        )
    encoder, kinds = given.encoder, spec.encoder_kinds
    if encoder is None and spec.codec.own_encoder is not None and not _is_rows(given.source):
        from cluscomp.encoders import load_encoder

        encoder = load_encoder(spec.codec.own_encoder, kinds[0])
    if encoder is None:
        return term_input(given)
    if encoder.info.kind not in kinds:
        raise errors.UsageError(
            f"encoder {encoder.info.name!r} is of kind {encoder.info.kind!r}, but {str(spec)!r} needs kind "
            f"{kinds[0]!r}: keys with bm25 weigh words themselves, other Sparse keys take the terms of a "
            "sparse model"
        )
    if given.ids is not None:
        raise errors.UsageError("ids belong to rows of terms; documents have their own ids")
    return text_input(given.source, encoder, given)


def _is_rows(source: Any) -> bool:
    return isinstance(source, TermRows) or hasattr(source, "tocsr") or hasattr(source, "layout")


def term_input(given: Given) -> TermInput:
    """Rows of terms: the path of a .jsonl file, or of a .npz file of a matrix, or any form that
    `as_term_rows` takes.
    """
    from cluscomp.inputs.term_matrix import is_term_matrix, read_term_matrix

    source, columns = given.source, given.columns
    is_path = isinstance(source, str | Path)
    if is_path and not is_term_matrix(source):
        from cluscomp.inputs.terms import iter_term_blocks

        if given.ids is not None:
            raise errors.UsageError("ids stand in the .jsonl file of terms; leave ids out")
        identity = {"kind": "terms", **file_identity(Path(source)), "columns": dict(columns or {})}
        return TermInput(lambda: iter_term_blocks(source, columns=columns), identity, None)
    if is_path:
        refuse_columns(columns, source)
        rows = read_term_matrix(source)
        identity = {"kind": "terms", **file_identity(Path(source))}
    else:
        if isinstance(source, Iterable) and not hasattr(source, "shape") and not isinstance(source, TermRows):
            source = list(source)
        rows = as_term_rows(source)
        identity = {"kind": "rows", "digest": _digest(rows)}
    ids = None if given.ids is None else checked_ids(given.ids, len(rows))
    return TermInput(lambda: _parts(rows, ids), identity | {"ids": ids_digest(ids)}, None)


def _digest(rows: TermRows) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for array in (rows.offsets, rows.numbers, rows.weights):
        digest.update(np.ascontiguousarray(array).view(np.uint8))
    digest.update("\0".join(rows.names).encode("utf-8"))
    return digest.hexdigest()


def _parts(rows: TermRows, ids: Any) -> Blocks:
    for start in range(0, len(rows), BATCH):
        part = slice(start, min(start + BATCH, len(rows)))
        yield (None if ids is None else [_plain(name) for name in ids[part]]), rows[part]


def _plain(name: Any) -> Any:
    return name.item() if isinstance(name, np.generic) else name


# ---- the stages ----


def _encode(work: BuildWork, request: Request, shard: Shard) -> Facts:
    """Leave the terms of all rows in the spool."""
    with text_store(work, request) as store:
        source: Any = request.source
        return spooled(work, source.blocks() if store is None else term_blocks(work, source.encoder, store))


def spooled(work: BuildWork, blocks: Blocks) -> Facts:
    """Leave the terms of blocks in the spool. Raises EmptyInputError without rows."""
    facts: Facts = {}
    n = work.facts("read").get("rows", 0)
    for facts in TermSpool(work.folder.path).write(blocks):
        work.progress("encode", facts["rows"], max(n, facts["rows"]))
    if not facts:
        raise errors.EmptyInputError("the source has 0 rows, at least 1 is needed")
    return facts


def term_blocks(work: BuildWork, encoder: Any, store: DocumentStore) -> Blocks:
    """Terms of all texts."""
    n = work.facts("read")["rows"]
    for start in range(0, n, TEXTS):
        yield None, encoder.encode_documents(store.contents(slice(start, min(start + TEXTS, n))))


def has_spool(work: BuildWork, request: Request, facts: Facts) -> bool:
    """Whether the spool of a stage with these facts is there."""
    return TermSpool(work.folder.path).is_there()


def _train(work: BuildWork, request: Request, shard: Shard) -> Facts:
    """Leave the index without rows, with the statistics of all of them."""
    index, facts = request.new_index(), work.facts("encode")
    assert isinstance(index.pipeline, TermPipeline)
    learn_terms(index.pipeline, TermSpool(work.folder.path), facts)
    index.encoder = request.source.info
    index.save(work.path(TRAINED), if_exists="replace")
    return {"rows": facts["rows"]}


def learn_terms(pipeline: TermPipeline, spool: TermSpool, facts: Facts) -> None:
    """Let the codec take over what it keeps of all rows. facts: of the spool. Raises EmptyInputError."""
    if pipeline.terms.needs_training and not facts["postings"]:
        raise errors.EmptyInputError(
            f"{facts['rows']} rows have no terms at all, so that {str(pipeline.spec)!r} has nothing to learn"
        )
    if pipeline.counts_words:
        totals = (facts["rows"], round(facts["words"]))
        pipeline.terms.learn_words(spool.table.blob, spool.table.offsets, spool.row_counts(), totals)
    elif pipeline.terms.needs_training:
        pipeline.terms.learn_scale(facts["largest"])


ENCODE = Stage("encode", ("read", "plan"), _encode, holds=has_spool)
LEARN = Stage("train", ("encode",), _train)


def _prepare(request: Request) -> tuple[Stage, ...]:
    return (READ_TEXTS, PLAN, ENCODE) if isinstance(request.source, TextInput) else (PLAN, ENCODE)


# ---- the recipe ----


class SpooledRows:
    """Rows of the spool with their ids: those of a store of texts, those that came with them, or numbers from
    0.
    """

    def __init__(self, spool: TermSpool, store: DocumentStore | None) -> None:
        self._spool, self._store, self._ids = spool, store, spool.ids
        self.n = len(spool.offsets) - 1

    def n_vectors(self, rows: slice) -> int:
        return int(self._spool.offsets[rows.stop] - self._spool.offsets[rows.start])

    def sample(self, size: int, seed: int) -> np.ndarray:
        """Statistics are those of all rows."""
        raise NotImplementedError

    def blocks(self, rows: slice, vectors: int) -> Iterator[tuple[TermRows, Any]]:
        start, offsets = rows.start, self._spool.offsets
        while start < rows.stop:
            end = int(np.searchsorted(offsets, offsets[start] + vectors, side="right")) - 1
            part = slice(start, min(rows.stop, max(start + 1, end), start + BATCH))
            yield self._spool.read(part), self._names(part)
            start = part.stop

    def _names(self, part: slice) -> Any:
        if self._store is not None:
            return self._store.ids(part.start, part.stop)
        return self._ids[part] if self._ids else np.arange(part.start, part.stop)


@contextmanager
def _rows(work: WorkDone, request: Request) -> Iterator[SpooledRows]:
    with text_store(work, request) as store:
        yield SpooledRows(TermSpool(work.folder.path), store)


@dataclass(frozen=True)
class TermShape(BuildShape):
    """Of rows of terms. postings: terms of all rows together, as estimated."""

    postings: int = 0

    @property
    def n_vectors(self) -> int:
        return self.postings

    @property
    def block_limits(self) -> tuple[int, int]:
        return 1 << 12, 1 << 16

    @property
    def wanted_train_rows(self) -> int:
        """Statistics are those of all rows, and need no sample."""
        return 0

    @property
    def preparing(self) -> list[StageCost]:
        names = self.postings // _POSTINGS_A_TERM * _TERM_BYTES
        seconds = self.texts.seconds if self.texts else 16 * self.postings / DISK_BYTES_PER_SECOND
        words = min(TEXTS, self.n) * (2 * self.postings // self.n) * _WORD_BYTES
        encode = StageCost("encode", self.n, names + words, 16 * self.postings, seconds)
        return [encode] if self.texts is None else [read_texts(self, self.texts), encode]


def _shape(request: Request, corpus: CorpusFacts | None, timed: bool) -> TermShape:
    source = request.source
    pipeline = request.new_index().pipeline
    if isinstance(source, TextInput):
        assert corpus is not None
        n, id_bytes, dtype = corpus.n, corpus.id_bytes + 8 * (corpus.n + 1), "text"
        postings = max(n, int(corpus.characters / _characters_a_posting(source.encoder, corpus)))
        texts: TextShape | None = _text_shape(request, source, corpus, timed)
    else:
        n, postings = _counted(source)
        id_bytes, dtype, texts = 16 * n, "terms", None
    return TermShape(
        pipeline, recipe_of(request.spec).writer, n=n, itemsize=12, source_dtype=dtype, id_bytes=id_bytes,
        rates=NO_WORK, texts=texts, postings=postings,
    )  # fmt: skip


def _characters_a_posting(encoder: Any, corpus: CorpusFacts) -> float:
    """Of some of the texts, whose words are counted at once."""
    texts = list(corpus.sample)
    if encoder.info.kind != "words" or not texts:
        return _CHARACTERS_A_POSTING
    return max(1.0, sum(map(len, texts)) / max(1, len(encoder.encode_documents(texts).numbers)))


def _text_shape(request: Request, source: TextInput, corpus: CorpusFacts, timed: bool) -> TextShape:
    if source.encoder.info.kind == "words":
        seconds = corpus.characters / 4e6  # a second splits about so many characters
        return TextShape(corpus.characters, corpus.longest, request.store_texts, 0, seconds)
    from cluscomp.encoders.sparse import FORWARD_BYTES

    costs = text_costs(corpus, source.encoder, request.store_texts, timed=timed)
    return replace(costs, encode_bytes=FORWARD_BYTES)


def _counted(source: Any) -> tuple[int, int]:
    """Rows and postings, by one pass."""
    n = postings = 0
    for _, rows in source.blocks():
        n, postings = n + len(rows), postings + len(rows.numbers)
    if not n:
        raise errors.EmptyInputError("the source has 0 rows, at least 1 is needed")
    return n, max(n, postings)


RECIPE = Recipe(open_terms, _shape, _prepare, _rows, TermWriter, training=(LEARN,))
CLUSTERED_RECIPE = replace(RECIPE, writer=ClusteredTermWriter)
