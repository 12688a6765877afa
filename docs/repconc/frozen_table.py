"""What codes for frozen vectors are worth: the table of docs/repconc_frozen.md.

    python docs/repconc/frozen_table.py --data COLLECTION --base minilm --m 12 24 48 --seeds 0 1 2

nDCG@10 on the test split of optimized product quantization, anisotropic product quantization and frozen
training taught by the train split; test queries are also split as in table.py.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from table import Collection, Values, line, say

import cluscomp as cc
from cluscomp.encoders import encode_cached
from cluscomp.encoders.dense import DenseEncoder
from cluscomp.quantization.learned import LearnedCodec
from cluscomp.training import load_training_set
from cluscomp.training.frozen.train import train_anisotropic, train_frozen

Coded = dict[str, tuple[np.ndarray, np.ndarray]]
"""Query and document vectors whose inner products are scores, by what they show."""


class Methods:
    """The methods by name, each from m and seed."""

    def __init__(self, data: Path, collection: Collection, base: DenseEncoder) -> None:
        self.queries, self.documents = collection.encode_queries(base), collection.encode_documents(base)
        found = load_training_set(data)
        self.asked = encode_cached(base, found.queries, side="query")
        self.positives = [np.array(rows) for rows in found.positives]

    def opq(self, m: int, seed: int) -> Coded:
        """Optimized product quantization, nearest codes."""
        quantizer = cc.ProductQuantizer(self.documents.shape[1], m, rotation="opq", seed=seed)
        quantizer.train(self.documents)
        return {"OPQ": (self.queries, quantizer.decode(quantizer.encode(self.documents)))}

    def anisotropic(self, m: int, seed: int) -> Coded:
        """Centroids for scores by ScaNN's loss."""
        codec = train_anisotropic(self.documents, m, seed=seed)
        return {"anisotropic": self._coded(codec)}

    def frozen(self, m: int, seed: int) -> Coded:
        """Frozen training, and its adapter with uncompressed documents."""
        codec, _ = train_frozen(self.documents, m, queries=self.asked, positives=self.positives, seed=seed)
        adapted = codec.rotate_queries(self.queries), codec.rotate_documents(self.documents)
        return {"frozen": self._coded(codec), "adapter, uncompressed": adapted}

    def _coded(self, codec: LearnedCodec) -> tuple[np.ndarray, np.ndarray]:
        return codec.rotate_queries(self.queries), codec.decode(codec.encode(self.documents))


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--m", type=int, nargs="+", default=[12, 24, 48])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=["opq", "anisotropic", "frozen"])
    arguments = parser.parse_args()
    collection = Collection(arguments.data)
    methods = Methods(arguments.data, collection, cc.load_encoder(arguments.base))
    say(f"uncompressed | {line([collection.ndcg(methods.queries, methods.documents)])}")
    for name in arguments.methods:
        for m in arguments.m:
            rows: dict[str, list[Values]] = defaultdict(list)
            for seed in arguments.seeds:
                for what, (queries, documents) in getattr(methods, name)(m, seed).items():
                    rows[what].append(collection.ndcg(queries, documents))
            for what, values in rows.items():
                say(f"{m} bytes, {what}, {len(values)} seeds | {line(values)}")


if __name__ == "__main__":
    main()
