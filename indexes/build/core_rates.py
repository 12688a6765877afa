"""What a core does in a second: of a reference machine, or measured here, for plans of other machines."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cluscomp.baselines import thread_budget
from cluscomp.indexes.build.rates import Timer, measure_rates
from cluscomp.indexes.keys.specs import IndexSpec
from cluscomp.indexes.kind import kind_of
from cluscomp.indexes.stages.cost import Work
from cluscomp.indexes.stages.pipeline import Pipeline
from cluscomp.indexes.stages.pipeline_cost import pipeline_cost

_ROWS, _QUERIES = 16_384, 16
_CPU = Timer(time.process_time, 0.2)
"""Processor time, which other processes disturb less than the time of the clock."""


@dataclass(frozen=True)
class CoreRates:
    """Of one core. assign, codebook, matmul: multiply-adds a second, as `Work` counts them. scan: bytes of
    codes a second that a search scores. query: seconds of a query whatever it visits. source: where this is
    from.
    """

    assign: float
    codebook: float
    matmul: float
    scan: float
    query: float
    source: str

    def seconds(self, work: Work) -> float:
        """Core-seconds that some work takes."""
        return work.assign / self.assign + work.codebook / self.codebook + work.matmul / self.matmul


ASSIGN = 100_000 * 4096 * 384 / 0.230 / 2
"""docs/benchmarks.md: nearest of 4096 centroids for 100 000 rows of 384 in 0.230 s on two cores."""
CODEBOOK = 100_000 * 384 * 256 / 0.04988 / 2
"""docs/benchmarks.md: codes of PQ48 for 100 000 rows of 384 in 49.88 ms on two cores."""
SCORES = 15e9
"""Codes that keep inner products; by `measured_rates` on the same processor while it was shared."""
MATMUL = 23e9
"""Rows times a matrix of 384 x 384 by NumPy in float64, which the kernel exceeds; measured likewise."""
QUERY = 30e-6
"""Of a query without lists; measured likewise."""
REFERENCE = "docs/benchmarks.md and docs/scaling.md: a core of an AMD EPYC (Zen 5, AVX-512)"


def reference_rates(pipeline: Pipeline) -> CoreRates:
    """Rates of the reference machine for the stages of a key."""
    codebook = CODEBOOK if pipeline.score_codec is None else SCORES
    return CoreRates(ASSIGN, codebook, MATMUL, pipeline.codec.scan_rate, QUERY, REFERENCE)


def measured_rates(pipeline: Pipeline, seed: int = 0) -> CoreRates:
    """Rates of one core of this machine: processor time of its kernels on random rows, some seconds in all.

    pipeline: the stages of a key, which need not be trained.
    """
    with thread_budget(1, ()):
        kernels = measure_rates(pipeline.dim, pipeline.dim, 256, _CPU)
        return replace(_codec_rates(pipeline, seed), assign=kernels.assign, matmul=kernels.matmul)


def _codec_rates(pipeline: Pipeline, seed: int) -> CoreRates:
    """Rates of encoding and scanning, by an index of the codec alone."""
    codec = pipeline.codec
    spec = IndexSpec((), None, codec.spec)
    rows = np.random.default_rng(seed).standard_normal((_ROWS, codec.dim), dtype=np.float32)
    metric = "ip" if pipeline.score_codec is not None else "l2"
    index: Any = kind_of(spec).index(spec, codec.dim, metric)
    index.train(rows[:8192])
    index.add(rows)
    encoding = _CPU.seconds_of(lambda: index.pipeline.encode(rows, None))
    work = pipeline_cost(index.pipeline, 0, 4).add.codebook * _ROWS
    whole, few = (_search_seconds(kept, rows) for kept in (index, _first_rows(index, rows)))
    scanned = (_ROWS - _QUERIES) * codec.row_bytes
    return CoreRates(
        assign=1.0,
        codebook=work / encoding if work else CODEBOOK,
        matmul=1.0,
        scan=scanned / max(whole - few, 1e-9),
        query=few,
        source="measured on one core of this machine",
    )


def _first_rows(index: Any, rows: np.ndarray) -> Any:
    small = type(index)(index.spec, index.dim, index.metric)
    small.pipeline = index.pipeline
    return small.add(rows[:_QUERIES])


def _search_seconds(index: Any, rows: np.ndarray) -> float:
    """Of one query, when they come one by one."""
    return _CPU.seconds_of(lambda: [index.search(query[None], 10) for query in rows[:_QUERIES]]) / _QUERIES
