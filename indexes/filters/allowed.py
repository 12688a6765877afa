"""Rows of each segment that pass a filter and are not deleted, as bits by position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cluscomp.attributes import Attributes, Field, require_fit
from cluscomp.bits import bit_bytes, count_bits, pack_mask, with_positions
from cluscomp.errors import DimensionError
from cluscomp.indexes.filters.cache import BitsCache
from cluscomp.indexes.filters.given import Given
from cluscomp.indexes.segments.id_lookup import live_matches, live_rows, require_kind
from cluscomp.indexes.segments.passing import restricted
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.segments.together import Together


@dataclass(frozen=True)
class Allowed:
    """Rows that pass.

    together: the segments, with all other rows deleted. bits: of each segment, deleted rows left out; None
    where all rows pass. n_unknown: ids of the filter that the index does not have. made: what searches made
    of it, which is kept while it is.
    """

    together: Together[Any]
    bits: tuple[np.ndarray | None, ...]
    n_unknown: int = 0
    made: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def n(self) -> int:
        """Rows that pass."""
        return self.together.n_live


def everything(together: Together[Any]) -> Allowed:
    """All rows that are not deleted."""
    return Allowed(together, (None,) * len(together.segments))


def allowed_rows(
    together: Together[Any], given: Given, schema: Mapping[str, Field], id_kind: str | None, cache: BitsCache
) -> Allowed:
    """Rows that pass. Raises UsageError for a condition that does not fit the attributes, DTypeError for ids
    of another kind, DimensionError for a mask of another length.
    """
    segments: Sequence[StoredSegment] = together.segments
    for expression in given.expressions:
        require_fit(expression, schema)
    bits = [segment.live_bits() for segment in segments]
    for expression in given.expressions:
        bits = [
            have & cache.matching(expression, table_of(s)) for have, s in zip(bits, segments, strict=True)
        ]
    n_unknown = 0
    if given.ids is not None:
        found = _bits_of_ids(segments, given, id_kind)
        n_unknown = given.ids.n_given - sum(map(count_bits, found))
        bits = [have & more for have, more in zip(bits, found, strict=True)]
    if given.mask is not None:
        masks = _bits_of_mask(segments, given.mask.values)
        bits = [have & more for have, more in zip(bits, masks, strict=True)]
    return Allowed(restricted(together, bits), tuple(bits), n_unknown)


def table_of(segment: StoredSegment) -> Attributes:
    """Attributes of the rows of a segment; a table without columns where it has none."""
    return segment.attributes if segment.attributes is not None else Attributes({}, segment.n_rows)


def _bits_of_ids(segments: Sequence[StoredSegment], given: Given, id_kind: str | None) -> list[np.ndarray]:
    none = [np.zeros(bit_bytes(segment.n_rows), dtype=np.uint8) for segment in segments]
    if given.ids is None or given.ids.column is None:
        return none
    require_kind(id_kind, given.ids.column)
    rows = [live_matches(segment, given.ids.column) for segment in segments]
    return [with_positions(bits, np.sort(found[found >= 0])) for bits, found in zip(none, rows, strict=True)]


def _bits_of_mask(segments: Sequence[StoredSegment], values: np.ndarray) -> list[np.ndarray]:
    live = [live_rows(segment) for segment in segments]
    n_live = sum(map(len, live))
    if len(values) != n_live:
        raise DimensionError(
            f"the mask has {len(values)} values, but the index holds {n_live} rows; pass one for each of "
            "index.ids"
        )
    found, start = [], 0
    for segment, rows in zip(segments, live, strict=True):
        mask = np.zeros(segment.n_rows, dtype=bool)
        mask[rows] = values[start : start + len(rows)]
        found.append(pack_mask(mask))
        start += len(rows)
    return found
