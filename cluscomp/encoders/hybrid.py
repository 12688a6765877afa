"""Texts as vectors and as weighted terms, by two encoders that go together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from cluscomp.encoders.base import Encoder, EncoderInfo, MultiVectorEncoder, TermEncoder
from cluscomp.encoders.words import STEMMED_WORDS, WordEncoder
from cluscomp.progress import Progress
from cluscomp.terms.hybrid import HybridRows

HYBRID = "hybrid"


@dataclass(frozen=True)
class HybridInfo(EncoderInfo):
    """The fields of the encoder of vectors, or of that of the terms where it is not known, and what both
    parts are. vectors, words: EncoderInfo as JSON; None where vectors or terms came ready from an unknown
    one.
    """

    vectors: Mapping[str, Any] | None = field(default_factory=dict)
    words: Mapping[str, Any] | None = field(default_factory=dict)


class HybridEncoder:
    """Vectors by one encoder, weighted terms by another. vectors: of kind "dense", "tokens" or "multivector".
    words: of kind "words" or "sparse"; None: stems of words.
    """

    def __init__(self, vectors: Encoder | MultiVectorEncoder, words: TermEncoder | None = None) -> None:
        words = WordEncoder(STEMMED_WORDS) if words is None else words
        self.vectors, self.words = vectors, words
        info = _info(vectors.info.to_json(), words.info.to_json())
        assert info is not None
        self._info = info

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


def described_sides(
    vectors: Mapping[str, Any] | None, words: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """What an index knows of its encoders, as JSON; None where it knows neither. vectors, words: EncoderInfo
    as JSON, None where it is not known.
    """
    info = _info(vectors, words)
    return None if info is None else info.to_json()


def parts_of_encoder(encoder: Any) -> tuple[Any, Any]:
    """The encoder of vectors and that of terms; None for what is not given."""
    if encoder is None:
        return None, None
    if isinstance(encoder, HybridEncoder):
        return encoder.vectors, encoder.words
    return (None, encoder) if encoder.info.kind in ("words", "sparse") else (encoder, None)


def _info(vectors: Mapping[str, Any] | None, words: Mapping[str, Any] | None) -> HybridInfo | None:
    first = vectors or words
    if first is None:
        return None
    marks = [f"{one['kind']} {one['fingerprint']}" if one else "unknown" for one in (vectors, words)]
    common = {one.name: first[one.name] for one in fields(EncoderInfo) if one.name in first}
    mark = hashlib.blake2b(" ".join(marks).encode("utf-8"), digest_size=16).hexdigest()
    return HybridInfo(**{**common, "kind": HYBRID, "fingerprint": mark}, vectors=vectors, words=words)


def _rows(vectors: Any, terms: Any) -> HybridRows:
    rows, lengths = vectors if isinstance(vectors, tuple) else (vectors, None)
    return HybridRows(rows, terms, lengths)
