"""Rows of an index as a build reads them: decoded, or taken from the vectors that they were made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cluscomp.array_forms import id_values
from cluscomp.errors import InputError, UsageError
from cluscomp.indexes.base import StoredIndex
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.segments.compacting import live_mask
from cluscomp.indexes.segments.id_lookup import live_ids, require_kind
from cluscomp.indexes.segments.ids import TEXT, make_ids
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.inputs.sources import Ids, VectorSource, check_block_rows, check_range, check_rows

READ_ROWS = 16_384
"""Vectors that are decoded at a time."""


class DecodedRows:
    """VectorSource over the vectors of rows that are not deleted: what their finest codes stand for.

    n, dim, dtype, ids: as a `VectorSource` has them; ids are those of the rows, of which documents have one
    for several vectors. Raises UsageError where a transform has no way back.
    """

    def __init__(self, index: StoredIndex[Any]) -> None:
        if kind_of(index.spec).terms:
            raise UsageError(f"rows of the key {index.key!r} are terms, and no vectors")
        self.dim, self.dtype = index.dim, np.dtype(np.float32)
        self.ids: Ids | None = ids_of(index)
        self._segments = [segment.vectors(index.pipeline) for segment in index.segments]
        self._kept = [_kept_vectors(segment) for segment in index.segments]
        counts = [vectors.n if kept is None else len(kept) for vectors, kept in self._parts()]
        self._first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self.n = int(self._first[-1])
        for segment in self._segments:  # finds what cannot be decoded, and where codes stand
            segment.rows(np.zeros(1, dtype=np.int64))

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """See VectorSource."""
        for start in range(0, self.n, check_block_rows(rows)):
            yield self.read(start, min(start + rows, self.n))

    def read(self, start: int, stop: int) -> np.ndarray:
        """See VectorSource."""
        check_range(start, stop, self.n)
        return self.take(np.arange(start, stop))

    def take(self, rows: np.ndarray) -> np.ndarray:
        """See VectorSource."""
        rows = check_rows(rows, self.n)
        found = np.empty((len(rows), self.dim), dtype=np.float32)
        cuts = np.searchsorted(rows, self._first)
        for number, (vectors, kept) in enumerate(self._parts()):
            for start in range(int(cuts[number]), int(cuts[number + 1]), READ_ROWS):
                part = slice(start, min(start + READ_ROWS, int(cuts[number + 1])))
                inside = rows[part] - self._first[number]
                found[part] = vectors.rows(inside if kept is None else kept[inside])
            vectors.release()
        return found

    def _parts(self) -> Iterator[tuple[Any, np.ndarray | None]]:
        yield from zip(self._segments, self._kept, strict=True)


class PickedRows:
    """VectorSource of some rows of another, in the order of their numbers `rows` (n,)."""

    def __init__(self, vectors: VectorSource, rows: np.ndarray, ids: Ids | None) -> None:
        self.n, self.dim, self.dtype, self.ids = len(rows), vectors.dim, vectors.dtype, ids
        self._vectors, self._rows = vectors, rows

    def blocks(self, rows: int) -> Iterator[np.ndarray]:
        """See VectorSource."""
        for start in range(0, self.n, check_block_rows(rows)):
            yield self.read(start, min(start + rows, self.n))

    def read(self, start: int, stop: int) -> np.ndarray:
        """See VectorSource."""
        check_range(start, stop, self.n)
        rows = self._rows[start:stop]
        if len(rows) and bool((np.diff(rows) == 1).all()):
            return self._vectors.read(int(rows[0]), int(rows[-1]) + 1)
        order = np.argsort(rows, kind="stable")
        found = np.empty((len(rows), self.dim), dtype=self.dtype)
        found[order] = self._vectors.take(rows[order])
        return found

    def take(self, rows: np.ndarray) -> np.ndarray:
        """See VectorSource."""
        wanted = self._rows[check_rows(rows, self.n)]
        order = np.argsort(wanted, kind="stable")
        found = np.empty((len(wanted), self.dim), dtype=self.dtype)
        found[order] = self._vectors.take(wanted[order])
        return found


def ids_of(index: StoredIndex[Any]) -> Ids:
    """Ids of the rows that are not deleted, as sources have them."""
    ids = live_ids(index.segments)
    return ids.tolist() if index.id_kind == TEXT else ids


def document_offsets(index: StoredIndex[Any]) -> np.ndarray:
    """(n + 1,) int64 first vector of each document that is not deleted."""
    lengths = [_lengths(segment)[live_mask(segment)] for segment in index.segments]
    offsets = np.zeros(sum(map(len, lengths)) + 1, dtype=np.int64)
    np.cumsum(np.concatenate(lengths), out=offsets[1:])
    return offsets


def matched_rows(index: StoredIndex[Any], ids: Any, n: int) -> np.ndarray:
    """Row (len(index),) of a source of n rows for each row of the index, by their ids.

    ids: of the source, None for 0 to n - 1. Raises InputError naming an id that the source lacks, UsageError
    for text ids of the index without ids of the source.
    """
    if ids is None and index.id_kind == TEXT:
        raise UsageError(
            "the index has text ids, and the vectors have none, so that nothing says which belongs to which; "
            "pass the ids of the vectors"
        )
    column = make_ids(np.arange(n) if ids is None else id_values(ids), n)
    require_kind(index.id_kind, column)
    names = ids_of(index)
    found = column.find(make_ids(names, len(names)))
    missing = np.flatnonzero(found < 0)
    if missing.size:
        raise InputError(
            f"id {names[int(missing[0])]!r} of the index is not among the {n} vectors ({missing.size} of "
            f"{len(names)} ids are not); pass vectors of all rows, or none, to decode what is stored"
        )
    return found


def _kept_vectors(segment: StoredSegment) -> np.ndarray | None:
    """Numbers of the vectors whose rows are not deleted; None for all."""
    if segment.n_deleted == 0:
        return None
    live, offsets = live_mask(segment), segment.vector_offsets()
    return np.flatnonzero(live if offsets is None else np.repeat(live, np.diff(offsets)))


def _lengths(segment: StoredSegment) -> np.ndarray:
    offsets = segment.vector_offsets()
    return np.ones(segment.n_rows, dtype=np.int64) if offsets is None else np.diff(offsets)
