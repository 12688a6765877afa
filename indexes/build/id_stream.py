"""Ids of a streamed build: written as they come, compared over all blocks at the end in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from cluscomp.arrays import iter_blocks
from cluscomp.errors import DTypeError, DuplicateIdError, UsageError
from cluscomp.indexes.segments.id_keys import KEYS, ROWS, equal_runs, key_specs
from cluscomp.indexes.segments.ids import INT, TEXT, IdColumn, RangeIds, TextIds, make_ids
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.storage.manifest import Manifest, SegmentEntry
from cluscomp.indexes.storage.stream import ArrayStream

HASHES = "hashes"
KEY_BYTES = 40
"""Memory of one id while ids are compared: key, row and sorted copies."""
MIN_MEMORY = 1 << 20
_SAMPLE = 1 << 16


class IdStream:
    """Ids of all blocks of a segment, one kind for all. path: file of an array, or of a temporary one by its
    name with a dot in front.

    Consecutive integers cost nothing on disk in the end. Until the end, a temporary file keeps the key of
    each text id, its XXH64 hash; integers are their own key.
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
            specs |= self._write_keys(memory)
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

    def _write_keys(self, memory: int) -> dict[str, ArraySpec]:
        """Write the keys of all ids in ascending order with their rows (`IdKeys`), and compare equal ones.

        They are sorted in classes of neighbouring keys that fit `memory`; one reading a class.
        """
        source = self._streams[HASHES if self._kind == TEXT else "ids"]
        written = key_specs(source.dtype.str, self._n)
        streams = {name: ArrayStream(self._path(name), spec.dtype, ()) for name, spec in written.items()}
        self._streams |= streams
        memory = max(memory, MIN_MEMORY)
        bounds = self._class_bounds(source, -(-self._n * KEY_BYTES // memory))
        for low, high in pairwise((None, *bounds, None)):
            keys, rows = self._keys_between(source, low, high, max(1, memory // KEY_BYTES))
            order = np.argsort(keys, kind="stable")
            keys, rows = keys[order], rows[order]
            for run in equal_runs(keys, rows):
                self._require_different(run.tolist())
            streams[KEYS].append(keys)
            streams[ROWS].append(rows)
        return {name: stream.finish() for name, stream in streams.items()}

    def _class_bounds(self, source: ArrayStream, n_classes: int) -> list[Any]:
        """Keys that part all keys into classes of about equal size, from a sample of them."""
        if n_classes < 2:
            return []
        step = -(-self._n // _SAMPLE)
        blocks = iter_blocks(self._n, step * 1024)
        sample = np.sort(np.concatenate([source.read(block)[::step] for block in blocks]))
        places = np.arange(1, n_classes) * len(sample) // n_classes
        return list(np.unique(sample[places]))

    def _keys_between(
        self, source: ArrayStream, low: Any, high: Any, block_rows: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Keys from low (None: the smallest) up to, but without, high (None: no bound), and their rows."""
        keys, rows = [], []
        for block in iter_blocks(self._n, block_rows):
            values = source.read(block)
            is_mine = np.ones(len(values), dtype=bool) if low is None else values >= low
            mine = np.flatnonzero(is_mine if high is None else is_mine & (values < high))
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
