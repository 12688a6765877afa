"""Ids of a streamed build: written as they come, compared over all blocks at the end in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks
from cluscomp.errors import DTypeError, DuplicateIdError, UsageError
from cluscomp.indexes.segments.ids import INT, TEXT, IdColumn, RangeIds, TextIds, equal_runs, make_ids
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.storage.manifest import Manifest, SegmentEntry
from cluscomp.indexes.storage.stream import ArrayStream

HASHES = "hashes"
KEY_BYTES = 40
"""Memory of one id while ids are compared: key, row and sorted copies."""
MIN_MEMORY = 1 << 20


class IdStream:
    """Ids of all blocks of a segment, one kind for all. path: file of an array, or of a temporary one by its
    name with a dot in front.

    Consecutive integers cost nothing on disk in the end. For the comparison, a temporary file keeps 8 bytes a
    text id (its XXH64 hash); integers are their own key.
    """

    def __init__(self, path: Callable[[str], Path]) -> None:
        self._path = path
        self._kind: str | None = None
        self._numbered = False
        self._n = 0
        self._start: int | None = None  # first id, while all ids so far are consecutive
        self._largest = -1
        self._streams: dict[str, ArrayStream] = {}

    def column(self, ids: Any, n: int) -> IdColumn:
        """Ids of the next block, checked against each other and against the kind of the blocks before."""
        if self._n == 0:
            self._numbered = ids is None
        if (ids is None) != self._numbered:
            raise UsageError("either all blocks come with ids or none; this one differs from those before")
        column: IdColumn = RangeIds(self._n, n) if ids is None else make_ids(ids, n)
        if self._kind not in (None, column.kind):
            raise DTypeError(f"the blocks before had {self._kind} ids, but this one has {column.kind} ids")
        return column

    def append(self, column: IdColumn) -> None:
        """Write the ids of one block."""
        if not self._streams:
            self._open(column.kind)
        if isinstance(column, TextIds):
            self._append_texts(column)
        else:
            self._append_integers(column)
        self._n += len(column)

    def finish(self, memory: int) -> tuple[dict[str, ArraySpec], SegmentEntry]:
        """Compare the ids of all blocks, in `memory` bytes, and close the files.

        Returns the arrays that belong to the index and the segment's line of the manifest. Raises
        DuplicateIdError.
        """
        specs = {name: stream.finish() for name, stream in self._streams.items()}
        if self._start is None:
            self._check_unique(memory)
        for name in (HASHES,) if self._kind == TEXT else ("ids",) if self._start is not None else ():
            self._streams.pop(name).remove()
            del specs[name]
        if self._start is not None:
            return specs, SegmentEntry("", self._n, "range", self._start)
        return specs, SegmentEntry("", self._n, self._kind or INT)

    def complete(self, manifest: Manifest) -> Manifest:
        """The manifest with what the ids say."""
        next_id = max(manifest.next_id, self._largest + 1)
        return replace(manifest, id_kind=self._kind, next_id=next_id)

    def close(self) -> None:
        """Close all files; may be called twice."""
        for stream in self._streams.values():
            stream.close()

    def _open(self, kind: str) -> None:
        self._kind = kind
        names = {"ids": "<i8"} if kind == INT else {"ids_text": "|u1", "ids_offsets": "<i8"}
        self._streams = {name: ArrayStream(self._path(name), dtype, ()) for name, dtype in names.items()}
        if kind == TEXT:
            self._streams[HASHES] = ArrayStream(self._path(f".{HASHES}"), "<u8", ())
            self._streams["ids_offsets"].append(np.zeros(1, dtype=np.int64))

    def _append_texts(self, column: TextIds) -> None:
        self._streams["ids_offsets"].append(column.offsets[1:] + self._streams["ids_text"].rows)
        self._streams["ids_text"].append(column.blob)
        self._streams[HASHES].append(column.hashes())

    def _append_integers(self, column: IdColumn) -> None:
        values = column.take(np.arange(len(column)))
        follows = isinstance(column, RangeIds) and (self._n == 0 or self._start == int(values[0]) - self._n)
        self._start = int(values[0]) - self._n if follows else None
        self._largest = max(self._largest, int(values.max()))
        self._streams["ids"].append(values)

    def _check_unique(self, memory: int) -> None:
        """Sort the keys in classes (hash modulo their number) that fit `memory`; one reading a class."""
        memory = max(memory, MIN_MEMORY)
        n_classes = max(1, -(-self._n * KEY_BYTES // memory))
        for number in range(n_classes):
            keys, rows = self._keys_of_class(number, n_classes, max(1, memory // KEY_BYTES))
            order = np.argsort(keys, kind="stable")
            for run in equal_runs(keys[order], rows[order]):
                self._require_different(run.tolist())

    def _keys_of_class(self, number: int, n_classes: int, block_rows: int) -> tuple[np.ndarray, np.ndarray]:
        stream = self._streams[HASHES if self._kind == TEXT else "ids"]
        keys, rows = [], []
        for block in iter_blocks(self._n, block_rows):
            values = stream.read(block)
            hashes = values if self._kind == TEXT else native.hash_integers(values)
            mine = np.flatnonzero(hashes % n_classes == number)
            keys.append(values[mine])
            rows.append(mine + block.start)
        return np.concatenate(keys), np.concatenate(rows)

    def _require_different(self, rows: list[int]) -> None:
        """Raise DuplicateIdError if two of these rows, whose keys are equal, have the same id."""
        seen: dict[Any, int] = {}
        for row in rows:  # different texts may share a hash
            name = self._text(row) if self._kind == TEXT else self._integer(row)
            if name in seen:
                raise DuplicateIdError(
                    f"id {name!r} occurs twice, as rows {seen[name]} and {row}; ids must be different. "
                    "Nothing was written"
                )
            seen[name] = row

    def _integer(self, row: int) -> int:
        return int(self._streams["ids"].read(slice(row, row + 1))[0])

    def _text(self, row: int) -> str:
        start, stop = self._streams["ids_offsets"].read(slice(row, row + 2)).tolist()
        return bytes(self._streams["ids_text"].read(slice(start, stop))).decode("utf-8")
