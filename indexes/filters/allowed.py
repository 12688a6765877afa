"""Rows of each segment that pass a filter and are not deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from cluscomp.attributes import Attributes, Expression, Field, require_fit
from cluscomp.attributes.columns import Scalars
from cluscomp.attributes.expressions import Comparison, canonical
from cluscomp.bits import pack_mask
from cluscomp.errors import DimensionError
from cluscomp.indexes.filters.cache import BitsCache
from cluscomp.indexes.filters.given import Given
from cluscomp.indexes.segments.id_lookup import live_matches, live_rows, require_kind
from cluscomp.indexes.segments.passing import TAKEN_BYTES, restricted
from cluscomp.indexes.segments.row_sets import FEW, RowSet
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.segments.together import Together

OWN_BYTES, ROW_BYTES = 1 << 15, 32
"""What an answer holds besides codes: counts of lists, and numbers of each row."""


@dataclass(frozen=True)
class Allowed:
    """Rows that pass.

    whole: the segments. rows: of each segment, deleted ones left out; None where all pass. n_unknown: ids of
    the filter that the index does not have. made: what searches made of it, which is kept while it is.
    """

    whole: Together[Any]
    rows: tuple[RowSet | None, ...]
    n_unknown: int = 0
    made: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def together(self) -> Together[Any]:
        """The segments, with all other rows deleted."""
        return restricted(self.whole, self.rows)

    @cached_property
    def n(self) -> int:
        """Rows that pass."""
        pairs = zip(self.whole.segments, self.rows, strict=True)
        return sum(s.n_rows - s.n_deleted if rows is None else rows.count for s, rows in pairs)

    def most_bytes(self, row_bytes: int) -> int:
        """Bytes that it may come to hold, codes of so many bytes included."""
        bits = sum(rows.n_rows for rows in self.rows if rows is not None and not rows.is_few) // 4
        codes = 0 if set(self.rows) == {None} else self.n * (row_bytes + ROW_BYTES)
        return OWN_BYTES + bits + min(TAKEN_BYTES, codes)


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
    rows: list[RowSet | None] = [None] * len(segments)
    n_unknown = 0
    if given.ids is not None:
        named = _sets_of_ids(segments, given, id_kind)
        n_unknown = given.ids.n_given - sum(one.count for one in named)
        rows = [*named]
    for expression in sorted(given.expressions, key=lambda one: not names_one_text(one)):
        text = canonical(expression)
        rows = [
            narrowed(segment, have, meeting(expression, segment, cache, text))
            for segment, have in zip(segments, rows, strict=True)
        ]
    if given.mask is not None:
        masks = _sets_of_mask(segments, given.mask.values)
        rows = [narrowed(*each) for each in zip(segments, rows, masks, strict=True)]
    return Allowed(together, tuple(rows), n_unknown)


def narrowed(segment: StoredSegment, rows: RowSet | None, more: RowSet) -> RowSet:
    """Rows that are in both of two sets. rows: not deleted; None for all that are not."""
    if rows is None:
        return more if segment.deleted is None else more.without(segment.deleted.bits)
    return more.within(rows.bits) if more.is_few else rows.within(more.bits)


def names_one_text(expression: Expression) -> bool:
    """Whether a condition is NAME == 'text'."""
    return isinstance(expression, Comparison) and expression.op == "==" and isinstance(expression.value, str)


def meeting(expression: Expression, segment: StoredSegment, cache: BitsCache, text: str) -> RowSet:
    """Rows of a segment for which a condition holds, deleted ones included. text: `canonical(expression)`."""
    table = table_of(segment)
    if names_one_text(expression):
        assert isinstance(expression, Comparison)
        column = table.columns.get(expression.field)
        found = None
        if isinstance(column, Scalars):
            found = column.rows_with(str(expression.value), most=segment.n_rows // FEW)
        if found is not None:
            return RowSet(segment.n_rows, positions=found)
    return RowSet(segment.n_rows, bits=cache.matching(expression, table, text))


def table_of(segment: StoredSegment) -> Attributes:
    """Attributes of the rows of a segment; a table without columns where it has none."""
    return segment.attributes if segment.attributes is not None else Attributes({}, segment.n_rows)


def _sets_of_ids(segments: Sequence[StoredSegment], given: Given, id_kind: str | None) -> list[RowSet]:
    if given.ids is None or given.ids.column is None:
        return [RowSet(segment.n_rows, positions=np.empty(0, dtype=np.int64)) for segment in segments]
    require_kind(id_kind, given.ids.column)
    found = [live_matches(segment, given.ids.column) for segment in segments]
    return [
        RowSet.of(segment.n_rows, np.sort(rows[rows >= 0]))
        for segment, rows in zip(segments, found, strict=True)
    ]


def _sets_of_mask(segments: Sequence[StoredSegment], values: np.ndarray) -> list[RowSet]:
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
        found.append(RowSet(segment.n_rows, bits=pack_mask(mask)))
        start += len(rows)
    return found
