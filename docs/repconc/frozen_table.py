"""What codes for frozen vectors are worth: the table of docs/repconc_frozen.md.

    python docs/repconc/frozen_table.py --data COLLECTION --base minilm --m 12 24 48 --seeds 0 1 2

nDCG@10 on the test split of optimized product quantization, anisotropic product quantization and frozen
training taught by the train split; test queries are also split as in table.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from table import Collection, Values, line, say

import cluscomp as cc
from cluscomp.encoders import encode_cached
from cluscomp.quantization.learned import LearnedCodec
from cluscomp.training import load_training_set
from cluscomp.training.frozen import train_anisotropic, train_frozen

Coded = tuple[np.ndarray, np.ndarray]


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--m", type=int, nargs="+", default=[12, 24, 48])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    collection, base = Collection(arguments.data), cc.load_encoder(arguments.base)
    queries, documents = collection.encode_queries(base), collection.encode_documents(base)
    data = load_training_set(arguments.data)
    asked = encode_cached(base, data.queries, side="query")
    positives = [np.array(rows) for rows in data.positives]

    def opq(m: int, seed: int) -> Coded:
        quantizer = cc.ProductQuantizer(documents.shape[1], m, rotation="opq", seed=seed).train(documents)
        return queries, quantizer.decode(quantizer.encode(documents))

    def coded(codec: LearnedCodec) -> Coded:
        return codec.rotate_queries(queries), codec.decode(codec.encode(documents))

    def anisotropic(m: int, seed: int) -> Coded:
        return coded(train_anisotropic(documents, m, seed=seed))

    def frozen(m: int, seed: int) -> Coded:
        return coded(train_frozen(documents, m, queries=asked, positives=positives, seed=seed)[0])

    methods: dict[str, Callable[[int, int], Coded]] = {
        "OPQ": opq,
        "anisotropic": anisotropic,
        "frozen": frozen,
    }
    say(f"uncompressed | {line([collection.ndcg(queries, documents)])}")
    for name, method in methods.items():
        for m in arguments.m:
            rows: list[Values] = [collection.ndcg(*method(m, seed)) for seed in arguments.seeds]
            say(f"{m} bytes, {name}, {len(rows)} seeds | {line(rows)}")


if __name__ == "__main__":
    main()
