"""Ragged vectors as a build reads them: documents in blocks of bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cluscomp.errors import UsageError
from cluscomp.inputs.sources import VectorSource, check_ids
from cluscomp.multivector import Ragged
from cluscomp.multivector.ragged import document_blocks, offsets_of


@dataclass(frozen=True)
class RaggedInput:
    """Token vectors of documents that are there already.

    vectors: (N, dim) of all documents below each other. offsets: (n + 1,) int64. ids: of the documents, or
    None. identity: what must be equal for a build to go on. encoder: what made them, if known.
    """

    vectors: VectorSource
    offsets: np.ndarray
    ids: Any
    identity: dict[str, Any]
    encoder: dict[str, Any] | None

    @property
    def n(self) -> int:
        """Documents."""
        return self.offsets.shape[0] - 1

    def blocks(self, first: int, max_vectors: int) -> Iterator[tuple[slice, Ragged]]:
        """Documents from `first` on, in order, in blocks of at most max_vectors vectors, or single ones."""
        for block in document_blocks(np.diff(self.offsets[first:]), max_vectors):
            documents = slice(block.start + first, block.stop + first)
            offsets = self.offsets[documents.start : documents.stop + 1]
            yield (
                documents,
                Ragged(self.vectors.read(int(offsets[0]), int(offsets[-1])), offsets - offsets[0]),
            )

    def names(self, documents: slice) -> Any:
        """Ids of documents, as `Index.add` takes them; None where they are numbered."""
        return None if self.ids is None else self.ids[documents]


def ragged_input(
    vectors: VectorSource, lengths: Any, ids: Any, identity: dict[str, Any], encoder: dict[str, Any] | None
) -> RaggedInput:
    """Check lengths and ids against the vectors. Raises UsageError, DimensionError, DuplicateIdError."""
    if lengths is None:
        raise UsageError(
            "the key begins with a pool, so the vectors are those of documents: say how many each document "
            "has, by lengths= or an array 'lengths' in the .npz file"
        )
    offsets = offsets_of(lengths, vectors.n)
    names = None if ids is None else check_ids(ids, offsets.shape[0] - 1, "ids")
    digest = hashlib.blake2b(offsets.tobytes(), digest_size=16).hexdigest()
    return RaggedInput(vectors, offsets, names, {**identity, "lengths": digest}, encoder)
