"""Counting what the stages of a build hold in memory, write to disk and compute."""

from __future__ import annotations

from dataclasses import dataclass

from cluscomp.clustering.balanced.solver import solver_bytes
from cluscomp.indexes.build.rates import DISK_BYTES_PER_SECOND, Rates
from cluscomp.indexes.build.sizes import (
    code_row_bytes,
    grouping_memory,
    segment_bytes,
    temporary_bytes,
    trained_bytes,
)
from cluscomp.indexes.keys.grammar import BIVF, OPQ, PCA, PQ, IndexSpec, RepCONC
from cluscomp.indexes.stages.balanced_ivf import BALANCE_ITERATIONS
from cluscomp.indexes.storage.folder import COPY_BYTES

# Rows that the product quantizer, OPQ and PCA look at (pipeline.py takes an even choice of a larger sample).
CODEC_TRAIN_ROWS = 65_536
APPLY_ROWS = 16_384
START_ROWS, START_ROWS_PER_LIST = 16_384, 8
# Iterations as the trainers make them (partitions.py, codecs.py, transforms.py), for time only.
IVF_STEPS, PQ_STEPS, OPQ_STEPS = 21, 26, 145
BALANCE_STEPS = 3 * (BALANCE_ITERATIONS + 1)  # a step within bounds costs about three plain ones
# Lists that rows would choose next, as numbers and costs (balanced_ivf.py).
PREFERENCE_BYTES = 12 << 20
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
class Shape:
    """All that the cost of a build depends on. id_bytes: of all ids, as stored. texts: None for vectors."""

    spec: IndexSpec
    metric: str
    n: int
    dim: int
    itemsize: int
    source_dtype: str
    id_bytes: int
    text_ids: bool
    rates: Rates
    wanted_train_rows: int
    least_train_rows: int
    texts: TextShape | None = None
    train_rows: int = 0
    block_rows: int = 16_384

    @property
    def normalizes(self) -> bool:
        """Rows are scaled to length one."""
        return self.metric == "cosine" or self.spec.has_leading_norm

    @property
    def dims(self) -> tuple[int, ...]:
        """Dimension of the input and after each transform."""
        return self.spec.stage_dims(self.dim)

    @property
    def code_width(self) -> int:
        """Bytes of the codes of one row, those of the rerank included."""
        refine = (
            0 if self.spec.refine is None else code_row_bytes(IndexSpec((), None, self.spec.refine), self.dim)
        )
        return code_row_bytes(self.spec, self.dim) + refine

    @property
    def group_bytes(self) -> int:
        """Codes that the second pass of an IVF build holds at a time: four blocks."""
        return max(MIN_GROUP_BYTES, 4 * self.block_rows * code_row_bytes(self.spec, self.dim))


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
    per_id = shape.id_bytes / shape.n
    sizes = segment_bytes(shape.spec, shape.dim, shape.n, metric=shape.metric, id_bytes=per_id)
    texts = 0
    if shape.texts is not None and shape.texts.store:
        texts = _spool_bytes(shape, shape.texts)
    return sum(sizes.values()) + parameter_bytes(shape) + texts + JSON_BYTES


def parameter_bytes(shape: Shape) -> int:
    """Bytes of the trained arrays."""
    return sum(trained_bytes(shape.spec, shape.dim, metric=shape.metric).values())


def _row_bytes(shape: Shape) -> int:
    return shape.dim * shape.itemsize


def _read(shape: Shape) -> StageCost:
    if shape.texts is None:
        block = shape.block_rows * _row_bytes(shape)
        return StageCost("read", shape.n, block, 0, shape.n * _row_bytes(shape) / DISK_BYTES_PER_SECOND)
    from cluscomp.indexes.storage.texts import BATCH

    batch = min(BATCH, shape.n) * (shape.texts.characters // shape.n + 1)
    memory = 4 * batch + 8 * shape.texts.longest + 36 * shape.n  # Python strings; table of ids while it grows
    spool = _spool_bytes(shape, shape.texts)
    return StageCost("read", shape.n, memory, spool, spool / DISK_BYTES_PER_SECOND + shape.n * 2e-5)


def _spool_bytes(shape: Shape, texts: TextShape) -> int:
    """Size of docs.sqlite: the texts, the ids twice (row and index), and pages that are not quite full."""
    return int(1.1 * texts.characters + 2.6 * shape.id_bytes + 24 * shape.n) + 16_384


def _encode(shape: Shape, texts: TextShape) -> StageCost:
    return StageCost("encode", shape.n, texts.encode_bytes, shape.n * shape.dim * 4, texts.seconds)


def _sample(shape: Shape) -> StageCost:
    sample = shape.train_rows * _row_bytes(shape)
    memory = sample + SAMPLE_READ_BYTES + 24 * shape.train_rows
    return StageCost("sample", shape.train_rows, memory, sample, sample / DISK_BYTES_PER_SECOND)


def _train(shape: Shape) -> StageCost:
    """Follows Pipeline.train step by step: what is held through it, and the widest moment of each step."""
    rows = shape.train_rows
    part = min(rows, CODEC_TRAIN_ROWS)
    base = rows * shape.dim * 4 if shape.itemsize == 2 or shape.normalizes else 0
    held = rows * _row_bytes(shape) + base
    peak = held + (12 * rows * shape.dim if shape.normalizes else 0)
    current, seconds = 0, 0.0
    for before, after, transform in zip(shape.dims, shape.dims[1:], shape.spec.transforms, strict=False):
        taken = part * before * 4 if part < rows else 0
        inner, operations = _transform_cost(transform, part, before, after)
        applied = rows * after * 4 + min(rows, APPLY_ROWS) * 8 * (before + after)
        peak = max(peak, held + current + taken + inner, held + current + applied)
        current = rows * after * 4
        seconds += operations / shape.rates.codebook + rows * before * after / shape.rates.matmul
    dim, held = shape.dims[-1], held + current
    if shape.spec.partition is not None:
        nlist = shape.spec.nlist
        # Rows to start from, as they are and (ip, cosine) as unit rows in float64 and float32 (seeding.py).
        start = min(rows, max(START_ROWS, START_ROWS_PER_LIST * nlist))
        seeding = start * dim * (8 if shape.metric == "l2" else 20)
        peak = max(peak, held + 40 * rows + 24 * nlist * dim + seeding)
        steps = IVF_STEPS
        if isinstance(shape.spec.partition, BIVF):
            peak = max(peak, held + 40 * rows + 24 * nlist * dim + solver_bytes(rows, nlist))
            steps += BALANCE_STEPS
        seconds += rows * nlist * dim * steps / shape.rates.assign
    peak = max(peak, held + _codec_train_bytes(shape, part, rows))
    if isinstance(shape.spec.codec, PQ):
        seconds += part * dim * 2**shape.spec.codec.nbits * PQ_STEPS / shape.rates.codebook
    return StageCost("train", rows, peak + parameter_bytes(shape), parameter_bytes(shape), seconds)


def _transform_cost(transform: object, rows: int, before: int, after: int) -> tuple[int, float]:
    """Bytes and multiply-adds of training one transform."""
    from cluscomp.clustering.blocks import block_rows

    covariance = min(rows, block_rows(before, before)) * before * 12 + 24 * before * before
    if isinstance(transform, OPQ):
        # centred rows, rotated rows, labels and scores, one group of dimensions at a time
        held = rows * (4 * before + 4 * after + 8 * after // transform.m + 40) + 16 * before * after
        return max(held, covariance), rows * after * 256.0 * OPQ_STEPS
    if isinstance(transform, PCA):
        return covariance, 2.0 * rows * before * before
    return 16 * before * before, 0.0


def _codec_train_bytes(shape: Shape, part: int, rows: int) -> int:
    dim = shape.dims[-1]
    taken = part * dim * 4 if part < rows else 0
    if shape.spec.partition is not None and isinstance(shape.spec.codec, PQ):
        taken += 2 * part * dim * 4  # centroids of the rows' lists, and the residuals
    if not isinstance(shape.spec.codec, PQ):
        return taken
    if shape.metric != "l2":  # score-aware codebooks: rows rotated anew, labels of all groups
        rotated = part * dim * 4 if any(isinstance(t, OPQ) for t in shape.spec.transforms) else 0
        taken += rotated + part * (6 * shape.spec.codec.m + 24)
    return taken + part * (8 * dim // shape.spec.codec.m + 40)


def _add(shape: Shape) -> StageCost:
    dim = shape.dims[-1]
    row = 2 * _row_bytes(shape) + (4 * shape.dim if shape.itemsize == 2 else 0)
    row += 12 * shape.dim if shape.normalizes else 0
    operations = 0.0
    for before, after in zip(shape.dims, shape.dims[1:], strict=False):
        row += 8 * (before + after) + 4 * after
        operations += before * after / shape.rates.matmul
    if shape.spec.partition is not None:
        row += 8 * dim + 16
        operations += dim * shape.spec.nlist / shape.rates.assign
    if isinstance(shape.spec.codec, PQ | RepCONC):
        operations += dim * 2**shape.spec.codec.nbits / shape.rates.codebook
    row += 2 * shape.code_width
    extra = 0
    if isinstance(shape.spec.partition, BIVF):
        row += 12 * dim if shape.metric != "l2" else 0  # unit rows
        extra = PREFERENCE_BYTES
    disk = shape.n * shape.code_width + temporary_bytes(shape.spec, shape.dim, shape.n)
    memory = shape.block_rows * row + extra + _id_memory(shape) + parameter_bytes(shape)
    seconds = shape.n * operations + (shape.n * _row_bytes(shape) + disk) / DISK_BYTES_PER_SECOND
    return StageCost("add", shape.n, memory, disk, seconds)


_HASH_BYTES = 16  # of one id while its repetition is looked for: hash and place


def _id_memory(shape: Shape) -> int:
    """Ids of one block as Python objects, and the sorted hashes that find repeated ids."""
    return 150 * shape.block_rows


def _write(shape: Shape) -> StageCost:
    grouping = grouping_memory(shape.spec, shape.dim, shape.n, shape.group_bytes)
    memory = grouping + 2 * COPY_BYTES + parameter_bytes(shape)
    if shape.id_bytes:  # finding ids that occur twice, class by class
        memory += 2 * min(shape.group_bytes, shape.id_bytes + _HASH_BYTES * shape.n)
    disk = index_bytes(shape) - shape.n * shape.code_width
    return StageCost("write", shape.n, memory, max(0, disk), 2 * index_bytes(shape) / DISK_BYTES_PER_SECOND)
