"""What builds of documents in both forms read: texts, of which both forms are made, or vectors that are there
already, with texts or terms of the same documents beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cluscomp import errors
from cluscomp.indexes.build.recipe import recipe_of
from cluscomp.indexes.build.source import Given, RaggedInput, TextInput, VectorInput
from cluscomp.indexes.build.terms import Blocks, TermInput, open_terms, term_input
from cluscomp.indexes.keys.hybrid import HybridSpec
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.inputs.in_step import in_step
from cluscomp.inputs.sources import Ids

Vectors = VectorInput | RaggedInput


@dataclass(frozen=True)
class Texts(TextInput):
    """Texts of which both forms are made. encoder: a `HybridEncoder`."""

    @property
    def dense(self) -> TextInput:
        """What the vectors are made of."""
        return TextInput(self.documents, self.identity, self.encoder.vectors)

    @property
    def words(self) -> TextInput:
        """What the terms are made of."""
        return TextInput(self.documents, self.identity, self.encoder.words)


@dataclass(frozen=True)
class VectorsAndTexts(TextInput):
    """Vectors that are there already, and the texts of the same documents. encoder: of the terms. dense: the
    vectors. described: both encoders, as far as they are known (`HybridInfo` as JSON).
    """

    dense: Vectors
    described: dict[str, Any] | None

    @property
    def words(self) -> TextInput:
        """What the terms are made of."""
        return TextInput(self.documents, self.identity, self.encoder)

    @property
    def dim(self) -> int:
        """Of the vectors."""
        return self.dense.dim

    @property
    def info(self) -> dict[str, Any]:
        """Both encoders, as far as they are known."""
        assert self.described is not None  # words have an encoder
        return self.described


@dataclass(frozen=True)
class VectorsAndTerms:
    """Vectors and terms of the same documents that are there already. words: the terms, whose blocks have the
    ids of the documents; described: as of `VectorsAndTexts`.
    """

    dense: Vectors
    words: TermInput
    identity: dict[str, Any]
    described: dict[str, Any] | None

    @property
    def dim(self) -> int:
        """Of the vectors."""
        return self.dense.dim

    @property
    def info(self) -> dict[str, Any] | None:
        """Both encoders, as far as they are known."""
        return self.described

    def blocks(self) -> Blocks:
        """Ids and terms, as a `TermInput` has them."""
        return self.words.blocks()


BothInput = Texts | VectorsAndTexts | VectorsAndTerms


def open_hybrid(spec: IndexSpec, given: Given) -> BothInput:
    """The source of a hybrid index.

    given.source: texts, with given.encoder for the vectors or for both forms; or vectors, with given.texts or
    given.terms beside them, and given.encoder a description of what made them, an encoder of the terms, or
    both. Terms are stems of words unless an encoder is given. Raises UsageError for what does not go
    together, and what the recipes of both sides raise; while the rows are read, InputError and DimensionError
    where the documents of both are not the same.
    """
    assert isinstance(spec, HybridSpec)
    if given.texts is not None and given.terms is not None:
        raise errors.UsageError("texts and terms are both given; terms are made of texts, or there already")
    if given.texts is not None or given.terms is not None:
        return _beside_vectors(spec, given)
    if given.encoder is None or hasattr(given.source, "shape") or hasattr(given.source, "blocks"):
        raise errors.UsageError(
            f"the key {str(spec)!r} stores vectors and terms of each document: pass a corpus and the encoder "
            "of the vectors, or vectors with the texts (texts=, --corpus) or the terms (terms=, --terms) of "
            "the same documents"
        )
    return _of_texts(spec, given)


def _of_texts(spec: HybridSpec, given: Given) -> Texts:
    from cluscomp.encoders.hybrid import HybridEncoder

    both = given.encoder if isinstance(given.encoder, HybridEncoder) else HybridEncoder(given.encoder)
    dense = recipe_of(spec.dense).open(spec.dense, replace(given, encoder=both.vectors))
    open_terms(spec.terms, replace(given, encoder=both.words))  # the encoder is one that the key takes
    assert isinstance(dense, TextInput)
    return Texts(dense.documents, dense.identity, both)


def _beside_vectors(spec: HybridSpec, given: Given) -> VectorsAndTexts | VectorsAndTerms:
    from cluscomp.encoders.hybrid import described_sides, parts_of_encoder

    maker, words = parts_of_encoder(given.encoder)
    dense = _vectors(spec, given, maker)
    ids, n = (dense.vectors.ids, dense.vectors.n) if isinstance(dense, VectorInput) else (dense.ids, dense.n)
    if given.texts is not None:
        texts = _opened_texts(spec, given, words)
        described = described_sides(dense.info, texts.info)
        whole = {**texts.identity, "vectors": dense.identity}
        documents = texts.documents

        def in_order() -> Iterator[Any]:
            return in_step(documents(), lambda one: (one.id,), ids=ids, n=n, what="texts")

        return VectorsAndTexts(in_order, whole, texts.encoder, dense, described)
    if words is not None:
        raise errors.UsageError(
            f"the terms are there already, and the encoder {words.info.name!r} makes terms of texts; leave "
            "it out, or pass texts"
        )
    terms = term_input(Given(given.terms, None, None, None, "fail", None))
    whole = {"kind": "vectors and terms", "vectors": dense.identity, "terms": terms.identity}
    named = replace(terms, blocks=lambda: _named_blocks(terms, ids, n))
    return VectorsAndTerms(dense, named, whole, described_sides(dense.info, None))


def _vectors(spec: HybridSpec, given: Given, maker: Any) -> Vectors:
    """The vectors, of a path too. maker: the encoder that made them, None where it is not known."""
    from cluscomp.inputs.embeddings import open_embeddings

    source = given.source
    columns = {role: name for role, name in (given.columns or {}).items() if role == "vectors"}
    if isinstance(source, str | Path):
        source, columns = open_embeddings(source, columns=columns), {}
    found = recipe_of(spec.dense).open(
        spec.dense, replace(given, source=source, encoder=maker, columns=columns, texts=None, terms=None)
    )
    if not isinstance(found, VectorInput | RaggedInput):
        raise errors.UsageError(
            f"texts= and terms= stand beside vectors, but the source is a {type(given.source).__name__}; "
            "pass a path or an array of vectors"
        )
    return found


def _opened_texts(spec: HybridSpec, given: Given, words: Any) -> TextInput:
    from cluscomp.encoders.words import STEMMED_WORDS, WordEncoder

    if words is None:
        if spec.terms.codec.own_encoder is None:
            raise errors.UsageError(
                f"{str(spec.terms)!r} takes the terms of a sparse model, and none is given for the texts; "
                "pass one of kind 'sparse' as encoder (--word-encoder), or a key with bm25"
            )
        words = WordEncoder(STEMMED_WORDS)
    columns = {role: name for role, name in (given.columns or {}).items() if role != "vectors"}
    opened = open_terms(spec.terms, Given(given.texts, words, None, None, given.empty_documents, columns))
    assert isinstance(opened, TextInput)
    return opened


def _named_blocks(terms: TermInput, ids: Ids | None, n: int) -> Blocks:
    """Blocks of terms with their ids, or with those of the vectors where the terms have none."""
    start = 0

    def names(block: tuple[Any, Any]) -> Any:
        own, rows = block
        return [None] * len(rows) if own is None else own

    for own, rows in in_step(terms.blocks(), names, ids=ids, n=n, what="rows of terms"):
        part = None if ids is None else ids[start : start + len(rows)]
        plain = part if part is None or isinstance(part, list) else part.tolist()
        yield (plain if own is None else own), rows
        start += len(rows)
