"""Evaluation: test collections, run files, metrics equal to trec_eval, and reports on an index."""

from cluscomp.eval.beir import load_beir
from cluscomp.eval.fusion import fuse_runs
from cluscomp.eval.fusion_weight import TunedWeight, tune_weight
from cluscomp.eval.metrics import evaluate, evaluate_per_query
from cluscomp.eval.paired import Comparison, compare_runs
from cluscomp.eval.qrels import read_qrels
from cluscomp.eval.retrieval import EvalReport, evaluate_index
from cluscomp.eval.runs import read_run, write_run

__all__ = [
    "Comparison",
    "EvalReport",
    "TunedWeight",
    "compare_runs",
    "evaluate",
    "evaluate_index",
    "evaluate_per_query",
    "fuse_runs",
    "load_beir",
    "read_qrels",
    "read_run",
    "tune_weight",
    "write_run",
]
