"""The rows of an index under another key: a build from the index, or from the vectors that it was made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.errors import DimensionError, UsageError
from cluscomp.indexes.base import StoredIndex
from cluscomp.indexes.build.described import NO_ATTRIBUTES, BuildAttributes
from cluscomp.indexes.build.recipe import open_source
from cluscomp.indexes.build.request import Kept, Request
from cluscomp.indexes.build.source import Given, RaggedInput, VectorInput
from cluscomp.indexes.conversion.rows import (
    DecodedRows,
    PickedRows,
    document_offsets,
    ids_of,
    matched_rows,
)
from cluscomp.indexes.index import open_index
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.segments.compacting import live_column, live_texts
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.storage.stored_texts import write_row_texts
from cluscomp.inputs.attributes import AttributesFile
from cluscomp.multivector.ragged import rows_of_documents

ERROR_ROWS = 4096
"""Vectors by which the error of new codes is estimated."""


@dataclass(frozen=True)
class Reencoding:
    """A build under way. vectors: that are encoded, in the order of the rows. coded_twice: see
    `ConvertReport`.
    """

    request: Request
    vectors: Any
    coded_twice: bool

    def added_error(self, output: str) -> tuple[float | None, int]:
        """Error of the new codes, and by how many vectors it is estimated; None where they cannot be decoded
        or a pool left other vectors.
        """
        index = open_index(output)
        try:
            decoded = DecodedRows(index)
        except UsageError:
            return None, 0
        if decoded.n != self.vectors.n:
            return None, 0
        numbers = np.unique(np.linspace(0, decoded.n - 1, ERROR_ROWS).astype(np.int64))
        wanted = index.pipeline.base_rows(self.vectors.take(numbers)).astype(np.float64)
        length = float((wanted**2).sum())
        return float(((wanted - decoded.take(numbers)) ** 2).sum()) / length if length else 0.0, len(numbers)


def reencoding(
    index: StoredIndex[Any], settings: dict[str, Any], given: Given | None, folder: Path
) -> Reencoding:
    """The build that makes `index`, opened from `folder`, anew; of a hybrid index its vectors.

    settings: of the `Request`. given: the vectors that the rows were made of, None to decode them. Raises
    UsageError (a key for rows of another kind, no way back), DimensionError, InputError (an id without a
    vector).
    """
    old, new = kind_of(index.spec.dense), kind_of(settings["spec"])
    if old.terms:
        raise UsageError(f"{folder} is an index of terms, which have no other keys to go to; build it again")
    if old is not new:
        raise UsageError(
            f"{folder} is an index of {old.name} with the key {str(index.spec.dense)!r}, but "
            f"{str(settings['spec'])!r} is a key of {new.name}; rows of one kind cannot become the other: "
            "build the index from its source"
        )
    source = _decoded(index, folder) if given is None else _picked(index, settings, given, folder)
    request = Request(
        **settings, source=source, store_texts=False, kept=_kept(index, folder), described=_described(index)
    )
    twice = given is None and not is_exact(index.pipeline)
    return Reencoding(request, source.vectors, twice)


def is_exact(pipeline: Pipeline) -> bool:
    """Whether the finest codes of an index stand for the rows themselves, scaled where it scales."""
    if pipeline.refine is not None:
        return pipeline.refine.exact
    return pipeline.codec.exact and all(step.dim_in == step.dim_out for step in pipeline.steps)


def _decoded(index: StoredIndex[Any], folder: Path) -> VectorInput | RaggedInput:
    if index.spec.fitted_pool is not None and index.pipeline.normalizes:
        raise UsageError(
            f"{folder} cannot be decoded for another key: {index.key!r} gives vectors lengths, but "
            "scales token vectors to length one; pass the token vectors of the documents as source"
        )
    try:
        vectors = DecodedRows(index)
    except UsageError as exc:
        raise UsageError(
            f"{folder} cannot be decoded: {exc}; pass the vectors of the rows as source, or build it again"
        ) from exc
    identity = {"kind": "index", "index": _state(index)}
    if not kind_of(index.spec.dense).ragged:
        return VectorInput(vectors, identity, _maker(index))
    ids, vectors.ids = vectors.ids, None
    return RaggedInput(vectors, document_offsets(index), ids, identity, _maker(index))


def _picked(
    index: StoredIndex[Any], settings: dict[str, Any], given: Given, folder: Path
) -> VectorInput | RaggedInput:
    source = open_source(settings["spec"], given)
    assert isinstance(source, VectorInput | RaggedInput)  # without an encoder
    if source.dim != index.dim:
        raise DimensionError(
            f"the vectors have dim {source.dim}, but {folder} has dim {index.dim}; pass the vectors that it "
            "was made of"
        )
    identity = {"kind": "matched", "index": _state(index), "source": source.identity}
    names = ids_of(index)
    if isinstance(source, RaggedInput):
        rows, offsets = rows_of_documents(source.offsets, matched_rows(index, source.ids, source.n))
        return RaggedInput(PickedRows(source.vectors, rows, None), offsets, names, identity, _maker(index))
    rows = matched_rows(index, source.vectors.ids, source.vectors.n)
    return VectorInput(PickedRows(source.vectors, rows, names), identity, _maker(index))


def _maker(index: StoredIndex[Any]) -> dict[str, Any] | None:
    """The encoder of the vectors."""
    return None if index.encoder is None else index.encoder.get("vectors", index.encoder)


def _state(index: StoredIndex[Any]) -> str:
    """What tells one state of a folder from another."""
    assert index.origin is not None
    return index.origin.version.digest


def _described(index: StoredIndex[Any]) -> BuildAttributes:
    """Attributes of the rows that are left, in their order."""
    if not index.attribute_schema:
        return NO_ATTRIBUTES
    return BuildAttributes(
        AttributesFile(Path(), None, index.attributes(tenant=None)), index.attribute_schema
    )


def _kept(index: StoredIndex[Any], folder: Path) -> Kept:
    texts: Callable[[Path], object] | None = None
    kept = live_texts(index.segments)
    if kept is not None:
        texts = lambda path: write_row_texts(path, kept, live_column(index.segments))  # noqa: E731
    return Kept(index.next_id, texts)
