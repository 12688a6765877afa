"""plan_scale: what an index of very many rows takes on other machines: bytes, memory, time and money.

Bytes, memory and operations are those of the plan of a build (costs.py), for the whole and for the part that
one machine encodes; rates turn operations into time. Nothing is read and nothing is run.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from cluscomp import checks
from cluscomp.errors import UsageError
from cluscomp.indexes.build.core_rates import CoreRates, measured_rates, reference_rates
from cluscomp.indexes.build.costs import BuildShape
from cluscomp.indexes.build.plan import BuildPlan, make_plan
from cluscomp.indexes.build.rates import NO_WORK
from cluscomp.indexes.build.vector_writer import VectorWriter
from cluscomp.indexes.keys.grammar import parse_key
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.storage.parts import part_bytes, trained_bytes

EFFICIENCY = 0.6
"""Share of the cores' time that goes into counted work, where many cores and machines work on one build."""
PRICE_CORE_HOUR, PRICE_GB_MONTH = 0.045, 0.023
"""Assumptions, in one currency; clouds differ by more than a factor of two."""
HOURS_A_MONTH = 730
_MACHINES = re.compile(r"([0-9]+)x([0-9]+)x([0-9.]+[KMGTkmgt](?:i?[Bb])?)")
SourceDType = Literal["float16", "float32"]


@dataclass(frozen=True)
class Machines:
    """count equal machines of so many cores and bytes of memory."""

    count: int
    cores: int
    memory: int

    @classmethod
    def parse(cls, text: str) -> Machines:
        """The machines that "8x32x64G" spells: 8 of 32 cores and 64 GB each. Raises UsageError."""
        found = _MACHINES.fullmatch(str(text).strip())
        if found is None or not int(found[1]) or not int(found[2]):
            raise UsageError(f"machines {text!r}: write COUNTxCORESxMEMORY, such as 8x32x64G")
        return cls(int(found[1]), int(found[2]), checks.byte_size("machines", found[3]))


@dataclass(frozen=True)
class ScaleTask:
    """One task. machines: that it runs on. memory: bytes that it takes on each. core_hours: of counted work.
    hours: on the clock.
    """

    name: str
    machines: int
    memory: int
    core_hours: float
    hours: float


@dataclass(frozen=True)
class ScaleSearch:
    """What searching takes. rows_scored: of a query. core_ms: of a query, in batches. queries_per_second: of
    all machines together. memory: bytes of the index on each, if all of it lies in memory.
    """

    nprobe: int
    rows_scored: float
    core_ms: float
    queries_per_second: float
    memory: int


@dataclass(frozen=True)
class ScalePlan:
    """What `plan_scale` found. source_bytes: of the vectors. index_bytes: of the index folder, by part in
    `parts`. sample_rows: that training looks at, fewer than wanted_rows where the memory is short;
    sample_bytes: of them on disk. feasible: whether every task fits the memory of a
    machine. remedy: what to change where not. step_bytes: sums that a machine sends in a step of distributed
    k-means. build_cost, serve_cost_month, store_cost_month: at the prices.
    """

    key: str
    rows: int
    dim: int
    metric: str
    machines: Machines
    segments: int
    source_bytes: int
    index_bytes: int
    parts: dict[str, int]
    sample_rows: int
    wanted_rows: int
    sample_bytes: int
    step_bytes: int
    tasks: tuple[ScaleTask, ...]
    search: ScaleSearch
    efficiency: float
    price_core_hour: float
    price_gb_month: float
    build_cost: float
    serve_cost_month: float
    store_cost_month: float
    rates: CoreRates
    feasible: bool
    remedy: str

    @property
    def core_hours(self) -> float:
        """Of all tasks, efficiency taken in."""
        return sum(task.core_hours for task in self.tasks) / self.efficiency

    @property
    def hours(self) -> float:
        """On the clock, one task after the other."""
        return sum(task.hours for task in self.tasks)

    def to_json(self) -> dict[str, Any]:
        """Give all numbers as JSON values."""
        return {**asdict(self), "core_hours": self.core_hours, "hours": self.hours}


def plan_scale(
    rows: int,
    dim: int,
    index_key: str,
    *,
    machines: str | Machines,
    metric: str = "ip",
    nprobe: int | None = None,
    source_dtype: SourceDType = "float16",
    id_bytes: int = 0,
    segments: int | None = None,
    measure: bool = False,
    efficiency: float = EFFICIENCY,
    price_core_hour: float = PRICE_CORE_HOUR,
    price_gb_month: float = PRICE_GB_MONTH,
) -> ScalePlan:
    """Say what an index of `rows` vectors takes on machines that are not here.

    Bytes, memory and operations are counted as for `plan_build`; operations become time by rates of one core.
    Training runs on one machine, encoding on all of them, each of which makes segments of its own.

    Args:
        rows: vectors.
        dim: their dimension.
        index_key: key of the index, of single vectors.
        machines: such as "8x32x64G": 8 machines of 32 cores and 64 GB.
        metric: "ip", "l2" or "cosine".
        nprobe: lists that a query visits; None: what the key has as default.
        source_dtype: of the vectors on disk.
        id_bytes: mean bytes of an id: 0 for consecutive integers, 8 for others, and the mean UTF-8 length + 8
            for texts.
        segments: of the index; None: one a machine.
        measure: measure the rates on one core of this machine, which takes some seconds, instead of taking
            those of docs/scaling.md.
        efficiency: share of the cores' time that goes into counted work.
        price_core_hour: price of a core for an hour.
        price_gb_month: price of 10^9 bytes on disk for a month.

    Returns:
        A `ScalePlan`.

    Raises:
        UsageError, UnknownKeyError: an argument is wrong, or the key is not one of single vectors.
    """
    rows, dim = checks.integer("rows", rows, 1), checks.integer("dim", dim, 1)
    given = machines if isinstance(machines, Machines) else Machines.parse(machines)
    index = _index(index_key, dim, metric)
    pipeline: Pipeline = index.pipeline
    rates = measured_rates(pipeline) if measure else reference_rates(pipeline)
    parts_of = checks.integer("segments", given.count if segments is None else segments, 1)
    itemsize = {"float16": 2, "float32": 4}[
        checks.one_of("source_dtype", source_dtype, ("float16", "float32"))
    ]
    shape = BuildShape(
        pipeline, VectorWriter, n=rows, itemsize=itemsize, source_dtype=source_dtype,
        id_bytes=round(rows * checks.number("id_bytes", id_bytes, low=0)), rates=NO_WORK,
    )  # fmt: skip
    share = checks.number("efficiency", efficiency, low=1e-3, high=1)
    train = make_plan(shape, max_memory=given.memory, train_rows=None)
    per_machine = -(-rows // given.count)
    encode = make_plan(_part(shape, per_machine), max_memory=given.memory, train_rows=0)
    tasks = _tasks(replace(shape, train_rows=train.train_rows), given, rates, share, train, encode)
    sizes = _parts(shape, parts_of)
    probes = index.nprobe if nprobe is None else checks.integer("nprobe", nprobe, 1)
    search = _search(pipeline, rows, probes, given, rates, share, sum(sizes.values()))
    widest = max(tasks, key=lambda task: task.memory)
    hours = sum(task.core_hours for task in tasks) / share
    return ScalePlan(
        key=str(pipeline.spec), rows=rows, dim=dim, metric=pipeline.metric, machines=given,
        segments=parts_of, source_bytes=rows * shape.row_bytes, index_bytes=sum(sizes.values()), parts=sizes,
        sample_rows=train.train_rows,
        wanted_rows=min(rows, shape.wanted_train_rows),
        sample_bytes=train.train_rows * shape.row_bytes,
        step_bytes=8 * pipeline.spec.nlist * _coarse_dim(pipeline), tasks=tasks, search=search,
        efficiency=share, price_core_hour=price_core_hour, price_gb_month=price_gb_month,
        build_cost=hours * checks.number("price_core_hour", price_core_hour, low=0),
        serve_cost_month=given.count * given.cores * HOURS_A_MONTH * price_core_hour,
        store_cost_month=sum(sizes.values()) / 1e9 * checks.number("price_gb_month", price_gb_month, low=0),
        rates=rates, feasible=widest.memory <= given.memory,
        remedy="" if widest.memory <= given.memory else _remedy(widest, given),
    )  # fmt: skip


def _index(index_key: str, dim: int, metric: str) -> Any:
    spec = parse_key(index_key).resolved()
    kind = kind_of(spec)
    if kind.ragged or kind.terms or kind.both:
        raise UsageError(
            f"{index_key!r} has several vectors or terms a document, whose number only the documents tell; "
            "use build-index --dry-run with a part of them"
        )
    return kind.index(spec, dim, checks.metric(metric))


def _part(shape: BuildShape, rows: int) -> BuildShape:
    """Of so many of the rows."""
    return replace(shape, n=rows, id_bytes=round(shape.id_bytes * rows / shape.n))


def _parts(shape: BuildShape, segments: int) -> dict[str, int]:
    """Bytes of the folder by part: trained arrays once, and those of each segment."""
    sizes = dict(trained_bytes(shape.pipeline))
    for number in range(min(2, segments)):  # the first has what is left over, the others are equal
        rows = shape.n - (segments - 1) * (shape.n // segments) if number == 0 else shape.n // segments
        arrays = shape.segment.new_arrays(shape.pipeline, rows, rows)
        found = part_bytes(shape.segment, arrays, rows, id_bytes=shape.id_bytes / shape.n) if rows else {}
        for name, size in found.items():
            sizes[name] = sizes.get(name, 0) + size * (1 if number == 0 else segments - 1)
    sizes["manifest and report"] = shape.index_bytes - _counted(shape)
    return {name: size for name, size in sizes.items() if size}


def _counted(shape: BuildShape) -> int:
    """Bytes of all arrays in one segment."""
    arrays = part_bytes(shape.segment, shape.arrays, shape.n, id_bytes=shape.id_bytes / shape.n)
    return sum(arrays.values()) + shape.parameter_bytes


def _tasks(
    shape: BuildShape, machines: Machines, rates: CoreRates, share: float, train: BuildPlan, encode: BuildPlan
) -> tuple[ScaleTask, ...]:
    cores, all_cores = machines.cores * share, machines.count * machines.cores * share
    training = rates.seconds(shape.cost.train) / 3600
    adding = rates.seconds(shape.cost.add * shape.n_vectors) / 3600
    return (
        ScaleTask("train", 1, _memory(train, "sample", "train"), training, training / cores),
        ScaleTask("encode", machines.count, _memory(encode, "read", "add"), adding, adding / all_cores),
        ScaleTask("arrange", machines.count, _memory(encode, "write"), 0.0, 0.0),
    )


def _memory(plan: BuildPlan, *names: str) -> int:
    """Of the process in some stages."""
    return plan.baseline_bytes + max(
        (stage.memory_bytes for stage in plan.stages if stage.name in names), default=0
    )


def _search(
    pipeline: Pipeline, rows: int, nprobe: int, machines: Machines, rates: CoreRates, share: float,
    index_bytes: int,
) -> ScaleSearch:  # fmt: skip
    lists = pipeline.spec.nlist
    visited = min(nprobe, lists)
    scored = rows * visited / lists
    choosing = lists * _coarse_dim(pipeline) / rates.assign if lists > 1 else 0.0
    seconds = scored * pipeline.codec.row_bytes / rates.scan + choosing + rates.query
    cores = machines.count * machines.cores * share
    return ScaleSearch(visited, scored, seconds * 1e3, cores / seconds, -(-index_bytes // machines.count))


def _coarse_dim(pipeline: Pipeline) -> int:
    """Dimension of the centroids."""
    return 0 if pipeline.partition is None else pipeline.codec.dim


def _remedy(task: ScaleTask, machines: Machines) -> str:
    return (
        f"the task '{task.name}' needs {task.memory / 1e9:.3g} GB, but a machine has "
        f"{machines.memory / 1e9:.3g}; take larger machines, more of them, or a key with fewer "
        "lists or dimensions"
    )
