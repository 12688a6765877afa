"""Ids of rows that are added to an index from files: read before anything is encoded, and compared with those
that are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.errors import InputError, UsageError
from cluscomp.indexes.base import StoredIndex
from cluscomp.indexes.build.request import Request, Shard
from cluscomp.indexes.build.source import RaggedInput, TextInput, VectorInput
from cluscomp.indexes.build.stage import BuildWork
from cluscomp.indexes.segments.id_lookup import live_matches, new_ids, require_kind, taken_already
from cluscomp.indexes.segments.ids import INT, IdColumn, make_ids
from cluscomp.indexes.storage.texts import FILE_NAME, DocumentStore
from cluscomp.inputs.ids import ids_of_kind

_IDS = 1 << 16  # compared at a time


class IncomingIds:
    """Ids of new rows of an index. replace: whether they may be in the index.

    rows: how many there are. found: per segment, the positions of live rows that have one of the ids.
    numbered: whether the rows come without ids.
    """

    def __init__(self, index: StoredIndex[Any], *, replace: bool) -> None:
        self._index, self._replace = index, replace
        self.rows = 0
        self.numbered = False
        self.found: list[np.ndarray] = [np.empty(0, dtype=np.int64) for _ in index.segments]

    @property
    def replaced(self) -> int:
        """Rows of the index that go."""
        return sum(rows.size for rows in self.found)

    def compare(self, work: BuildWork, request: Request, shard: Shard) -> None:
        """Read all ids, as a stage of a build does. Raises DuplicateIdError, DTypeError, InputError, and
        UsageError where rows are to be replaced and have no ids.
        """
        found: list[list[np.ndarray]] = [[] for _ in self.found]
        taken, first = 0, None
        for ids, n in _blocks_of_ids(work, request):
            self.numbered = ids is None
            column = self.column(ids, self.rows, n)
            if request.store_texts and column.kind == INT:
                _require_plain(column, ids)
            for rows, segment in zip(found, self._index.segments, strict=True):
                matches = live_matches(segment, column)
                here = np.flatnonzero(matches >= 0)
                rows.append(matches[here])
                taken += here.size
                if here.size and first is None:
                    first = column.take(here[:1]).tolist()[0]
            self.rows += n
        if taken and not self._replace:
            raise taken_already(first, taken, self.rows)
        self.found = [np.concatenate([*rows, before]) for rows, before in zip(found, self.found, strict=True)]

    def column(self, ids: Any, first: int, n: int) -> IdColumn:
        """Ids of n rows from number `first` on, as the index has them."""
        index = self._index
        if self.numbered:
            if self._replace:
                raise UsageError("the rows have no ids, which say what is replaced; pass ids=")
            return new_ids((), index.id_kind, index.next_id + first, None, n)
        column = make_ids(ids_of_kind(ids, index.id_kind) if isinstance(ids, list) else ids, n)
        require_kind(index.id_kind, column)
        return column


def _blocks_of_ids(work: BuildWork, request: Request) -> Iterator[tuple[Any, int]]:
    """Ids of the rows in order, None where there are none, and how many rows a block has."""
    source: Any = request.source
    if isinstance(source, TextInput):
        with DocumentStore(work.path(FILE_NAME)) as store:
            for block in iter_blocks(work.facts("read")["rows"], _IDS):
                yield store.ids(block.start, block.stop), block.stop - block.start
    elif isinstance(source, (VectorInput, RaggedInput)):
        whole: Any = source.vectors if isinstance(source, VectorInput) else source
        for block in iter_blocks(whole.n, _IDS):
            yield None if whole.ids is None else whole.ids[block], block.stop - block.start
    else:
        for ids, rows in source.blocks():
            yield ids, len(rows)


def _require_plain(column: IdColumn, given: list[str]) -> None:
    """Refuse documents whose ids are integers in another form, such as 007: their texts are stored under the
    ids of the index.
    """
    for own, name in zip(given, column.take(np.arange(len(column))).tolist(), strict=True):
        if own != str(name):
            raise InputError(f"the document has id {own!r}, but the index has it as {name!r}; write it so")
