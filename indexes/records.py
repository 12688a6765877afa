"""Records: what an index holds of a row, by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cluscomp import checks
from cluscomp.array_forms import id_values
from cluscomp.errors import UsageError
from cluscomp.indexes.contents import Segment
from cluscomp.indexes.filters.filterable import UNSAID
from cluscomp.indexes.saved import SavedIndex
from cluscomp.indexes.segments.id_lookup import positions_of, require_found, require_kind
from cluscomp.indexes.segments.ids import make_ids
from cluscomp.indexes.segments.texts import by_piece, texts_at
from cluscomp.vocabulary import MISSING, Missing


@dataclass(frozen=True, eq=False)
class Record:
    """What an index holds of one row.

    Attributes:
        id: of the row.
        vector: (dim,) float32 that its finest codes stand for, or (m, dim) those of a document, or term ->
            weight of a sparse row; None where the key has no way back, or where vectors were not asked for.
        title: None where none is stored.
        text: None where none is stored.
        attributes: name -> value, those that have one.
    """

    id: int | str
    vector: Any = None
    title: str | None = None
    text: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


class Recorded(SavedIndex[Segment]):
    """Base of `StoredIndex`: rows by id."""

    def get(
        self, ids: Any, *, missing: Missing = "fail", vectors: bool = True, tenant: Any = UNSAID
    ) -> list[Record]:
        """Look up what the index holds of rows.

        Args:
            ids: ids, different from each other, or one id.
            missing: "fail" where an id is not in the index, or "ignore": leave it out.
            vectors: whether to decode vectors, too.
            tenant: whose rows, where the index has a tenant column: ids of others are not in the index then;
                None: those of all.

        Returns:
            Records in the order of ids.

        Raises:
            InputError: an id is not in the index.
            UsageError: no tenant was said.
            UnknownKeyError: missing is unknown.
            DuplicateIdError: an id is given twice.
            DTypeError: ids are not of the kind that the index has.
            IndexMissingError: the texts are gone, since others changed the folder long ago: `refresh`.
            CorruptIndexError: the texts cannot be read.
        """
        checks.one_of("missing", missing, MISSING)
        values = [ids] if isinstance(ids, (str, int, np.integer)) else id_values(ids)
        segments = self.segments_of(tenant)
        if len(values) == 0:
            return []
        wanted = make_ids(values, len(values))
        require_kind(self._id_kind, wanted)
        positions = positions_of(segments, wanted)
        if missing == "fail":
            require_found(wanted, positions < 0, "missing='ignore' leaves such ids out")
        there = np.flatnonzero(positions >= 0)
        names, positions = wanted.take(there).tolist(), positions[there]
        rows = self._vectors_or_none(segments, positions) if vectors else [None] * len(names)
        texts, attributes = texts_at(segments, positions), _attributes_at(segments, positions)
        return [
            Record(name, vector, *text, facts)
            for name, vector, text, facts in zip(names, rows, texts, attributes, strict=True)
        ]

    @property
    def has_texts(self) -> bool:
        """Whether titles and texts of rows are stored."""
        return any(segment.texts is not None for segment in self._segments)

    def _vectors_or_none(self, segments: tuple[Segment, ...], positions: np.ndarray) -> Sequence[Any]:
        self.pipeline.require_trained()
        try:
            return self._vectors_at(segments, positions)
        except UsageError:  # a transform of the key has no way back
            return [None] * len(positions)

    def _vectors_at(self, segments: tuple[Segment, ...], positions: np.ndarray) -> Sequence[Any]:
        """What the finest codes of rows stand for, one by one. positions: over all segments."""
        raise NotImplementedError


def _attributes_at(segments: Sequence[Any], positions: np.ndarray) -> list[dict[str, Any]]:
    """Attributes of rows, those that have a value. positions: over all segments."""
    found: list[dict[str, Any]] = [{} for _ in positions]
    for number, slots, rows in by_piece([segment.n_rows for segment in segments], positions):
        if segments[number].attributes is not None:
            columns = segments[number].attributes.take(rows).to_dict()
            for row, slot in enumerate(slots.tolist()):
                values = {name: column[row] for name, column in columns.items()}
                found[slot] = {name: value for name, value in values.items() if value is not None}
    return found
