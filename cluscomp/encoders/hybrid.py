"""Texts as vectors and as weighted terms, by two encoders that go together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluscomp.encoders.base import Encoder, EncoderInfo, MultiVectorEncoder, TermEncoder
from cluscomp.encoders.words import STEMMED_WORDS, WordEncoder
from cluscomp.progress import Progress
from cluscomp.terms.hybrid import HybridRows

HYBRID = "hybrid"


@dataclass(frozen=True)
class HybridInfo(EncoderInfo):
    """The fields of the encoder of vectors, and what both parts are. vectors, words: EncoderInfo as JSON."""

    vectors: Mapping[str, Any] = field(default_factory=dict)
    words: Mapping[str, Any] = field(default_factory=dict)


class HybridEncoder:
    """Vectors by one encoder, weighted terms by another. vectors: of kind "dense", "tokens" or "multivector".
    words: of kind "words" or "sparse"; None: stems of words.
    """

    def __init__(self, vectors: Encoder | MultiVectorEncoder, words: TermEncoder | None = None) -> None:
        words = WordEncoder(STEMMED_WORDS) if words is None else words
        self.vectors, self.words = vectors, words
        one, two = vectors.info, words.info
        both = f"{one.kind} {one.fingerprint} {two.kind} {two.fingerprint}"
        self._info = HybridInfo(
            name=one.name,
            kind=HYBRID,
            dim=one.dim,
            normalize=one.normalize,
            query_prompt=one.query_prompt,
            document_prompt=one.document_prompt,
            max_seq_length=one.max_seq_length,
            fingerprint=hashlib.blake2b(both.encode("utf-8"), digest_size=16).hexdigest(),
            bf16=one.bf16,
            vectors=one.to_json(),
            words=two.to_json(),
        )

    @property
    def info(self) -> HybridInfo:
        """Identity of this encoder; kind is "hybrid"."""
        return self._info

    def encode_documents(self, texts: Sequence[str], progress: Progress | None = None) -> HybridRows:
        """Vectors and terms of documents. Raises what either encoder raises."""
        vectors = self.vectors.encode_documents(texts, progress)
        return _rows(vectors, self.words.encode_documents(texts))

    def encode_queries(self, texts: Sequence[str], progress: Progress | None = None) -> HybridRows:
        """Vectors and terms of queries. Raises what either encoder raises."""
        vectors = self.vectors.encode_queries(texts, progress)
        return _rows(vectors, self.words.encode_queries(texts))


def _rows(vectors: Any, terms: Any) -> HybridRows:
    rows, lengths = vectors if isinstance(vectors, tuple) else (vectors, None)
    return HybridRows(rows, terms, lengths)
