"""A kind of index that the package does not have: rows are sets of small integers, a score is the overlap of two.

Everything that the kind is stands in this file, with one line that registers its codec and one that registers
the kind. Keys: "Sets". dim: integers 0 to dim - 1 may stand in a set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from cluscomp.errors import InputError, UsageError
from cluscomp.indexes.base import StoredIndex
from cluscomp.indexes.build.costs import BuildShape, StageCost
from cluscomp.indexes.build.rates import pipeline_rates
from cluscomp.indexes.build.recipe import Recipe
from cluscomp.indexes.build.request import Request, Shard
from cluscomp.indexes.build.segment_writer import SegmentWriter
from cluscomp.indexes.build.source import Given
from cluscomp.indexes.build.stage import BuildWork, Facts, Stage
from cluscomp.indexes.build.stages import PLAN
from cluscomp.indexes.keys.forms import Form
from cluscomp.indexes.keys.specs import CodecSpec
from cluscomp.indexes.kind import Kind
from cluscomp.indexes.kind import register as register_kind
from cluscomp.indexes.segments.compacting import live_column, live_mask
from cluscomp.indexes.segments.id_lookup import new_ids
from cluscomp.indexes.segments.ids import INT, IdColumn
from cluscomp.indexes.segments.stored import Shapes, StoredRows, StoredSegment
from cluscomp.indexes.segments.together import first_positions
from cluscomp.indexes.segments.tombstones import Tombstones
from cluscomp.indexes.stages.codec import CODES, Codec, Codes, RowArray
from cluscomp.indexes.stages.cost import Cost, Shape
from cluscomp.indexes.stages.hits import Hits, best_hits, merged_hits
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.stages.registry import register
from cluscomp.progress import Ticker

# ---- the key ----


@dataclass(frozen=True)
class Sets(CodecSpec):
    kind = "sets"

    def __str__(self) -> str:
        return "Sets"

    def check_metric(self, metric: str) -> None:
        if metric != "ip":
            raise UsageError(f"sets are compared by their overlap, metric 'ip', not by {metric!r}")


class SetCodec(Codec):
    """Four bytes an integer."""

    arrays: ClassVar[dict[str, RowArray]] = {CODES: RowArray("<i4", 1)}

    def __init__(self, spec: Sets, dim: int) -> None:
        self.spec, self.dim = spec, dim

    def cost(self, shape: Shape) -> Cost:
        return Cost()

    def encode(self, x: np.ndarray) -> Codes:
        return {CODES: x}

    def decode(self, codes: Codes) -> np.ndarray:
        return codes[CODES]

    def scan(self, *args: Any, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError


# ---- rows in memory and in a folder ----


@dataclass(frozen=True)
class SetSegment(StoredSegment):
    """items: (N,) of all sets one after the other. starts: (n + 1,) where each begins."""

    parts: ClassVar[Mapping[str, str]] = {"items": "codes", "starts": "set_starts"}
    notes: ClassVar[Mapping[str, str]] = {"set_starts": "where each set begins"}

    items: np.ndarray
    starts: np.ndarray
    ids: IdColumn
    deleted: Tombstones | None = None
    files: Mapping[str, Any] = field(default_factory=dict)

    def arrays(self) -> dict[str, np.ndarray]:
        return {"items": self.items, "starts": self.starts}

    @classmethod
    def new_arrays(cls, pipeline: Pipeline, n_rows: int, n_vectors: int) -> dict[str, ArraySpec]:
        return {"items": ArraySpec("<i4", (n_vectors,)), "starts": ArraySpec("<i8", (n_rows + 1,))}

    @classmethod
    def listed_arrays(cls, pipeline: Pipeline, n_rows: int, listed: Shapes) -> dict[str, ArraySpec]:
        return cls.new_arrays(pipeline, n_rows, listed.get("items", (0,))[0])

    @classmethod
    def from_stored(cls, pipeline: Pipeline, rows: StoredRows) -> SetSegment:
        items = rows.arrays["items"]
        starts = rows.offsets("starts", rows.arrays["starts"], len(items))
        return cls(items, starts, rows.ids, rows.deleted, rows.files)

    @classmethod
    def merged(cls, pipeline: Pipeline, segments: Sequence[SetSegment], ticker: Ticker) -> SetSegment:
        lengths = np.concatenate([np.diff(part.starts)[live_mask(part)] for part in segments])
        items = [part.items[np.repeat(live_mask(part), np.diff(part.starts))] for part in segments]
        starts = np.cumsum([0, *lengths], dtype=np.int64)
        ticker.advance(sum(part.n_rows for part in segments))
        return cls(np.concatenate(items), starts, live_column(segments))

    def overlaps(self, query: set[int]) -> np.ndarray:
        """Size of the intersection with each set (n,) float32; -inf for deleted ones."""
        common = np.isin(self.items, list(query)).astype(np.int64)
        found = np.diff(np.concatenate([[0], np.cumsum(common)])[self.starts]).astype(np.float32)
        return found if self.deleted is None else np.where(self.deleted.live_mask(), found, -np.inf)


class SetIndex(StoredIndex[SetSegment]):
    def add(self, sets: Any, ids: Any = None) -> SetIndex:
        items, starts = flattened(sets, self.dim)
        column = new_ids(self._segments, self._id_kind, self._next_id, ids, len(starts) - 1)
        self._append(SetSegment(items, starts, column))
        return self

    def search(self, queries: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
        k = self._checked_k(k, len(self), "fail")
        found = []
        for segment in self._segments:
            scores = np.stack([segment.overlaps(set(query)) for query in queries])
            places = np.broadcast_to(np.arange(segment.n_rows), scores.shape)
            found.append(best_hits(scores, np.where(np.isfinite(scores), places, -1), k))
        hits: Hits = merged_hits(found, first_positions(self._segments), k)
        return hits.scores, self._together.take_ids(hits.positions, self._id_kind or INT)


def flattened(sets: Any, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Items of all sets, ascending within each, and where each begins."""
    for number, members in enumerate(sets):
        if members and not 0 <= min(members) <= max(members) < dim:
            raise InputError(f"set {number} holds {max(members)}; integers from 0 to {dim - 1} are stored")
    starts = np.cumsum([0, *map(len, sets)], dtype=np.int64)
    return np.array([item for members in sets for item in sorted(members)], dtype=np.int32), starts


# ---- builds ----


@dataclass(frozen=True)
class SetInput:
    sets: list[set[int]]
    ids: Any
    dim: int
    identity: dict[str, Any]
    info: None = None


def open_sets(spec: object, given: Given) -> SetInput:
    sets = [set(members) for members in given.source]
    digest = hashlib.blake2b(repr([sorted(members) for members in sets]).encode()).hexdigest()
    dim = 1 + max(max(members, default=0) for members in sets)
    return SetInput(sets, given.ids, dim, {"kind": "sets", "digest": digest})


class SetWriter(SegmentWriter):
    def start(self, n_vectors: int | None) -> None:
        self._written = 0

    def table(self) -> dict[str, ArraySpec]:
        return SetSegment.new_arrays(self.pipeline, 0, 0)

    def checked(self, block: Any) -> tuple[Any, int]:
        return block, len(block)

    def encode(self, block: Any, ids: IdColumn) -> Iterator[dict[str, np.ndarray]]:
        items, starts = flattened(block, self.pipeline.dim)
        yield {"items": items, "starts": starts[self.rows > 0 :] + self._written}
        self._written += len(items)


@dataclass(frozen=True)
class SetShape(BuildShape):
    n_items: int = 0

    @property
    def n_vectors(self) -> int:
        return self.n_items

    @property
    def preparing(self) -> list[StageCost]:
        return [StageCost("read", self.n, 0, 0, 0.0)]


def set_shape(request: Request, corpus: Any, timed: bool) -> SetShape:
    source: Any = request.source
    pipeline = request.new_index().pipeline
    return SetShape(
        pipeline, SetWriter, n=len(source.sets), itemsize=4, source_dtype="sets", id_bytes=0,
        rates=pipeline_rates(pipeline), n_items=sum(map(len, source.sets)),
    )  # fmt: skip


class SetRows:
    def __init__(self, source: SetInput) -> None:
        self.n, self._source = len(source.sets), source

    def n_vectors(self, rows: slice) -> int:
        return sum(map(len, self._source.sets[rows]))

    def sample(self, size: int, seed: int) -> np.ndarray:
        raise NotImplementedError  # nothing is learned

    def blocks(self, rows: slice, vectors: int) -> Iterator[tuple[Any, Any]]:
        for start in range(rows.start, rows.stop, 40):
            part = slice(start, min(start + 40, rows.stop))
            ids = self._source.ids
            yield self._source.sets[part], np.arange(part.start, part.stop) if ids is None else ids[part]


def check(work: BuildWork, request: Request, shard: Shard) -> Facts:
    """Read all sets once."""
    source: Any = request.source
    flattened(source.sets, source.dim)
    return {"rows": len(source.sets)}


@contextmanager
def rows_of(work: BuildWork, request: Request) -> Iterator[SetRows]:
    source: Any = request.source
    yield SetRows(source)


def prepare(request: Request) -> tuple[Stage, ...]:
    return PLAN, Stage("read", ("plan",), check)


RECIPE = Recipe(open_sets, set_shape, prepare, rows_of, SetWriter)

register(Sets, SetCodec, Form("codec", "Sets", "Sets", Sets, "Sets"))
register_kind("sets", lambda: Kind("sets", SetIndex, SetSegment, recipe=lambda: RECIPE))
