"""Keys of two parts, "OPQ48,PQ48+Sparse(bm25)": documents are stored as vectors, and as weighted terms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from cluscomp.errors import UsageError
from cluscomp.indexes.keys.specs import CodecSpec, IndexSpec

KIND = "hybrid"
TERMS = ("terms", "clustered_terms")
"""Kinds of rows that are weighted terms."""
WORDS = "words"
"""Name of the trained stage of the terms, and of what segments store of them, in front of the name."""


@dataclass(frozen=True)
class HybridSpec(IndexSpec):
    """A key of two parts. All fields but one, and the methods, are those of the key of the vectors. words:
    the key of the terms.
    """

    words: IndexSpec | None = None

    @classmethod
    def of(cls, vectors: IndexSpec, words: IndexSpec) -> HybridSpec:
        """The key of both. Raises UsageError where the first stores no vectors, or the second no terms."""
        for spec, is_right, what in (
            (vectors, vectors.kind in ("vectors", "documents"), "key of vectors"),
            (words, words.kind in TERMS, "Sparse or Seismic key"),
        ):
            if not is_right:
                raise UsageError(
                    f"index key '{vectors}+{words}': {str(spec)!r} is no {what}; write the key of vectors, "
                    "then that of terms, as in OPQ48,PQ48+Sparse(bm25)"
                )
        return cls(**{field.name: getattr(vectors, field.name) for field in fields(IndexSpec)}, words=words)

    @property
    def kind(self) -> str:
        return KIND

    @property
    def dense(self) -> IndexSpec:
        """The key of the vectors."""
        return IndexSpec(**{field.name: getattr(self, field.name) for field in fields(IndexSpec)})

    @property
    def terms(self) -> IndexSpec:
        """The key of the terms."""
        assert self.words is not None
        return self.words

    @property
    def term_codec(self) -> CodecSpec:
        return self.terms.codec

    def __str__(self) -> str:
        return f"{self.dense}+{self.terms}"

    def tokens(self) -> list[str]:
        return [*super().tokens(), *self.terms.tokens()]

    def bound(self, shapes: Mapping[str, tuple[int, ...]], where: str) -> IndexSpec:
        dense = self.dense.bound(shapes, where)
        prefix = f"{WORDS}."
        own = {
            name.replace(prefix, "codec.", 1): shape
            for name, shape in shapes.items()
            if name.startswith(prefix)
        }
        return HybridSpec.of(dense, self.terms.bound(own, where))


def parts_of(key: str) -> list[str]:
    """The key of vectors and that of terms, or the one key that there is."""
    return [part.strip() for part in re.split(r"\+(?![^(]*\))", key)]
