"""Counting what the stages of a build hold in memory, write to disk and compute.

What the stages of the key take, they say themselves (stages/cost.py); this adds reading, samples and files.
"""

from __future__ import annotations

from dataclasses import dataclass

from cluscomp.indexes.build.rates import DISK_BYTES_PER_SECOND, Rates
from cluscomp.indexes.segments.segment import segment_arrays
from cluscomp.indexes.stages.cost import Cost
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.stages.pipeline_cost import pipeline_cost
from cluscomp.indexes.stages.prescreen import prescreen_block_rows, prescreen_bytes
from cluscomp.indexes.storage.folder import COPY_BYTES
from cluscomp.indexes.storage.parts import part_bytes, trained_bytes

# Largest single read of a random sample from a file (rowfile.py).
SAMPLE_READ_BYTES = 8 << 20
MIN_GROUP_BYTES = 16 << 20
# manifest.json, build.json and report.json.
JSON_BYTES = 8_000
# Of a row while its list is sorted: number of the list; order, place and position.
LABEL_BYTES, ORDER_BYTES = 4, 8


@dataclass(frozen=True)
class TextShape:
    """What is known of the texts of a corpus. seconds: estimated for encoding all of them."""

    characters: int
    longest: int
    store: bool
    encode_bytes: int
    seconds: float


@dataclass(frozen=True)
class Shape:
    """All that the cost of a build depends on. pipeline: the stages of the key, which need not be trained.
    id_bytes: of all ids, as stored. texts: None for vectors.
    """

    pipeline: Pipeline
    n: int
    itemsize: int
    source_dtype: str
    id_bytes: int
    rates: Rates
    texts: TextShape | None = None
    train_rows: int = 0
    block_rows: int = 16_384

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of the source."""
        return self.pipeline.dim * self.itemsize

    @property
    def code_bytes(self) -> int:
        """Bytes of the codes of one row, those of the rerank included."""
        finer = 0 if self.pipeline.refine is None else self.pipeline.refine.row_bytes
        return self.pipeline.codec.row_bytes + finer

    @property
    def group_bytes(self) -> int:
        """Codes that the second pass of an IVF build holds at a time: four blocks."""
        return max(MIN_GROUP_BYTES, 4 * self.block_rows * self.pipeline.codec.row_bytes)

    @property
    def cost(self) -> Cost:
        """What the stages of the key take."""
        return pipeline_cost(self.pipeline, self.train_rows, self.itemsize)

    @property
    def parameter_bytes(self) -> int:
        """Bytes of the trained arrays."""
        return sum(trained_bytes(self.pipeline).values())


@dataclass(frozen=True)
class StageCost:
    """One stage. memory_bytes: above the baseline. disk_bytes: files that it adds and leaves."""

    name: str
    rows: int
    memory_bytes: int
    disk_bytes: int
    seconds: float


def stage_costs(shape: Shape) -> list[StageCost]:
    """All stages in order."""
    stages = [_read(shape)]
    if shape.texts is not None:
        stages.append(_encode(shape, shape.texts))
    if shape.train_rows:
        stages += [_sample(shape), _train(shape)]
    return [*stages, _add(shape), _write(shape)]


def index_bytes(shape: Shape) -> int:
    """Bytes of the finished folder."""
    sizes = part_bytes(segment_arrays(shape.pipeline, shape.n), shape.n, id_bytes=shape.id_bytes / shape.n)
    texts = 0
    if shape.texts is not None and shape.texts.store:
        texts = _spool_bytes(shape, shape.texts)
    return sum(sizes.values()) + shape.parameter_bytes + texts + JSON_BYTES


def temporary_bytes(pipeline: Pipeline, n_rows: int) -> int:
    """Bytes on disk that a streamed build needs beside the index: codes and lists in order of adding."""
    return 0 if pipeline.partition is None else n_rows * (pipeline.codec.row_bytes + LABEL_BYTES)


def finishing_bytes(pipeline: Pipeline, n_rows: int, block_bytes: int) -> int:
    """Peak bytes of the last passes of a streamed build, which read `block_bytes` of codes at a time.

    They group codes by list, bring 4-bit codes into storage order (code_layout.py) and make the prescreen.
    """
    width, dim = pipeline.codec.row_bytes, pipeline.codec.dim
    rows = min(n_rows, max(1, block_bytes // width))
    if pipeline.spec.has_prescreen:
        rows = min(n_rows, prescreen_block_rows(dim, block_bytes))
        return rows * width + 2 * prescreen_bytes(rows, dim)  # the last one is there until the next is made
    if pipeline.partition is None:
        return rows * width
    return rows * (2 * width + LABEL_BYTES + ORDER_BYTES * 3) + pipeline.spec.nlist * ORDER_BYTES * 4


def _read(shape: Shape) -> StageCost:
    if shape.texts is None:
        block = shape.block_rows * shape.row_bytes
        return StageCost("read", shape.n, block, 0, shape.n * shape.row_bytes / DISK_BYTES_PER_SECOND)
    from cluscomp.indexes.storage.texts import BATCH

    batch = min(BATCH, shape.n) * (shape.texts.characters // shape.n + 1)
    memory = 4 * batch + 8 * shape.texts.longest + 36 * shape.n  # Python strings; table of ids while it grows
    spool = _spool_bytes(shape, shape.texts)
    return StageCost("read", shape.n, memory, spool, spool / DISK_BYTES_PER_SECOND + shape.n * 2e-5)


def _spool_bytes(shape: Shape, texts: TextShape) -> int:
    """Size of docs.sqlite: the texts, the ids twice (row and index), and pages that are not quite full."""
    return int(1.1 * texts.characters + 2.6 * shape.id_bytes + 24 * shape.n) + 16_384


def _encode(shape: Shape, texts: TextShape) -> StageCost:
    return StageCost("encode", shape.n, texts.encode_bytes, shape.n * shape.pipeline.dim * 4, texts.seconds)


def _sample(shape: Shape) -> StageCost:
    sample = shape.train_rows * shape.row_bytes
    memory = sample + SAMPLE_READ_BYTES + 24 * shape.train_rows
    return StageCost("sample", shape.train_rows, memory, sample, sample / DISK_BYTES_PER_SECOND)


def _train(shape: Shape) -> StageCost:
    cost, parameters = shape.cost, shape.parameter_bytes
    seconds = shape.rates.seconds(cost.train)
    return StageCost("train", shape.train_rows, cost.train_bytes + parameters, parameters, seconds)


def _add(shape: Shape) -> StageCost:
    """A block is there twice, as it is read and as it is handed on."""
    cost = shape.cost
    memory = shape.block_rows * (2 * shape.row_bytes + cost.add_row_bytes + _ID_OBJECT_BYTES)
    disk = shape.n * shape.code_bytes + temporary_bytes(shape.pipeline, shape.n)
    seconds = (shape.n * shape.row_bytes + disk) / DISK_BYTES_PER_SECOND
    seconds += shape.rates.seconds(cost.add * shape.n)
    return StageCost("add", shape.n, memory + cost.add_bytes + shape.parameter_bytes, disk, seconds)


_ID_OBJECT_BYTES = 150  # of an id of the block as a Python object, by measurement
_HASH_BYTES = 16  # of one id while its repetition is looked for: hash and place


def _write(shape: Shape) -> StageCost:
    memory = finishing_bytes(shape.pipeline, shape.n, shape.group_bytes)
    memory += 2 * COPY_BYTES + shape.parameter_bytes
    if shape.id_bytes:  # finding ids that occur twice, class by class
        memory += 2 * min(shape.group_bytes, shape.id_bytes + _HASH_BYTES * shape.n)
    size = index_bytes(shape)
    disk = max(0, size - shape.n * shape.code_bytes)
    return StageCost("write", shape.n, memory, disk, 2 * size / DISK_BYTES_PER_SECOND)
