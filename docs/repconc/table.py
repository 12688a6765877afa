"""What trained encoders and codecs are worth: the tables of docs/notes/repconc.md.

    python docs/repconc/table.py --data COLLECTION --base minilm [--bf16] TRAINED...

For each folder that `cluscomp train repconc` made: nDCG@10 on the test split of the compressed index, of
the trained encoder's uncompressed vectors, and of optimized product quantization (same bytes, same seed)
over these vectors and over those of the base encoder. Test queries are also split by whether a train query
has one of their relevant documents: where it has, training may have learned which documents are asked for.
Last, mean and range over seeds of what differs in nothing else.

--bf16 encodes the documents of trained encoders in bfloat16, in a third of the time where the CPU has it.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import cluscomp as cc
from cluscomp.encoders import encode_cached
from cluscomp.encoders.dense import DenseEncoder
from cluscomp.eval import evaluate, load_beir
from cluscomp.eval.beir import available_splits
from cluscomp.quantization.learned import LearnedCodec

DEPTH = 100
Values = tuple[float, float, float]


class Collection:
    """Texts and judgements; without a train split all test queries are unseen."""

    def __init__(self, folder: Path) -> None:
        self.corpus, self.queries, self.qrels = load_beir(folder, "test")
        train = load_beir(folder, "train")[2] if "train" in available_splits(folder) else {}
        asked = {doc for relevant in train.values() for doc, level in relevant.items() if level > 0}
        self.seen = {
            query
            for query, docs in self.qrels.items()
            if any(d in asked for d, level in docs.items() if level > 0)
        }
        self.ids = list(self.corpus)

    def encode_queries(self, encoder: DenseEncoder) -> np.ndarray:
        """Vectors of the test queries."""
        return encode_cached(encoder, list(self.queries.values()), side="query")

    def encode_documents(self, encoder: DenseEncoder) -> np.ndarray:
        """Vectors of all documents."""
        texts = [(doc["title"] + " " + doc["text"]).strip() for doc in self.corpus.values()]
        return encode_cached(encoder, texts, side="document")

    def ndcg(self, queries: np.ndarray, documents: np.ndarray) -> Values:
        """nDCG@10 by inner product: all queries, those with a document seen in training, the others."""
        scores = queries @ documents.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
        run = {
            query: {self.ids[j]: float(scores[i, j]) for j in best[i]} for i, query in enumerate(self.queries)
        }
        return self.of_run(run)

    def of_run(self, run: dict[str, dict[str, float]]) -> Values:
        """`ndcg` of a run {query: {document: score}}."""
        asked = set(self.qrels)
        return self._mean(run, asked), self._mean(run, self.seen), self._mean(run, asked - self.seen)

    def _mean(self, run: dict[str, dict[str, float]], part: set[str]) -> float:
        kept = {query: docs for query, docs in self.qrels.items() if query in part}
        return evaluate({q: run[q] for q in kept}, kept, metrics=("ndcg@10",))["ndcg@10"] if kept else np.nan


class Trained:
    """Vectors and codec of one folder. documents: the base encoder's, kept by runs without joint stage."""

    def __init__(self, folder: Path, collection: Collection, documents: np.ndarray, bf16: bool) -> None:
        self.codec = LearnedCodec.load(folder / "codec")
        settings: Any = self.codec.provenance
        encoder = cc.load_encoder(str(folder / "encoder"))
        self.joint, self.seed = settings["joint_epochs"] > 0, settings["seed"]
        stages = [f"joint {settings['joint_epochs']:g}"] if self.joint else []
        stages += [f"JPQ {settings['jpq_epochs']:g}"] if settings["jpq_epochs"] > 0 else []
        self.label = f"{self.codec.code_size} bytes, {' + '.join(stages)}"
        self.queries = collection.encode_queries(encoder)
        halved = DenseEncoder(encoder.model, str(folder), bf16=bf16)
        self.documents = collection.encode_documents(halved) if self.joint else documents

    def opq(self, documents: np.ndarray) -> np.ndarray:
        """Documents as optimized product quantization of the codec's size gives them back."""
        codec = self.codec
        quantizer = cc.ProductQuantizer(codec.dim, codec.m, codec.nbits, rotation="opq", seed=self.seed)
        return quantizer.train(documents).decode(quantizer.encode(documents))

    def rows(self, collection: Collection, queries: np.ndarray, documents: np.ndarray) -> dict[str, Values]:
        """Of this run, and of the base vectors beside it."""
        base = self.opq(documents)
        over = self.opq(self.documents) if self.joint else base
        decoded = self.codec.decode(self.codec.encode(self.documents))
        return {
            "OPQ, base": collection.ndcg(queries, base),
            "RepCONC": collection.ndcg(self.codec.rotate_queries(self.queries), decoded),
            "uncompressed, trained": collection.ndcg(self.queries, self.documents),
            "OPQ over trained": collection.ndcg(self.queries, over),
        }


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("trained", type=Path, nargs="+")
    arguments = parser.parse_args()
    collection = Collection(arguments.data)
    base = cc.load_encoder(arguments.base)
    queries, documents = collection.encode_queries(base), collection.encode_documents(base)
    n_seen = len(collection.seen)
    say(f"what | all {len(collection.qrels)} | seen {n_seen} | unseen {len(collection.qrels) - n_seen}")
    say(f"uncompressed, base | {line([collection.ndcg(queries, documents)])}")
    groups: dict[str, list[Values]] = defaultdict(list)
    for folder in arguments.trained:
        trained = Trained(folder, collection, documents, arguments.bf16)
        for what, values in trained.rows(collection, queries, documents).items():
            say(f"{folder.name}: {what} | {line([values])}")
            groups[f"{trained.label}: {what}"].append(values)
    for label in sorted(groups):
        say(f"{label}, {len(groups[label])} seeds | {line(groups[label])}")


def line(rows: Sequence[Values]) -> str:
    """Mean of each column, and its range where there are several rows."""
    cells = []
    for column in np.array(rows).T:
        spread = f" ({column.min():.3f} to {column.max():.3f})" if len(column) > 1 else ""
        cells.append(f"{column.mean():.4f}{spread}")
    return " | ".join(cells)


def say(text: str) -> None:
    """One row, as soon as it is known."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
