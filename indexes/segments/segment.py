"""Segments: what one `add` leaves behind. A segment never changes, except that rows are marked as deleted.

Position = number of a row in order of adding, counted within its segment here. Codes of a partitioned index
are stored list by list and, within a list, by position; `positions` says which row stands where. Finer codes
for the rerank and ids are stored by position.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks, require_finite
from cluscomp.bits import position_dtype, unpack_bits
from cluscomp.clustering.blocks import take_rows
from cluscomp.errors import CorruptIndexError
from cluscomp.indexes.segments.compacting import live_column, live_mask
from cluscomp.indexes.segments.faults import positions_fault
from cluscomp.indexes.segments.ids import IdColumn
from cluscomp.indexes.segments.mapped import read_at_random
from cluscomp.indexes.segments.numbered import NumberedVectors
from cluscomp.indexes.segments.row_lookup import RowLookup
from cluscomp.indexes.segments.row_sets import FEW, RowSet
from cluscomp.indexes.segments.stored import (
    Shapes,
    StoredRows,
    StoredSegment,
    empty_rows,
    finer_codes,
    stored_finer,
)
from cluscomp.indexes.segments.tombstones import Tombstones
from cluscomp.indexes.stages.code_layout import arrange_codes, plain_rows
from cluscomp.indexes.stages.codec import CODES, Codes, ListView, rerank_name
from cluscomp.indexes.stages.ivf import ListAssigner
from cluscomp.indexes.stages.parameters import ArraySpec, require_finite_parameters
from cluscomp.indexes.stages.pipeline import BLOCK_ROWS, EncodedRows, Pipeline
from cluscomp.indexes.stages.prescreen import (
    PRESCREEN_ARRAYS,
    Prescreen,
    build_prescreen,
    prescreen_arrays,
)
from cluscomp.indexes.stages.tally import Tally, combined
from cluscomp.progress import Progress, Ticker


@dataclass(frozen=True)
class Segment(StoredSegment):
    """Rows added together.

    codes: in the order of stages/code_layout.py. offsets: (nlist + 1,) int64 rows of each list.
    positions: (n,) int32 or int64 position of each stored row, or None without partition.
    refine: finer codes by position, or None. deleted: rows marked as deleted, or None.
    files: where memory-mapped arrays came from. prescreen: of float rows, or None. lookup: of stored rows.
    """

    parts: ClassVar[Mapping[str, str]] = {
        "codes": "codes",
        "offsets": "list_offsets",
        "positions": "positions",
        "refine": "refine",
        **dict.fromkeys(PRESCREEN_ARRAYS, "shadow"),
    }

    codes: Codes
    offsets: np.ndarray
    positions: np.ndarray | None
    refine: Codes | None
    ids: IdColumn
    deleted: Tombstones | None = None
    files: Mapping[str, Any] = field(default_factory=dict)
    prescreen: Prescreen | None = None
    lookup: RowLookup = field(default_factory=RowLookup, repr=False, compare=False)

    def arrays(self) -> dict[str, np.ndarray]:
        """codes, refine, offsets and positions, prescreen."""
        arrays = {**self.codes, **stored_finer(self.refine)}
        if self.positions is not None:
            arrays |= {"positions": self.positions, "offsets": self.offsets}
        return arrays if self.prescreen is None else arrays | self.prescreen.arrays()

    @classmethod
    def new_arrays(cls, pipeline: Pipeline, n_rows: int, n_vectors: int) -> dict[str, ArraySpec]:
        return segment_arrays(pipeline, n_rows)

    @classmethod
    def listed_arrays(cls, pipeline: Pipeline, n_rows: int, listed: Shapes) -> dict[str, ArraySpec]:
        """`segment_arrays`; older folders list no prescreen."""
        specs = segment_arrays(pipeline, n_rows)
        lacks = not any(name in listed for name in PRESCREEN_ARRAYS)
        return {name: spec for name, spec in specs.items() if not lacks or name not in PRESCREEN_ARRAYS}

    @classmethod
    def from_stored(cls, pipeline: Pipeline, rows: StoredRows) -> Segment:
        arrays, prescreen = dict(rows.arrays), None
        if pipeline.spec.on_disk:
            _split_granularities(pipeline, arrays)
        if PRESCREEN_ARRAYS[-1] in arrays:
            require_finite_parameters(rows.file_of(PRESCREEN_ARRAYS[-1]), arrays[PRESCREEN_ARRAYS[-1]])
            prescreen = Prescreen.from_arrays(arrays)
        return cls(
            codes={name: arrays[name] for name in pipeline.codec.arrays},
            offsets=rows.offsets("offsets", arrays.get("offsets", [0, rows.n_rows]), rows.n_rows),
            positions=arrays.get("positions"),
            refine=finer_codes(pipeline, arrays),
            ids=rows.ids,
            deleted=rows.deleted,
            files=rows.files,
            prescreen=prescreen,
        )

    def faults(self, pipeline: Pipeline) -> Iterator[tuple[str, str]]:
        """Those of every kind, and lists that do not hold each row once, by position."""
        yield from super().faults(pipeline)
        if self.positions is not None:
            fault = positions_fault(self.positions, self.offsets)
            if fault is not None:
                yield "positions", fault

    def vectors(self, pipeline: Pipeline) -> NumberedVectors:
        """Its rows by position."""
        return NumberedVectors(
            pipeline,
            self.n_rows,
            self.codes,
            offsets=self.offsets,
            find_places=self._places,
            finer=self.refine,
        )

    def relisted(self, pipeline: Pipeline, numbers: np.ndarray, lists: np.ndarray, codes: Codes) -> Segment:
        vectors = self.vectors(pipeline)
        arrays = {name: np.empty(a.shape, a.dtype) for name, a in self.codes.items()}
        labels = np.empty(self.n_rows, dtype=np.int32)
        for block in iter_blocks(self.n_rows, BLOCK_ROWS):
            rows = np.arange(block.start, block.stop)
            found = vectors.lists(rows)
            labels[block] = 0 if found is None else found
            for name, values in vectors.codes(rows).items():
                arrays[name][block] = values
        labels[numbers] = lists
        for name, values in codes.items():
            arrays[name][numbers] = values
        moved = _stored_in_lists(pipeline, arrays | stored_finer(self.refine), labels, self.ids)
        return moved.changed(deleted=self.deleted, statistics=self.statistics)

    def _places(self) -> np.ndarray | None:
        """(n,) stored row of each position."""
        positions = self.checked_positions()
        if positions is None:
            return None
        places = np.empty(self.n_rows, dtype=position_dtype(self.n_rows))
        places[positions] = np.arange(self.n_rows, dtype=places.dtype)
        return places

    def list_sizes(self, nlist: int) -> np.ndarray:
        """Rows (nlist,) of each list, deleted ones included."""
        return np.diff(self.offsets)

    def list_view(self, coarse: np.ndarray | None) -> ListView:
        """What a scan reads. coarse: centroids where codes are residuals."""
        return ListView(self.codes, self.offsets, self.positions, coarse, self.prescreen)

    @classmethod
    def merged(cls, pipeline: Pipeline, segments: Sequence[Segment], ticker: Ticker) -> Segment:
        ids = live_column(segments)
        arrays, labels, first = empty_rows(pipeline, len(ids)), np.zeros(len(ids), dtype=np.int32), 0
        for segment in segments:
            first += _move_rows(pipeline, segment, arrays, labels, first, ticker)
        made = _stored_in_lists(pipeline, arrays, labels, ids)
        return made.changed(
            statistics=combined(
                [segment.statistics for segment in segments],
                [segment.n_rows - segment.n_deleted for segment in segments],
            )
        )

    def stored_rows(self, positions: np.ndarray) -> np.ndarray:
        """Where the codes of rows at positions (m,) stand. Raises CorruptIndexError as `RowLookup` does."""
        return positions if self.positions is None else self.lookup.rows_of(self.positions)[positions]

    def stored_rows_of(self, rows: RowSet) -> np.ndarray:
        """Ascending stored rows (m,) of a set of rows."""
        if self.positions is None or FEW * rows.count < self.n_rows:
            return np.sort(self.stored_rows(rows.positions))
        self.lookup.rows_of(self.positions)  # checks them
        return np.flatnonzero(unpack_bits(rows.bits, self.n_rows)[self.positions])

    def positions_at(self, rows: np.ndarray) -> np.ndarray:
        """Positions (m,) of stored rows."""
        return rows if self.positions is None else self.positions[rows]

    def checked_positions(self) -> np.ndarray | None:
        """`positions`, each of which stands there once; CorruptIndexError if not."""
        if self.positions is None:
            return None
        self.check_positions(self.positions)
        seen = np.zeros(self.n_rows, dtype=bool)
        seen[self.positions] = True
        if not seen.all() or int(self.positions.min(initial=0)) < 0:
            raise CorruptIndexError(
                f"the lists hold {np.count_nonzero(seen)} of {self.n_rows} rows, some twice: the index is "
                "damaged; restore a copy or rebuild it"
            )
        return self.positions

    def check_positions(self, found: np.ndarray) -> None:
        """Raise CorruptIndexError for a hit outside the segment: positions in a file are not trusted."""
        if found.size and (int(found.max()) >= self.n_rows or int(found.min()) < -1):
            raise CorruptIndexError(
                f"a list holds position {int(found.max())}, but the segment has {self.n_rows} rows: "
                "the index is damaged; restore a copy or rebuild it"
            )


def _split_granularities(pipeline: Pipeline, arrays: dict[str, np.ndarray]) -> None:
    """Read what every search scans into memory; of the finer codes, tell the system not to read ahead."""
    for name in (*pipeline.codec.arrays, "positions"):
        if name in arrays:
            arrays[name] = np.array(arrays[name])
    for name in pipeline.refine.arrays if pipeline.refine is not None else ():
        read_at_random(arrays[rerank_name(name)])


def list_offsets(counts: np.ndarray) -> np.ndarray:
    """(nlist + 1,) int64 first row of each list from the list sizes."""
    offsets = np.zeros(counts.shape[0] + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def segment_arrays(pipeline: Pipeline, n_rows: int) -> dict[str, ArraySpec]:
    """Dtype and shape of the arrays of a segment, without ids and deletions."""
    specs = {name: array.spec(n_rows) for name, array in pipeline.row_arrays().items()}
    if pipeline.partition is not None:
        specs["offsets"] = ArraySpec("<i8", (pipeline.partition.nlist + 1,))
        specs["positions"] = ArraySpec(position_dtype(n_rows), (n_rows,))
    return specs | (prescreen_arrays(n_rows, pipeline.codec.dim) if pipeline.spec.has_prescreen else {})


def list_sizes(segments: Sequence[Any], nlist: int) -> np.ndarray:
    """Rows, or vectors of documents, (nlist,) int64 in each list over all segments, deleted ones included,
    since a scan reads them.
    """
    counts = [segment.list_sizes(nlist) for segment in segments]
    return np.sum(counts, axis=0) if counts else np.zeros(nlist, dtype=np.int64)


def encode_segment(
    pipeline: Pipeline,
    rows: np.ndarray,
    ids: IdColumn,
    sizes: np.ndarray,
    progress: Progress | None = None,
) -> Segment:
    """Encode rows (n, dim) of kernel dtype, block by block, into a segment in memory.

    sizes: (nlist,) rows that lie in the lists already. progress(stage, done, total) counts rows.

    Raises NonFiniteError naming the id of the first row with NaN or infinity.
    """
    n = rows.shape[0]
    arrays = empty_rows(pipeline, n)
    labels = np.empty(n, dtype=np.int32)
    list_assigner, tally = pipeline.list_assigner(sizes, n), Tally(pipeline)
    ticker = Ticker(progress, "codes", n)
    for block in iter_blocks(n, BLOCK_ROWS):
        encoded = encode_block(pipeline, rows[block], ids, block.start, list_assigner, tally)
        for name, values in encoded.arrays().items():
            arrays[name][block] = values
        if encoded.labels is not None:
            labels[block] = encoded.labels
        ticker.advance(block.stop - block.start)
    segment = _stored_in_lists(pipeline, arrays, labels, ids)
    return segment.changed(statistics=tally.statistics())


def _stored_in_lists(
    pipeline: Pipeline, arrays: dict[str, np.ndarray], labels: np.ndarray, ids: IdColumn
) -> Segment:
    """A segment of plain codes that stand by position. labels: (n,) int32 list of each, if there are any."""
    codes, finer = {name: arrays[name] for name in pipeline.codec.arrays}, finer_codes(pipeline, arrays)
    if pipeline.partition is None:
        offsets = np.array([0, len(ids)], dtype=np.int64)
        arrange_codes(pipeline.codec, codes, offsets)
        has_prescreen = pipeline.spec.has_prescreen
        prescreen = build_prescreen(codes[CODES], pipeline.score_metric) if has_prescreen else None
        return Segment(codes, offsets, None, finer, ids, prescreen=prescreen)
    order = np.argsort(labels, kind="stable")
    offsets = list_offsets(np.bincount(labels, minlength=pipeline.partition.nlist))
    codes = {name: take_rows(array, order) for name, array in codes.items()}
    arrange_codes(pipeline.codec, codes, offsets)
    return Segment(codes, offsets, order.astype(position_dtype(len(ids))), finer, ids)


def _move_rows(
    pipeline: Pipeline,
    segment: Segment,
    arrays: dict[str, np.ndarray],
    labels: np.ndarray,
    first: int,
    ticker: Ticker,
) -> int:
    """Copy the rows that are left into arrays by position, from row `first` on; returns how many they are.

    Codes are read in the order of their file.
    """
    live = live_mask(segment)
    target = first - 1 + np.cumsum(live, dtype=np.int64)
    positions = segment.checked_positions()
    for block in iter_blocks(segment.n_rows, BLOCK_ROWS):
        stored = np.arange(block.start, block.stop)
        rows = stored if positions is None else positions[block]
        stored, rows = stored[live[rows]], rows[live[rows]]
        labels[target[rows]] = np.searchsorted(segment.offsets, stored, side="right") - 1
        for name, values in plain_rows(pipeline.codec, segment.codes, segment.offsets, stored).items():
            arrays[name][target[rows]] = values
        kept = np.flatnonzero(live[block]) + block.start
        for name, finer in stored_finer(segment.refine).items():
            arrays[name][target[kept]] = finer[kept]
        ticker.advance(block.stop - block.start)
    return int(np.count_nonzero(live))


def encode_block(
    pipeline: Pipeline,
    rows: np.ndarray,
    ids: IdColumn,
    first: int,
    assigner: ListAssigner | None,
    tally: Tally | None = None,
) -> EncodedRows:
    """Check and encode one block, whose first row has position `first` in the column `ids`."""
    bad = native.first_row_beyond(rows, pipeline.largest)
    if bad >= 0:
        name = ids.take(np.array([first + bad])).tolist()
        require_finite(rows[bad : bad + 1], ids=name, first_row=first + bad, largest=pipeline.largest)
    return pipeline.encode(rows, assigner, tally)
