"""How fast this machine does the few things that a build spends its time on; the base of time estimates."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cluscomp.indexes.stages.cost import Work
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.stages.pipeline_cost import pipeline_cost

DISK_BYTES_PER_SECOND = 300e6  # a plain SSD; only the order of magnitude matters beside the arithmetic
_ROWS, _CENTROIDS = 2048, 256
_SECONDS = 0.02


@dataclass(frozen=True)
class Timer:
    """Times a call by a clock in seconds, again and again for at least `least` of them."""

    clock: Callable[[], float]
    least: float

    def seconds_of(self, work: Callable[[], object]) -> float:
        """Seconds of one call, the first aside, which pays for threads and caches."""
        work()
        start, calls = self.clock(), 0
        while self.clock() - start < self.least:
            work()
            calls += 1
        return (self.clock() - start) / calls


@dataclass(frozen=True)
class Rates:
    """Multiply-adds per second of each kind of kernel, with the current number of threads."""

    assign: float
    codebook: float
    matmul: float

    def seconds(self, work: Work) -> float:
        """Time that the work takes."""
        return work.assign / self.assign + work.codebook / self.codebook + work.matmul / self.matmul


NO_WORK = Rates(1.0, 1.0, 1.0)
"""Of stages that do none of this."""


def pipeline_rates(pipeline: Pipeline) -> Rates:
    """Speed of this machine at the kernels that the stages use."""
    codewords = pipeline_cost(pipeline, 0, 4).codewords
    return measure_rates(pipeline.dim, *(codewords or (pipeline.dim, 256)))


def measure_rates(
    dim: int, subvector_dim: int, codewords: int, timer: Timer = Timer(time.perf_counter, _SECONDS)
) -> Rates:
    """Time each kernel on random rows."""
    from cluscomp import native

    rng = np.random.default_rng(0)
    rows = rng.standard_normal((_ROWS, dim), dtype=np.float32)
    assigner = native.Assigner(rows[:_CENTROIDS].copy(), "l2")
    part = np.ascontiguousarray(rows[:, :subvector_dim])
    narrow = native.Assigner(part[:codewords].copy(), "l2")
    matrix = native.packed_matrix(rng.standard_normal((dim, dim)))
    return Rates(
        assign=_rate(lambda: assigner.assign(rows), _ROWS * dim * _CENTROIDS, timer),
        codebook=_rate(lambda: narrow.assign(part), _ROWS * subvector_dim * codewords, timer),
        matmul=_rate(lambda: matrix.multiply(rows), _ROWS * dim * dim, timer),
    )


def _rate(work: Callable[[], object], operations: int, timer: Timer) -> float:
    return operations / timer.seconds_of(work)
