"""The plan of a build: what each stage holds in memory, leaves on disk and takes in time, before it starts.

Memory is a baseline, the resident size of the process as it is when the plan is made (interpreter, libraries,
an encoder's weights, ids), plus the arrays that a stage holds at once. The arrays are counted, not guessed;
the few constants were measured and are named below. A test compares plan and measured peak.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluscomp import errors
from cluscomp.files import require_free
from cluscomp.indexes.build.costs import Shape, StageCost, index_bytes, stage_costs
from cluscomp.indexes.build.memory import available_bytes, resident_bytes
from cluscomp.indexes.build.rates import Rates, measure_rates
from cluscomp.indexes.build.texts import text_costs
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.stages.pipeline import Pipeline, training_rows
from cluscomp.indexes.stages.pipeline_cost import pipeline_cost
from cluscomp.indexes.storage.folder import REMEDY

if TYPE_CHECKING:
    from cluscomp.encoders import Encoder
    from cluscomp.indexes.storage.texts import CorpusFacts
    from cluscomp.inputs.sources import VectorSource

# Share of free memory that a build may use when no limit is given.
DEFAULT_SHARE = 0.8
# Allocator slack and interpreter objects that no count of arrays sees: a share of the arrays, and a constant.
SLACK_SHARE, SLACK_BYTES = 0.10, 24_000_000
# Rows of one block: fewer would cost time a call, more would not make it faster.
MIN_BLOCK_ROWS, MAX_BLOCK_ROWS = 256, 16_384
# Rows to train on that every key asks for.
LEAST_TRAIN_ROWS = 1024
SMALLER_KEY = "choose an index key with fewer lists or dimensions"
BLOCK_STAGES, TRAIN_STAGES = ("read", "add", "write"), ("sample", "train")


@dataclass(frozen=True)
class BuildPlan:
    """What a build will need. Bytes; seconds. stages: in order, memory without the baseline.

    max_memory: the limit, given or taken from the free memory. peak_disk: everything that is on disk at once,
    the index included. index_bytes: the finished folder.
    """

    index_key: str
    metric: str
    n: int
    dim: int
    source_dtype: str
    train_rows: int
    block_rows: int
    group_bytes: int
    max_memory: int
    baseline_bytes: int
    stages: tuple[StageCost, ...]
    index_bytes: int
    code_bytes_per_document: int

    @property
    def peak_memory(self) -> int:
        """Largest resident size that is expected, baseline included."""
        return self.baseline_bytes + max(stage.memory_bytes for stage in self.stages)

    @property
    def peak_disk(self) -> int:
        """Work files of all stages and the finished index."""
        return sum(stage.disk_bytes for stage in self.stages)

    @property
    def seconds(self) -> float:
        """Estimated time of all stages."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def bytes_per_document(self) -> float:
        """Bytes of the finished folder over its documents."""
        return self.index_bytes / self.n

    @property
    def feasible(self) -> bool:
        """Whether the peak stays within the limit."""
        return self.peak_memory <= self.max_memory

    def remedy(self) -> str:
        """What to change when the plan is not feasible."""
        widest = max(self.stages, key=lambda stage: stage.memory_bytes)
        smaller = "use fewer threads or a smaller encoder" if widest.name == "encode" else SMALLER_KEY
        return (
            f"the stage '{widest.name}' needs {_mb(self.peak_memory)} with the process, but "
            f"{_mb(self.max_memory)} are allowed; set max_memory to {_mb(self.peak_memory)} or more, "
            f"or {smaller}"
        )

    def check(self) -> None:
        """Raise InfeasibleError, with both numbers and the remedy, if the plan does not fit the limit."""
        if not self.feasible:
            raise errors.InfeasibleError(f"this build does not fit the memory limit: {self.remedy()}")

    def check_disk(self, output: Path) -> None:
        """Raise DiskFullError, with both numbers, if the device of `output` has too little room."""
        require_free(output.parent, self.peak_disk, output, REMEDY)

    def to_json(self) -> dict[str, Any]:
        """All numbers as JSON values."""
        totals = {
            "peak_memory": self.peak_memory,
            "peak_disk": self.peak_disk,
            "seconds": self.seconds,
            "bytes_per_document": self.bytes_per_document,
            "feasible": self.feasible,
        }
        return {**asdict(self), **totals}


def vector_shape(spec: IndexSpec, metric: str, vectors: VectorSource) -> Shape:
    """What the plan has to know about a build from vectors."""
    pipeline = Pipeline(spec, vectors.dim, metric, 0)
    return Shape(
        pipeline,
        n=vectors.n,
        itemsize=vectors.dtype.itemsize,
        source_dtype=str(vectors.dtype),
        id_bytes=_stored_id_bytes(vectors.ids),
        rates=pipeline_rates(pipeline),
    )


def text_shape(
    spec: IndexSpec, metric: str, facts: CorpusFacts, encoder: Encoder, store: bool, *, timed: bool
) -> Shape:
    """What the plan has to know about a build from texts; timed: see `text_costs`."""
    pipeline = Pipeline(spec, encoder.info.dim, metric, 0)
    return Shape(
        pipeline,
        n=facts.n,
        itemsize=4,
        source_dtype="text",
        id_bytes=facts.id_bytes + 8 * (facts.n + 1),
        rates=pipeline_rates(pipeline),
        texts=text_costs(facts, encoder, store, timed=timed),
    )


def make_plan(
    shape: Shape, *, max_memory: int | None, train_rows: int | None, block_rows: int | None = None
) -> BuildPlan:
    """Choose block and sample sizes that fit the limit, and count what the build will need with them.

    train_rows: as asked for, or None for what the key wants, less if the memory is short. block_rows: fixed,
    or None. Blocks and sample shrink to their smallest useful size before a plan is found infeasible; raises
    nothing then, see `BuildPlan.check`.
    """
    baseline = resident_bytes()
    limit = max_memory if max_memory is not None else _default_limit(baseline)
    room = limit - baseline

    def widest(names: tuple[str, ...], sized: Shape) -> int:
        costs = stage_costs(sized)
        return max((_with_slack(cost.memory_bytes) for cost in costs if cost.name in names), default=0)

    if block_rows is None:
        most = min(MAX_BLOCK_ROWS, max(shape.n, MIN_BLOCK_ROWS))
        block_rows = _largest_fit(
            MIN_BLOCK_ROWS, most, room, lambda n: widest(BLOCK_STAGES, replace(shape, block_rows=n))
        )
    pipeline = shape.pipeline
    if not pipeline.needs_training:
        train_rows = 0
    elif train_rows is None:
        most = min(shape.n, training_rows(pipeline.spec))
        least = min(most, max(LEAST_TRAIN_ROWS, shape.cost.least_rows))
        train_rows = _largest_fit(
            least, most, room, lambda n: widest(TRAIN_STAGES, replace(shape, train_rows=n))
        )
    shape = replace(shape, block_rows=block_rows, train_rows=min(train_rows, shape.n))
    return BuildPlan(
        index_key=str(pipeline.spec),
        metric=pipeline.metric,
        n=shape.n,
        dim=pipeline.dim,
        source_dtype=shape.source_dtype,
        train_rows=shape.train_rows,
        block_rows=shape.block_rows,
        group_bytes=shape.group_bytes,
        max_memory=limit,
        baseline_bytes=baseline,
        stages=tuple(
            replace(cost, memory_bytes=_with_slack(cost.memory_bytes)) for cost in stage_costs(shape)
        ),
        index_bytes=index_bytes(shape),
        code_bytes_per_document=pipeline.codec.row_bytes,
    )


def pipeline_rates(pipeline: Pipeline) -> Rates:
    """Speed of this machine at the kernels that the stages use."""
    codewords = pipeline_cost(pipeline, 0, 4).codewords
    return measure_rates(pipeline.dim, *(codewords or (pipeline.dim, 256)))


def _stored_id_bytes(ids: Any) -> int:
    if ids is None:
        return 0
    if isinstance(ids, list):
        return sum(len(name.encode("utf-8", "surrogatepass")) for name in ids) + 8 * (len(ids) + 1)
    return 8 * len(ids)


def _default_limit(baseline: int) -> int:
    return baseline + int(DEFAULT_SHARE * available_bytes())


def _with_slack(array_bytes: int) -> int:
    return int(array_bytes * (1 + SLACK_SHARE)) + SLACK_BYTES


def _largest_fit(least: int, most: int, room: int, need: Callable[[int], int]) -> int:
    """Largest of most, most / 2, most / 4 ... whose need is within the room, but not below `least`.

    Steps are coarse on purpose: the baseline varies a little from run to run, the choice should not.
    """
    rows = most
    while rows > least and need(rows) > room:
        rows = max(least, rows // 2)
    return rows


def _mb(n_bytes: int) -> str:
    return f"{-(-n_bytes // 10**6)}M"
