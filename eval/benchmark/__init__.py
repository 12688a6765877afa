"""Benchmarks: datasets x keys x search parameters, one row each.

config.py      the TOML file            contender.py  what an index library has to do
collection.py  vectors and judgements   libraries.py  ours.py, rivals.py: who does it
run.py         row by row, resumable    measure.py    what is measured, losses.py: where quality is lost
results.py     the results file         store.py      built indexes   commands.py  how to make a row again
"""

from cluscomp.eval.benchmark.config import BenchmarkConfig, parse_config, read_config
from cluscomp.eval.benchmark.run import BenchmarkResult, run_benchmark

__all__ = ["BenchmarkConfig", "BenchmarkResult", "parse_config", "read_config", "run_benchmark"]
