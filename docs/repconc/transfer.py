"""What trained encoders and codecs are worth on collections that they were not trained on.

    python docs/repconc/transfer.py --base MODEL [--bf16] --data COLLECTION... --trained FOLDER...

For each collection: nDCG@10 on the test split of the base encoder's vectors, uncompressed and by optimized
product quantization of that collection; and for each folder that `cluscomp train repconc` made, of its codec
as it is, of its encoder's uncompressed vectors, and of optimized product quantization over these.
Documents are encoded in bfloat16 with --bf16. A run without joint stage has the base encoder's documents.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from table import Collection, Trained, say

import cluscomp as cc
from cluscomp.encoders.dense import DenseEncoder


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--trained", type=Path, nargs="+", required=True)
    arguments = parser.parse_args()
    for folder in arguments.data:
        for what, value in rows(Collection(folder), arguments.base, arguments.trained, arguments.bf16):
            say(f"{folder.name} | {what} | {value:.4f}")


def rows(collection: Collection, name: str, folders: list[Path], bf16: bool) -> Iterator[tuple[str, float]]:
    """What was searched and its nDCG@10, row by row."""
    base = cc.load_encoder(name)
    queries = collection.encode_queries(base)
    documents = collection.encode_documents(DenseEncoder(base.model, name, bf16=bf16))
    yield "uncompressed, base", collection.ndcg(queries, documents)[0]
    plain: dict[tuple[int, int], float] = {}
    for folder in folders:
        trained = Trained(folder, collection, documents, bf16)
        codec, size = trained.codec, (trained.codec.code_size, trained.seed)
        if size not in plain:
            plain[size] = collection.ndcg(queries, trained.opq(documents))[0]
            yield f"{size[0]} bytes, seed {size[1]}: OPQ, base", plain[size]
        found: dict[str, tuple[np.ndarray, np.ndarray]] = {
            "codec": (codec.rotate_queries(trained.queries), codec.decode(codec.encode(trained.documents))),
            "uncompressed, trained": (trained.queries, trained.documents),
            "OPQ over trained": (trained.queries, trained.opq(trained.documents)),
        }
        for what, (asked, held) in found.items():
            yield f"{folder.name}: {what}", collection.ndcg(asked, held)[0]


if __name__ == "__main__":
    main()
