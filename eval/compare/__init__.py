"""Comparisons of whole indexes: datasets x keys x search parameters, one row each.

config.py      what it depends on       config_file.py  the TOML file
collection.py  vectors and judgements   adapter.py      what an index library has to do; libraries.py,
                                        ours.py, adapters.py, late_adapters.py: who does it
run.py         the whole, resumable     rows.py         row by row
measure.py     what is measured         losses.py       where quality is lost
results.py     the results file         store.py        built indexes   commands.py  how to make a row again
elsewhere.py   keys trained on the documents of another collection
"""

from cluscomp.eval.compare.config import CompareConfig
from cluscomp.eval.compare.config_file import parse_config, read_config
from cluscomp.eval.compare.rows import CompareResult
from cluscomp.eval.compare.run import compare_indexes

__all__ = ["CompareConfig", "CompareResult", "compare_indexes", "parse_config", "read_config"]
