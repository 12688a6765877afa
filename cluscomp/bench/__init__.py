"""Measured comparisons with other libraries: in one process, in turns, after a check of equality."""

from cluscomp.bench.run import BENCHMARKS, run_benchmarks
from cluscomp.bench.settings import Settings

__all__ = ["BENCHMARKS", "Settings", "run_benchmarks"]
