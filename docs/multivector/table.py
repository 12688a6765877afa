"""The main table of docs/multivector.md: quality, size, build time and speed of multi-vector keys.

    python docs/multivector/table.py docs/results.toml --only scifact [--key KEY ...] [--no-times]

Token vectors are those of the config's datasets, encoded the first time and cached. Builds run on all cores,
searches on one thread (k = 10): queries one by one, and all in one call, the best of three.
A row a key; one that does not fit a dataset is an error.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

import cluscomp as cc
from cluscomp import native
from cluscomp.errors import CluscompError
from cluscomp.eval import evaluate
from cluscomp.eval.compare.config_file import read_config
from cluscomp.eval.compare.loading import load_collection
from cluscomp.eval.retrieval import run_from_results

KEYS = (
    "Pool16,SQfp16",
    "Pool16,IVF1024,SQ4",
    "Pool16,PQ96",
    "Pool16,IVF1024,PQ96",
    "Pool16,OPQ96,IVF1024,PQ96",
    "Pool16,OPQ48,IVF1024,PQ48",
    "Pool16,OPQ24,IVF1024,PQ24",
    "Pool12,OPQ32,IVF1024,PQ32",
)
K = 10
REPEATS = 3
CORES = native.get_num_threads()


def main() -> None:
    """Measure every key on every chosen dataset."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config")
    parser.add_argument("--only", nargs="*", help="datasets")
    parser.add_argument("--key", nargs="*", default=KEYS)
    parser.add_argument("--no-times", action="store_true")
    parser.add_argument("--candidates", nargs="*", type=int, default=[], help="nDCG@10 with so many, too")
    options = parser.parse_args()
    encoders: dict[tuple[str, str], Any] = {}
    for spec in read_config(options.config).datasets:
        if spec.multi and (not options.only or spec.name in options.only):
            collection = load_collection(spec, encoders)
            for key in options.key:
                try:
                    found = measure(collection, key, options.candidates, times=not options.no_times)
                except CluscompError as exc:
                    found = {"error": str(exc)}
                sys.stdout.write(json.dumps({"dataset": spec.name, "key": key, **found}) + "\n")
                sys.stdout.flush()


def measure(collection: Any, key: str, candidates: Sequence[int], *, times: bool) -> dict[str, Any]:
    """nDCG@10, bytes and times of one key."""
    native.set_num_threads(CORES)
    documents, queries = collection.documents, collection.queries
    start = time.perf_counter()
    index = cc.index_factory(key, collection.dim, "ip", seed=0)
    index.train(documents.rows, lengths=documents.lengths)
    trained = time.perf_counter()
    index.add(documents.rows, lengths=documents.lengths)
    built = time.perf_counter()
    found: dict[str, Any] = {"ndcg@10": quality(collection, index)}
    everything = {"candidates": len(index)} if index.spec.nlist > 1 else {}
    found["of all candidates"] = quality(collection, index, **everything)
    for number in candidates:
        found[f"of {number} candidates"] = quality(collection, index, candidates=number)
    found["code bytes"] = round(index.code_bytes_per_document, 1)
    if times:
        found |= {"train s": round(trained - start, 1), "build s": round(built - start, 1)}
        native.set_num_threads(1)
        found["queries/s one by one"] = round(len(queries) / single(index, queries))
        found["queries/s in a batch"] = round(len(queries) / batch(index, queries))
    return found


def quality(collection: Any, index: Any, **parameters: Any) -> float:
    """nDCG@10 over the judged queries."""
    scores, positions = index.search(
        collection.queries.rows, K, lengths=collection.queries.lengths, **parameters
    )
    run = run_from_results(collection.query_ids, scores, collection.document_ids[positions])
    return round(evaluate(run, collection.qrels, metrics=("ndcg@10",))["ndcg@10"], 4)


def single(index: Any, queries: Any) -> float:
    """Seconds of all queries, one after the other: the best repeat."""
    offsets = queries.offsets
    parts = [(queries.rows[a:b], [b - a]) for a, b in pairwise(offsets.tolist())]

    def run() -> None:
        for rows, lengths in parts:
            index.search(rows, K, lengths=lengths)

    return best(run)


def batch(index: Any, queries: Any) -> float:
    """Seconds of one call with all queries."""
    return best(lambda: index.search(queries.rows, K, lengths=queries.lengths))


def best(run: Any) -> float:
    """The least wall time of some repeats."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.min(times))


if __name__ == "__main__":
    main()
