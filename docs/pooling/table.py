"""The tables of docs/notes/pooling.md: what each way to pool token vectors keeps of exact late interaction.

    python docs/pooling/table.py --data COLLECTIONS --tokens CACHE [--encoder minilm] [--only scifact]

COLLECTIONS holds folders in BEIR's layout. Token vectors are encoded once into CACHE/NAME (documents read to
256 tokens, float16). Only queries with judgements in the split "test" are asked; documents without text keep
a vector of what the encoder gives for nothing. Prints one table a collection, in Markdown.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import cluscomp as cc
from cluscomp.encoders.token_model import load_token_model
from cluscomp.eval import evaluate, load_beir

COLLECTIONS = ("scifact", "cranfield", "npl", "limit-small")
MAX_TOKENS = 256
TEXTS_AT_ONCE = 128
HITS = 100
WAYS: tuple[tuple[str, dict[str, Any] | None], ...] = (
    ("all token vectors", None),
    *((f"Ward to {k}", {"max_vectors": k}) for k in (32, 16, 8, 4, 2, 1)),
    *((f"Ward to {k}, plain means", {"max_vectors": k, "renormalize": False}) for k in (16, 8, 4)),
    *((f"Ward, {k} a document on average", {"average": k}) for k in (16, 8, 4)),
    *((f"sequential to {k}", {"max_vectors": k, "method": "sequential"}) for k in (16, 8, 4)),
    *((f"k-means to {k}", {"max_vectors": k, "method": "kmeans"}) for k in (16, 8, 4)),
)


def main() -> None:
    """Encode what is not encoded yet, then print a table a collection."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--only", choices=COLLECTIONS)
    parser.add_argument("--max-tokens", type=int, default=MAX_TOKENS, help="read of a text")
    parser.add_argument("--ways", default="", help="those with this in their name, beside all token vectors")
    options = parser.parse_args()
    for name in COLLECTIONS if options.only is None else (options.only,):
        tokens = options.tokens / name
        if not (tokens / "queries.npy").is_file():
            encode(options.data / name, tokens, options.encoder, options.max_tokens)
        show(name, measure(options.data / name, tokens, options.ways))


def encode(collection: Path, folder: Path, encoder: str, max_tokens: int) -> None:
    """Write token vectors of a collection: NAME.npy (N, d) float16, NAME.lengths.npy, NAME.ids.txt."""
    corpus, queries, _ = load_beir(collection)
    model = load_token_model(encoder)
    model.max_seq_length = max_tokens
    folder.mkdir(parents=True, exist_ok=True)
    texts = {doc: f"{fields['title']} {fields['text']}".strip() for doc, fields in corpus.items()}
    for name, content, call in (
        ("docs", texts, model.encode_document),
        ("queries", queries, model.encode_query),
    ):
        parts = encode_texts(list(content.values()), call)
        np.save(folder / f"{name}.lengths.npy", np.array([len(part) for part in parts]))
        (folder / f"{name}.ids.txt").write_text("\n".join(content) + "\n", encoding="utf-8")
        np.save(folder / f"{name}.npy", np.concatenate(parts))  # last: it says that the others are there


def encode_texts(texts: list[str], call: Any) -> list[np.ndarray]:
    """Token vectors of each text; texts of like length go together."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    parts: list[Any] = [None] * len(texts)
    for start in range(0, len(order), TEXTS_AT_ONCE):
        chosen = order[start : start + TEXTS_AT_ONCE]
        found = call(
            [texts[i] for i in chosen], batch_size=16, show_progress_bar=False, convert_to_numpy=True
        )
        for i, rows in zip(chosen, found, strict=True):
            parts[i] = rows.astype(np.float16)
    return parts


def measure(collection: Path, folder: Path, only: str) -> list[tuple[str, float, float, float]]:
    """(way, vectors a document, seconds of pooling, nDCG@10) of each way."""
    _, _, qrels = load_beir(collection)
    vectors = {n: np.load(folder / f"{n}.npy", mmap_mode="r") for n in ("docs", "queries")}
    lengths = {n: np.load(folder / f"{n}.lengths.npy") for n in ("docs", "queries")}
    ids = {
        n: (folder / f"{n}.ids.txt").read_text(encoding="utf-8").split("\n")[:-1] for n in ("docs", "queries")
    }
    rows = []
    for name, options in WAYS:
        if options is not None and only not in name:
            continue
        start = time.perf_counter()
        pooled, kept = pool(vectors["docs"], lengths["docs"], options)
        seconds = time.perf_counter() - start
        scores = cc.maxsim(vectors["queries"], lengths["queries"], pooled, kept)
        quality = evaluate(run_of(scores, ids), qrels, metrics=("ndcg@10",))["ndcg@10"]
        rows.append((name, float(kept.mean()), seconds, quality))
        sys.stderr.write(json.dumps({"collection": collection.name, "way": name, "ndcg@10": quality}) + "\n")
    return rows


def pool(vectors: Any, lengths: np.ndarray, options: dict[str, Any] | None) -> tuple[Any, np.ndarray]:
    """Vectors and lengths of one way; "average" spends vectors over the whole collection."""
    if options is None:
        return vectors, lengths
    chosen = dict(options)
    if "average" in chosen:
        chosen["total_vectors"] = chosen.pop("average") * len(lengths)
    return cc.pool_tokens(vectors, lengths, **chosen)


def run_of(scores: np.ndarray, ids: dict[str, list[str]]) -> dict[str, dict[str, float]]:
    """The best documents of each query."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :HITS]
    return {
        query: {ids["docs"][j]: float(scores[i, j]) for j in best[i]}
        for i, query in enumerate(ids["queries"])
    }


def show(name: str, rows: list[tuple[str, float, float, float]]) -> None:
    """Write the table of a collection."""
    whole = rows[0][3]
    lines = [f"\n{name}\n", "| way | vectors a document | nDCG@10 | of all vectors | pooling |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for way, kept, seconds, quality in rows:
        lines.append(f"| {way} | {kept:.1f} | {quality:.4f} | {quality / whole:.1%} | {seconds:.1f} s |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
