"""A judged collection of vectors, small enough to be measured in a second."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import numpy as np

DIM, DOCUMENTS, QUERIES = 16, 400, 30


def write_collection(folder: Path, seed: int = 3) -> dict:
    """Vectors, ids and judgements below `folder`; returns the table of a benchmark's config."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((8, DIM))
    documents = centres[rng.integers(0, 8, DOCUMENTS)] + 0.6 * rng.standard_normal((DOCUMENTS, DIM))
    answers = rng.choice(DOCUMENTS, QUERIES, replace=False)
    queries = documents[answers] + 0.3 * rng.standard_normal((QUERIES, DIM))
    (folder / "qrels").mkdir(parents=True)
    np.save(folder / "docs.npy", documents.astype(np.float32))
    np.save(folder / "queries.npy", queries.astype(np.float32))
    (folder / "docs.ids.txt").write_text("".join(f"d{i}\n" for i in range(DOCUMENTS)))
    (folder / "queries.ids.txt").write_text("".join(f"q{i}\n" for i in range(QUERIES)))
    lines = [f"q{i}\td{answer}\t1\n" for i, answer in enumerate(answers)]
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines))
    return {
        "name": folder.name, "path": folder.name, "embeddings": f"{folder.name}/docs.npy",
        "ids": f"{folder.name}/docs.ids.txt", "query_embeddings": f"{folder.name}/queries.npy",
        "query_ids": f"{folder.name}/queries.ids.txt",
    }  # fmt: skip


def write_config(folder: Path, table: dict, keys: str, more: str = "") -> Path:
    """A benchmark's config file; keys: as TOML."""
    lines = "\n".join(f'{name} = "{value}"' for name, value in table.items())
    path = folder / "bench.toml"
    path.write_text(
        f'title = "Tiny"\nthreads = 1\nrepeats = 1\nkeys = {keys}\n{more}\n[[datasets]]\n{lines}\n'
    )
    return path


def write_tokens(folder: Path, seed: int = 4) -> str:
    """Token vectors of the texts of `write_collection`: each is its vector, 2 to 8 times, with noise, scaled to
    length 1. Returns the `tokens` of a dataset, as TOML.
    """
    rng = np.random.default_rng(seed)
    for name, count in (("docs", DOCUMENTS), ("queries", QUERIES)):
        lengths = rng.integers(2, 9, count)
        rows = np.repeat(np.load(folder / f"{name}.npy"), lengths, axis=0)
        rows += 0.8 * rng.standard_normal(rows.shape, dtype=np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        np.save(folder / f"{name}.tokens.npy", rows.astype(np.float16))
        np.save(folder / f"{name}.lengths.npy", lengths)
    files = {
        "embeddings": "docs.tokens.npy", "lengths": "docs.lengths.npy", "ids": "docs.ids.txt",
        "query_embeddings": "queries.tokens.npy", "query_lengths": "queries.lengths.npy",
        "query_ids": "queries.ids.txt",
    }  # fmt: skip
    return "{ " + ", ".join(f'{name} = "{folder.name}/{file}"' for name, file in files.items()) + " }"


def arguments(command: str) -> list[str]:
    """Arguments of a command that a row shows; its paths, relative to this folder, hold in others, too."""
    parts = shlex.split(command)[1:]
    return [os.path.abspath(part) if part.startswith("..") else part for part in parts]
