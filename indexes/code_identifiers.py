"""Identifiers of documents from the product codes of an index: list, codes, and place among equals."""

from __future__ import annotations

import numpy as np

from cluscomp.clustering.identifiers import places
from cluscomp.errors import UsageError
from cluscomp.indexes.any_index import AnyIndex
from cluscomp.indexes.hybrid.index import HybridIndex
from cluscomp.indexes.index import Index
from cluscomp.indexes.segments.id_lookup import live_rows
from cluscomp.indexes.segments.segment import Segment
from cluscomp.indexes.stages.code_layout import plain_rows
from cluscomp.indexes.stages.codec import CODES
from cluscomp.indexes.stages.product_codecs import ProductCodec
from cluscomp.quantization.codes import unpack_codes


def code_identifiers(index: AnyIndex) -> list[tuple[int, ...]]:
    """Paths of the rows of `index.ids`, in their order: the list where the key has lists, the m codes, then
    the number among the rows with the same list and codes. So all have one length and are different. Of a
    hybrid index the codes are those of its vectors.

    Raises UsageError for keys of other codes, and for those of documents with several vectors.
    """
    if isinstance(index, HybridIndex):
        return code_identifiers(index.dense)  # type: ignore[arg-type]
    if not isinstance(index, Index) or not isinstance(index.pipeline.codec, ProductCodec):
        raise UsageError(
            f"{index.key!r} has no product codes; build an index with a key such as OPQ24,PQ24, or name the "
            "vectors without --codes"
        )
    codec, with_lists = index.pipeline.codec, index.pipeline.partition is not None
    parts = [_numbers(codec, segment, with_lists) for segment in index.segments]
    if not parts:
        return []
    numbers = np.concatenate(parts)
    _, same = np.unique(numbers, axis=0, return_inverse=True)
    return [(*row, place) for row, place in zip(numbers.tolist(), places(same.reshape(-1)), strict=True)]


def _numbers(codec: ProductCodec, segment: Segment, with_lists: bool) -> np.ndarray:
    """List, where there are lists, and codes (live rows, m or m + 1) int32 of a segment in row order."""
    stored = segment.stored_rows(live_rows(segment))
    plain = plain_rows(codec, segment.codes, segment.offsets, stored)
    codes = unpack_codes(plain[CODES], codec.m, codec.nbits).astype(np.int32)
    if not with_lists:
        return codes
    lists = np.searchsorted(segment.offsets, stored, side="right") - 1
    return np.column_stack([lists.astype(np.int32), codes])
