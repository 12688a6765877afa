"""The plan of a build: what each stage holds in memory, leaves on disk and takes in time, before it starts.

Memory is a baseline, the resident size of the process as it is when the plan is made (interpreter, libraries,
an encoder's weights, ids), plus the arrays that a stage holds at once. The arrays are counted, not guessed;
the few constants were measured and are named below. A test compares plan and measured peak.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from cluscomp import errors
from cluscomp.files import require_free
from cluscomp.indexes.build.costs import BuildShape, StageCost
from cluscomp.indexes.build.memory import available_bytes, resident_bytes
from cluscomp.indexes.storage.place import Place
from cluscomp.indexes.storage.staging import REMEDY

# Share of free memory that a build may use when no limit is given.
DEFAULT_SHARE = 0.8
# Allocator slack and interpreter objects that no count of arrays sees: a share of the arrays, and a constant.
SLACK_SHARE, SLACK_BYTES = 0.10, 24_000_000
SMALLER_KEY = "choose an index key with fewer lists or dimensions"
BLOCK_STAGES, TRAIN_STAGES = ("read", "guides", "pool", "add", "write"), ("sample", "train")


@dataclass(frozen=True)
class BuildPlan:
    """What a build will need. Bytes; seconds. stages: in order, memory without the baseline.

    train_rows: vectors to train on, as far as is known; train_limit: how many it will be at most. block_rows:
    vectors that are read and encoded at a time. group_bytes: codes that the last passes over the files hold.
    max_memory: the limit, given or taken from the free memory. peak_disk: everything that is on disk at once,
    the index included. index_bytes: the finished folder.
    """

    key: str
    metric: str
    n: int
    dim: int
    source_dtype: str
    train_rows: int
    train_limit: int
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

    def check(self, finished: Collection[str] = ()) -> None:
        """Raise InfeasibleError, with both numbers and the remedy, if the plan does not fit the limit.

        finished: stages that are done and need nothing any more.
        """
        left = replace(self, stages=tuple(stage for stage in self.stages if stage.name not in finished))
        if not left.feasible:
            raise errors.InfeasibleError(f"this build does not fit the memory limit: {left.remedy()}")

    def check_disk(self, output: Place) -> None:
        """Raise DiskFullError, with both numbers, if the device of `output` has too little room."""
        require_free(output.scratch, self.peak_disk, output, REMEDY)

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

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> BuildPlan:
        """Inverse of `to_json`. Raises KeyError, TypeError for what is no plan."""
        known = {field.name: value[field.name] for field in fields(cls)}
        return cls(**known | {"stages": tuple(StageCost(**stage) for stage in known["stages"])})


def make_plan(
    shape: BuildShape, *, max_memory: int | None, train_rows: int | None, block_rows: int | None = None
) -> BuildPlan:
    """Choose block and sample sizes that fit the limit, and count what the build will need with them.

    train_rows: as asked for, or None for what the key wants, less if the memory is short. block_rows: fixed,
    or None. Blocks and sample shrink to their smallest useful size before a plan is found infeasible; raises
    nothing then, see `BuildPlan.check`.
    """
    baseline = resident_bytes()
    limit = max_memory if max_memory is not None else _default_limit(baseline)
    if block_rows is None:
        block_rows = _fitting_block(shape, limit - baseline)
    if not shape.wanted_train_rows:
        train_rows = 0
    elif train_rows is None:
        train_rows = _fitting_sample(shape, limit - baseline)
    shape = replace(shape, block_rows=block_rows, train_rows=min(train_rows, shape.n_vectors))
    return BuildPlan(
        key=str(shape.pipeline.spec),
        metric=shape.pipeline.metric,
        n=shape.n,
        dim=shape.pipeline.dim,
        source_dtype=shape.source_dtype,
        train_rows=shape.train_rows,
        train_limit=train_rows,
        block_rows=block_rows,
        group_bytes=shape.group_bytes,
        max_memory=limit,
        baseline_bytes=baseline,
        stages=tuple(replace(cost, memory_bytes=_with_slack(cost.memory_bytes)) for cost in shape.stages),
        index_bytes=shape.index_bytes,
        code_bytes_per_document=shape.code_bytes_per_document,
    )


def _fitting_block(shape: BuildShape, room: int) -> int:
    """Vectors of a block that fit the room."""
    least, most = shape.block_limits
    return _largest_fit(least, most, room, lambda n: _widest(BLOCK_STAGES, replace(shape, block_rows=n)))


def _fitting_sample(shape: BuildShape, room: int) -> int:
    """Most vectors to train on: what the key wants, or fewer, which fit the room."""
    most = min(shape.n_vectors, shape.wanted_train_rows)
    least = min(most, shape.least_train_rows)
    chosen = _largest_fit(least, most, room, lambda n: _widest(TRAIN_STAGES, replace(shape, train_rows=n)))
    # How many vectors documents leave is only estimated: with room for all, all that the key wants may come.
    return shape.wanted_train_rows if chosen == most else chosen


def _widest(names: tuple[str, ...], shape: BuildShape) -> int:
    """Memory of the widest of some stages."""
    return max((_with_slack(cost.memory_bytes) for cost in shape.stages if cost.name in names), default=0)


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
