"""Tuning: the key and search parameters that are best under limits.

candidates.py  keys worth trying   choice.py  limits, Pareto set, choice   search.py  `tune`
"""

from cluscomp.eval.tune.choice import Limits, TunePoint
from cluscomp.eval.tune.search import TuneResult, tune

__all__ = ["Limits", "TunePoint", "TuneResult", "tune"]
