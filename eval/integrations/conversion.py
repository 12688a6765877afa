"""An index encoded anew under another key in the background, while others search and change it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from cluscomp.errors import IndexChangedError, UsageError
from cluscomp.eval.integrations.kept import KeptIndex
from cluscomp.eval.integrations.mteb import single_vectors
from cluscomp.indexes.factory import index_factory
from cluscomp.indexes.index import Index
from cluscomp.indexes.segments.id_lookup import live_ids
from cluscomp.progress import Progress

BLOCK_ROWS = 8192
"""Rows that are decoded at a time."""
TRIES = 5


class Conversion:
    """A thread that makes an index of another key and lets it take the place of a kept one.

    Rows are read in blocks from the index as it lives. What was added, replaced or deleted meanwhile is told
    from its segments, and carried over twice: once beside the changes, once without them, just before the new
    index takes over. A killed process leaves the old index.

    kept: where the index is. key: of the new one. seed: of its training.

    n_rows: of the index at the beginning. failure: what went wrong, or None.
    """

    def __init__(self, kept: KeptIndex, key: str, seed: int) -> None:
        self._kept, self._key, self._seed = kept, key, seed
        self._source = single_vectors(kept.read(lambda index: index))
        self.n_rows = len(self._source)
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="cluscomp-convert", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether the end has not come yet."""
        return self._thread.is_alive()

    def finish(self, timeout: float | None = None) -> bool:
        """Wait for the end; whether it came, and well. timeout: most seconds."""
        self._thread.join(timeout)
        return not self.is_running and self.failure is None

    def _run(self) -> None:
        try:
            since: Sequence[Any] = self._source.segments
            made = converted(self._source, self._key, self._seed)
            since = catch_up(made, self._source, since)
            self._take_over(made, since)
        except Exception as exc:  # noqa: BLE001 - the owner tells of it
            self.failure = exc

    def _take_over(self, made: Index, since: Sequence[Any]) -> None:
        for _ in range(TRIES):
            with self._kept.lock:
                if self._kept.current() is not self._source:
                    return  # another process has put another index into the folder
                since = catch_up(made, self._source, since)
                try:
                    self._kept.succeed(made)
                except IndexChangedError:
                    continue
                return
        raise IndexChangedError(
            f"other processes changed the folder {TRIES} times while the index of {self._key!r} was to take "
            "its place"
        )


def converted(source: Index, key: str, seed: int = 0, progress: Progress | None = None) -> Index:
    """An index of another key with the rows of `source`: what its finest codes stand for, ids, texts,
    attributes. Rows that are changed meanwhile may be there in either state, or not at all.

    Raises TooFewRowsError, UsageError (nothing to decode from).
    """
    made = single_vectors(index_factory(key, source.dim, source.metric, seed=seed))
    made.encoder = source.encoder
    made.declare_attributes(source.attribute_schema)
    ids = live_ids(source.segments)
    if made.pipeline.needs_training:
        made.train(_sample(source, ids, made.training_limit, seed), progress=progress)
    _carry(made, source, ids)
    if len(made.segments) > 1:
        made.compact(segments=1)
    return made


def catch_up(made: Index, source: Index, since: Sequence[Any]) -> Sequence[Any]:
    """Carry over what happened to the rows of `source` since its segments were `since`; returns what they are
    now. A segment keeps its column of ids for as long as it lives.
    """
    now = source.segments
    known = {id(segment.ids): segment for segment in now}
    gone: list[Any] = []
    changed: list[Any] = []
    for before in since:
        after = known.pop(id(before.ids), None)
        if after is not None and after.attributes is before.attributes:
            gone.append(_deleted_since(before, after))
            continue
        gone.append(live_ids([before]))
        if after is not None:
            changed.append(live_ids([after]))
    changed += [live_ids([segment]) for segment in known.values()]
    for ids in gone:
        if len(ids):
            made.delete(ids, missing="ignore")
    for ids in changed:
        _carry(made, source, ids)
    return now


def _deleted_since(before: Any, after: Any) -> np.ndarray:
    """Ids of rows of a segment that were there and are not now."""
    if after.deleted is None:
        return np.empty(0, dtype=np.int64)
    rows = after.deleted.positions()
    rows = rows if before.deleted is None else rows[~before.deleted.holds(rows)]
    ids: np.ndarray = after.ids.take(rows)
    return ids


def _carry(made: Index, source: Index, ids: np.ndarray) -> None:
    """Put rows into the new index, in the place of those with their ids; what is gone is left out."""
    for start in range(0, len(ids), BLOCK_ROWS):
        records = source.get(ids[start : start + BLOCK_ROWS], missing="ignore")
        if not records:
            continue
        more: dict[str, Any] = {}
        if any(record.attributes for record in records):
            more = {"attributes": [record.attributes for record in records], "new_attributes": True}
        if any(record.text is not None or record.title is not None for record in records):
            more["documents"] = [(record.title, record.text) for record in records]
        vectors = np.stack([record.vector for record in records])
        made.upsert(vectors, [record.id for record in records], **more)


def _sample(source: Index, ids: np.ndarray, limit: int, seed: int) -> np.ndarray:
    """Vectors of rows drawn at random, those of length zero left out: they stand for no vector."""
    if len(ids) > limit:
        ids = ids[np.sort(np.random.default_rng(seed).choice(len(ids), limit, replace=False))]
    records = source.get(ids, missing="ignore")
    if not records or records[0].vector is None:
        raise UsageError(f"{source.key!r} keeps no vectors that another key could be learned from")
    rows = np.stack([record.vector for record in records])
    return rows[rows.any(axis=1)]
