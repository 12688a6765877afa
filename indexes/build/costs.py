"""Predicts peak memory, disk use and time of each build stage.

The stages of the key state their own costs (stages/cost.py); this adds reading, samples and files.
"""

from __future__ import annotations

from dataclasses import dataclass

from cluscomp.indexes.build.described import NO_SHAPE, AttributeShape
from cluscomp.indexes.build.rates import DISK_BYTES_PER_SECOND, Rates
from cluscomp.indexes.build.segment_writer import SegmentWriter
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.segments.stored import StoredSegment
from cluscomp.indexes.stages.cost import Cost
from cluscomp.indexes.stages.parameters import ArraySpec
from cluscomp.indexes.stages.pipeline import BLOCK_ROWS, Pipeline, training_rows
from cluscomp.indexes.stages.pipeline_cost import pipeline_cost
from cluscomp.indexes.storage.parts import part_bytes, trained_bytes
from cluscomp.indexes.storage.staging import COPY_BYTES

# Rows of one block: fewer would cost time a call, more would not make it faster.
MIN_BLOCK_ROWS, MAX_BLOCK_ROWS = 256, 16_384
# Rows to train on that every key asks for.
LEAST_TRAIN_ROWS = 1024
# Largest single read of a random sample from a file (rowfile.py).
SAMPLE_READ_BYTES = 8 << 20
MIN_GROUP_BYTES = 16 << 20
# manifest.json, build.json and report.json.
JSON_BYTES = 8_000


@dataclass(frozen=True)
class TextShape:
    """What is known of the texts of a corpus. seconds: estimated for encoding all of them."""

    characters: int
    longest: int
    store: bool
    encode_bytes: int
    seconds: float


@dataclass(frozen=True)
class StageCost:
    """One stage. memory_bytes: above the baseline. disk_bytes: files that it adds and leaves."""

    name: str
    rows: int
    memory_bytes: int
    disk_bytes: int
    seconds: float


@dataclass(frozen=True)
class BuildShape:
    """All that the cost of a build depends on; of single vectors, and the base of other kinds.

    pipeline: the stages of the key, which need not be trained. writer: of the segment. n: rows that have an
    id. itemsize: bytes of a value of the vectors that are sampled and added. id_bytes: of all ids, as stored.
    texts: None where vectors are given. attributes: what the folder will have of them.
    """

    pipeline: Pipeline
    writer: type[SegmentWriter]
    n: int
    itemsize: int
    source_dtype: str
    id_bytes: int
    rates: Rates
    texts: TextShape | None = None
    attributes: AttributeShape = NO_SHAPE
    train_rows: int = 0
    block_rows: int = MAX_BLOCK_ROWS

    # ---- what differs between kinds ----

    @property
    def n_vectors(self) -> int:
        """Vectors that are encoded."""
        return self.n

    @property
    def arrays(self) -> dict[str, ArraySpec]:
        """Arrays of the finished segment, ids aside."""
        return self.segment.new_arrays(self.pipeline, self.n, self.n_vectors)

    @property
    def segment(self) -> type[StoredSegment]:
        """Class of the segments."""
        return kind_of(self.pipeline.spec).segment

    @property
    def block_limits(self) -> tuple[int, int]:
        """Fewest and most vectors of a block: fewer would cost time a call, more would not make it faster."""
        return MIN_BLOCK_ROWS, min(MAX_BLOCK_ROWS, max(self.n, MIN_BLOCK_ROWS))

    @property
    def preparing(self) -> list[StageCost]:
        """The stages that make vectors of the source."""
        return (
            [_read(self)] if self.texts is None else [read_texts(self, self.texts), _encode(self, self.texts)]
        )

    @property
    def temporary_bytes(self) -> int:
        """Bytes on disk that the segment needs until it is finished."""
        return self.writer.temporary_bytes(self.pipeline, self.n_vectors)

    @property
    def finishing_bytes(self) -> int:
        """Peak bytes of the last passes over the files of the segment."""
        return self.writer.finishing_bytes(self.pipeline, self.n_vectors, self.group_bytes)

    # ---- what follows ----

    @property
    def stages(self) -> list[StageCost]:
        """All stages in order."""
        learning = [_sample(self), _train(self)] if self.train_rows else []
        return [*self.preparing, *learning, _add(self), _write(self)]

    @property
    def wanted_train_rows(self) -> int:
        """Rows that training can make use of; 0 for keys that learn nothing from data."""
        return training_rows(self.pipeline.spec) if self.pipeline.learns_from_rows else 0

    @property
    def least_train_rows(self) -> int:
        """Rows below which training is not worth its name."""
        return max(LEAST_TRAIN_ROWS, self.cost.least_rows)

    @property
    def row_bytes(self) -> int:
        """Bytes of a vector that is sampled or added."""
        return self.pipeline.dim * self.itemsize

    @property
    def code_bytes(self) -> int:
        """Bytes of the codes of one vector, those of the rerank included."""
        finer = 0 if self.pipeline.refine is None else self.pipeline.refine.row_bytes
        return self.pipeline.codec.row_bytes + finer

    @property
    def code_bytes_per_document(self) -> int:
        """Bytes of the codes of one row, those of the rerank aside."""
        return round(self.n_vectors / self.n * self.pipeline.codec.row_bytes)

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

    @property
    def index_bytes(self) -> int:
        """Bytes of the finished folder."""
        sizes = part_bytes(self.segment, self.arrays, self.n, id_bytes=self.id_bytes / self.n)
        texts = spool_bytes(self, self.texts) if self.texts is not None and self.texts.store else 0
        return sum(sizes.values()) + self.parameter_bytes + texts + self.attributes.file_bytes + JSON_BYTES


def _read(shape: BuildShape) -> StageCost:
    block = shape.block_rows * shape.row_bytes
    return StageCost("read", shape.n, block, 0, shape.n * shape.row_bytes / DISK_BYTES_PER_SECOND)


def read_texts(shape: BuildShape, texts: TextShape) -> StageCost:
    """Reading a corpus into docs.sqlite."""
    from cluscomp.indexes.storage.texts import BATCH

    batch = min(BATCH, shape.n) * (texts.characters // shape.n + 1)
    memory = 4 * batch + 8 * texts.longest + 36 * shape.n  # Python strings; table of ids while it grows
    spool = spool_bytes(shape, texts)
    return StageCost("read", shape.n, memory, spool, spool / DISK_BYTES_PER_SECOND + shape.n * 2e-5)


def spool_bytes(shape: BuildShape, texts: TextShape) -> int:
    """Size of docs.sqlite: the texts, the ids twice (row and index), and pages that are not quite full."""
    return int(1.1 * texts.characters + 2.6 * shape.id_bytes + 24 * shape.n) + 16_384


def _encode(shape: BuildShape, texts: TextShape) -> StageCost:
    return StageCost("encode", shape.n, texts.encode_bytes, shape.n * shape.pipeline.dim * 4, texts.seconds)


def _sample(shape: BuildShape) -> StageCost:
    sample = shape.train_rows * shape.row_bytes
    memory = sample + SAMPLE_READ_BYTES + 24 * shape.train_rows
    return StageCost("sample", shape.train_rows, memory, sample, sample / DISK_BYTES_PER_SECOND)


def _train(shape: BuildShape) -> StageCost:
    cost, parameters = shape.cost, shape.parameter_bytes
    seconds = shape.rates.seconds(cost.train)
    return StageCost("train", shape.train_rows, cost.train_bytes + parameters, parameters, seconds)


def _add(shape: BuildShape) -> StageCost:
    """A block is there twice, as it is read and as it is handed on."""
    cost = shape.cost
    memory = shape.block_rows * (2 * shape.row_bytes + _ID_OBJECT_BYTES)
    memory += min(shape.block_rows, BLOCK_ROWS) * cost.add_row_bytes
    disk = shape.n_vectors * shape.code_bytes + shape.temporary_bytes
    seconds = (shape.n_vectors * shape.row_bytes + disk) / DISK_BYTES_PER_SECOND
    seconds += shape.rates.seconds(cost.add * shape.n_vectors)
    return StageCost("add", shape.n, memory + cost.add_bytes + shape.parameter_bytes, disk, seconds)


_ID_OBJECT_BYTES = 150  # of an id of the block as a Python object, by measurement
_HASH_BYTES = 16  # of one id while its repetition is looked for: hash and place


def _write(shape: BuildShape) -> StageCost:
    memory = max(shape.finishing_bytes, shape.attributes.memory_bytes) + 2 * COPY_BYTES
    memory += shape.parameter_bytes
    if shape.id_bytes:  # finding ids that occur twice, class by class
        memory += 2 * min(shape.group_bytes, shape.id_bytes + _HASH_BYTES * shape.n)
    size = shape.index_bytes
    disk = max(0, size - shape.n_vectors * shape.code_bytes)
    return StageCost("write", shape.n, memory, disk, 2 * size / DISK_BYTES_PER_SECOND)
