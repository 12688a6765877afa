"""What an encoder is, and what an index remembers of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Protocol

import numpy as np

from cluscomp import checks
from cluscomp.errors import DTypeError, EncoderMismatchError, InputError, MalformedFileError, UsageError
from cluscomp.progress import Progress
from cluscomp.terms import TermRows
from cluscomp.vocabulary import Side

SIDES = ("document", "query")


@dataclass(frozen=True)
class EncoderInfo:
    """Identity of an encoder: all that decides which vector a text gets.

    name: as the user gave it. kind: "dense". dim: length of a vector. normalize: whether vectors have length
    1. query_prompt, document_prompt: text put before every query or document. max_seq_length: tokens read of
    a text, None when the model has no limit. fingerprint: hash of the model's content (weights, vocabulary,
    pooling) and of the settings but the name, so that one model from two places counts as one. bf16: forward
    passes in bfloat16.
    """

    name: str
    kind: str
    dim: int
    normalize: bool
    query_prompt: str
    document_prompt: str
    max_seq_length: int | None
    fingerprint: str
    bf16: bool = False

    def to_json(self) -> dict[str, Any]:
        """The fields as a dict of JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EncoderInfo:
        """Inverse of `to_json`; ignores fields that a later version added, and an earlier one had no bf16.

        Raises MalformedFileError.
        """
        missing = [field.name for field in fields(cls) if field.name not in data and field.default is MISSING]
        if missing:
            raise MalformedFileError(f"the description of the encoder lacks: {', '.join(missing)}")
        return cls(**{field.name: data[field.name] for field in fields(cls) if field.name in data})


class Encoder(Protocol):
    """Turns texts into vectors, (n, info.dim) float32, C-contiguous, in the order given."""

    @property
    def info(self) -> EncoderInfo:
        """Identity of this encoder."""
        ...

    def encode_documents(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Vectors of documents, (n, dim) float32."""
        ...

    def encode_queries(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        """Vectors of queries, (n, dim) float32."""
        ...


class MultiVectorEncoder(Protocol):
    """Turns texts into several vectors each: vectors (N, info.dim) float32 of all texts below each other, and
    lengths (n,) int64, the number of vectors of each text.
    """

    @property
    def info(self) -> EncoderInfo:
        """Identity of this encoder; its kind is "tokens" or "multivector"."""
        ...

    def encode_documents(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of documents and their lengths."""
        ...

    def encode_queries(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Vectors of queries and their lengths."""
        ...


class TermEncoder(Protocol):
    """Turns texts into weighted terms: words and how often each occurs, or the terms of a model."""

    @property
    def info(self) -> EncoderInfo:
        """Identity of this encoder; its kind is "words" or "sparse"."""
        ...

    def encode_documents(self, texts: Sequence[str], progress: Progress | None = None) -> TermRows:
        """Terms of documents."""
        ...

    def encode_queries(self, texts: Sequence[str], progress: Progress | None = None) -> TermRows:
        """Terms of queries."""
        ...


def encode_side(
    encoder: Encoder, texts: Sequence[str], side: Side, progress: Progress | None = None
) -> np.ndarray:
    """Encode texts as documents or as queries: (n, dim) float32. Raises UnknownKeyError for another side."""
    if side == "document":
        return encoder.encode_documents(texts, progress)
    checks.one_of("side", side, SIDES)
    return encoder.encode_queries(texts, progress)


def check_texts(texts: Sequence[str], *, first: int = 0) -> list[str]:
    """Return the texts as a list after checking that each is a str that UTF-8 can express.

    first: position of texts[0] in the whole input, for messages. Raises UsageError (one str instead of a
    list), DTypeError (an element is no str), InputError (half a surrogate pair).
    """
    refuse_single_text(texts)
    checked = list(texts)
    for position, text in enumerate(checked, start=first):
        if not isinstance(text, str):
            raise DTypeError(
                f"text {position} is of type {type(text).__name__}, but str is needed; "
                "convert it or drop it before encoding"
            )
        _check_unicode(text, position)
    return checked


def refuse_single_text(texts: object) -> None:
    """Raise UsageError for one str where many are needed: it would be read as a list of characters."""
    if isinstance(texts, (str, bytes)):
        raise UsageError("texts is one string; pass a list of strings, such as [text]")


def _check_unicode(text: str, position: int) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise InputError(
            f"text {position} holds half a surrogate pair at character {exc.start}, which is no text; "
            "repair it with text.encode('utf-8', 'replace').decode()"
        ) from None


def check_same_encoder(expected: Mapping[str, Any] | EncoderInfo, got: EncoderInfo) -> None:
    """Refuse vectors of another encoder than `expected`, the one that an index was built with.

    Raises EncoderMismatchError that names both encoders and every setting in which they differ.
    """
    want = expected if isinstance(expected, EncoderInfo) else EncoderInfo.from_json(expected)
    if want.fingerprint == got.fingerprint and want.kind == got.kind:
        return
    raise EncoderMismatchError(
        f"the index was built with encoder {want.name!r}, but the queries come from encoder {got.name!r} "
        f"({_differences(want, got)}); use the index's encoder and its settings, or build the index again"
    )


def _differences(want: EncoderInfo, got: EncoderInfo) -> str:
    compared = ("kind", "dim", "normalize", "query_prompt", "document_prompt", "max_seq_length", "bf16")
    pairs = [(name, getattr(want, name), getattr(got, name)) for name in compared]
    different = [f"{name} {a!r} there, {b!r} here" for name, a, b in pairs if a != b]
    return "; ".join(different) or "same settings, but other weights or another vocabulary"
