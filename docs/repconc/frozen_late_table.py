"""What trained codes of several vectors a document are worth: the table of docs/repconc_frozen.md.

    python docs/repconc/frozen_late_table.py --data COLLECTION --keys "Pool16 24" "Pool12(ward) 32"

A key is a pool and the code bytes of a vector. nDCG@10 on the test split, all documents scored: codes as an
index trains them, codes taught by the train split, and uncompressed vectors of the same pool, also for
adapted queries. Test queries are split as in table.py. Token vectors are encoded the first time and cached.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from table import Collection, Values, line, say

import cluscomp as cc
from cluscomp.encoders.token_cache import encode_tokens_cached
from cluscomp.eval.retrieval import run_from_results
from cluscomp.training import load_training_set
from cluscomp.training.frozen.late_train import train_frozen_late

K = 20
Vectors = tuple[np.ndarray, np.ndarray]


class Measured:
    """Token vectors of a collection, and what keys keep of them."""

    def __init__(self, data: Path, base: str) -> None:
        encoder = cc.load_encoder(base, "tokens")
        self.collection = Collection(data)
        texts = [f"{doc['title']} {doc['text']}".strip() for doc in self.collection.corpus.values()]
        self.documents = encode_tokens_cached(encoder, texts, side="document")
        self.queries = self._asked(encoder, list(self.collection.queries.values()))
        found = load_training_set(data)
        self.train = self._asked(encoder, list(found.queries))
        self.positives = [np.array(rows) for rows in found.positives]

    def rows(self, pool: str, m: int, seed: int) -> dict[str, Values]:
        """One key with one seed."""
        tokens, lengths = self.documents
        codec, _ = train_frozen_late(
            tokens, lengths, m, pool=pool, queries=self.train[0], query_lengths=self.train[1],
            positives=self.positives, seed=seed,
        )  # fmt: skip
        adapted = (self.queries[0] @ codec.adapter_weight.T + codec.adapter_bias, self.queries[1])
        with tempfile.TemporaryDirectory() as folder:
            codec.save(Path(folder) / "codec")
            taught = self.index(f"{pool},RepCONC({folder}/codec)", seed)
        plain, whole = self.index(f"{pool},OPQ{m},PQ{m}", seed), self.index(f"{pool},SQfp16", seed)
        return {
            "OPQ": self.ndcg(plain, self.queries),
            "taught": self.ndcg(taught, self.queries),
            "uncompressed": self.ndcg(whole, self.queries),
            "uncompressed, adapted queries": self.ndcg(whole, adapted),
        }

    def index(self, key: str, seed: int) -> Any:
        """An index of the documents."""
        tokens, lengths = self.documents
        index: Any = cc.index_factory(key, tokens.shape[1], "ip", seed=seed)
        return index.train(tokens, lengths=lengths).add(tokens, ids=self.collection.ids, lengths=lengths)

    def ndcg(self, index: Any, queries: Vectors) -> Values:
        """Of all test queries, those with a document seen in training, the others."""
        scores, ids = index.search(queries[0], K, lengths=queries[1])
        return self.collection.of_run(run_from_results(list(self.collection.queries), scores, ids))

    @staticmethod
    def _asked(encoder: Any, texts: list[str]) -> Vectors:
        rows, lengths = encode_tokens_cached(encoder, texts, side="query")
        return rows.astype(np.float32), lengths


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--keys", nargs="+", default=["Pool12 32", "Pool12(ward) 32"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    measured = Measured(arguments.data, arguments.base)
    for key in arguments.keys:
        pool, m = key.split()
        rows: dict[str, list[Values]] = defaultdict(list)
        for seed in arguments.seeds:
            for what, values in measured.rows(pool, int(m), seed).items():
                rows[what].append(values)
        for what, found in rows.items():
            say(f"{pool}, {m} bytes a vector, {what}, {len(found)} seeds | {line(found)}")


if __name__ == "__main__":
    main()
