"""What a trained encoder and codec are worth: the table of docs/repconc.md.

    python docs/repconc/table.py --data COLLECTION --base minilm TRAINED...

For each folder that `cluscomp train repconc` made: nDCG@10 on the test split of the compressed index, of the
trained encoder's uncompressed vectors, and of optimized product quantization (same bytes, seed 0) over these
vectors and over those of the base encoder. Test queries are also split by whether a train query has one of
their relevant documents: where it has, training may have learned which documents are asked for.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import cluscomp as cc
from cluscomp.encoders import encode_cached
from cluscomp.eval import evaluate, load_beir
from cluscomp.quantization.learned import LearnedCodec

DEPTH = 100


class Collection:
    """Texts and judgements."""

    def __init__(self, folder: Path) -> None:
        self.corpus, self.queries, self.qrels = load_beir(folder, "test")
        _, _, train = load_beir(folder, "train")
        asked = {doc for relevant in train.values() for doc, level in relevant.items() if level > 0}
        self.seen = {
            query
            for query, docs in self.qrels.items()
            if any(d in asked for d, level in docs.items() if level > 0)
        }
        self.ids = list(self.corpus)

    def vectors(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(queries, documents) by the encoder `name`."""
        encoder = cc.load_encoder(name)
        texts = [(doc["title"] + " " + doc["text"]).strip() for doc in self.corpus.values()]
        documents = encode_cached(encoder, texts, side="document")
        return encode_cached(encoder, list(self.queries.values()), side="query"), documents

    def ndcg(self, queries: np.ndarray, documents: np.ndarray) -> str:
        """nDCG@10 by inner product: all queries, those with a document seen in training, the others."""
        scores = queries @ documents.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
        run = {
            query: {self.ids[j]: float(scores[i, j]) for j in best[i]} for i, query in enumerate(self.queries)
        }
        parts = [set(self.qrels), self.seen, set(self.qrels) - self.seen]
        values = [self._mean(run, part) for part in parts]
        return " | ".join(f"{value:.4f}" for value in values)

    def _mean(self, run: dict[str, dict[str, float]], part: set[str]) -> float:
        kept = {query: docs for query, docs in self.qrels.items() if query in part}
        return evaluate({q: run[q] for q in kept}, kept, metrics=("ndcg@10",))["ndcg@10"] if kept else np.nan


def opq(documents: np.ndarray, m: int, nbits: int) -> cc.ProductQuantizer:
    """Optimized product quantizer of the same size as the codec."""
    return cc.ProductQuantizer(documents.shape[1], m, nbits, rotation="opq", seed=0).train(documents)


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", default="minilm")
    parser.add_argument("trained", type=Path, nargs="+")
    arguments = parser.parse_args()
    collection = Collection(arguments.data)
    queries, documents = collection.vectors(arguments.base)
    show("what", f"all {len(collection.qrels)} | seen {len(collection.seen)} | unseen")
    show("uncompressed, base", collection.ndcg(queries, documents))
    for folder in arguments.trained:
        codec = LearnedCodec.load(folder / "codec")
        tuned_queries, tuned = collection.vectors(str(folder / "encoder"))
        base = opq(documents, codec.m, codec.nbits)
        same = np.array_equal(tuned, documents)
        over = base if same else opq(tuned, codec.m, codec.nbits)
        label = f"{folder.name} ({codec.code_size} bytes)"
        decoded = codec.decode(codec.encode(tuned))
        show(f"{label}: OPQ, base", collection.ndcg(queries, base.decode(base.encode(documents))))
        show(f"{label}: RepCONC", collection.ndcg(codec.rotate_queries(tuned_queries), decoded))
        show(f"{label}: uncompressed, trained", collection.ndcg(tuned_queries, tuned))
        show(f"{label}: OPQ over trained", collection.ndcg(tuned_queries, over.decode(over.encode(tuned))))


def show(what: str, values: str) -> None:
    """One row, as soon as it is known."""
    sys.stdout.write(f"{what} | {values}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
