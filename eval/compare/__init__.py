"""Comparisons of whole indexes: datasets x keys x search parameters, one row each.

config.py      the TOML file            adapter.py    what an index library has to do
collection.py  vectors and judgements   libraries.py  ours.py, adapters.py, late_adapters.py: who does it
run.py         row by row, resumable    measure.py    what is measured, losses.py: where quality is lost
results.py     the results file         store.py      built indexes   commands.py  how to make a row again
elsewhere.py   keys trained on the documents of another collection
"""

from cluscomp.eval.compare.config import CompareConfig, parse_config, read_config
from cluscomp.eval.compare.run import CompareResult, compare_indexes

__all__ = ["CompareConfig", "CompareResult", "compare_indexes", "parse_config", "read_config"]
