"""Running commands: in this process for speed, or as a real program for exit codes and streams."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

DIM = 16


@pytest.fixture
def invoke():
    """invoke("search", ...) runs a command in this process; result has exit_code, stdout, stderr."""
    from cluscomp.cli.main import app

    def run(*args, **options):
        return CliRunner().invoke(app, [str(arg) for arg in args], **options)

    return run


@pytest.fixture
def program():
    """program("search", ...) runs `python -m cluscomp` and returns the finished process."""

    def run(*args, **options):
        command = [sys.executable, "-m", "cluscomp", *[str(arg) for arg in args]]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)

    return run


class HashEncoder:
    """Encoder without a model: a text becomes the sum of pseudo-random unit vectors of its words."""

    def __init__(self, name="hash", dim=DIM):
        from cluscomp.encoders.base import EncoderInfo

        self.info = EncoderInfo(
            name=name, kind="dense", dim=dim, normalize=True, query_prompt="", document_prompt="",
            max_seq_length=None, fingerprint=hashlib.blake2b(name.encode(), digest_size=16).hexdigest(),
        )  # fmt: skip

    def encode_documents(self, texts, progress=None):
        rows = np.array([self._row(text) for text in texts], dtype=np.float32).reshape(-1, self.info.dim)
        if progress is not None:
            progress("encode", len(texts), len(texts))
        return rows

    encode_queries = encode_documents

    def _row(self, text):
        row = np.zeros(self.info.dim)
        for word in text.lower().split() or [""]:
            seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "little")
            row += np.random.default_rng(seed).standard_normal(self.info.dim)
        return row / np.linalg.norm(row)


@pytest.fixture
def hash_encoder(monkeypatch, tmp_path):
    """Let `load_encoder(NAME)` give a HashEncoder of that name, and the cache lie in a temporary folder."""
    import cluscomp.encoders

    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cluscomp.encoders, "load_encoder", lambda name, kind="dense", **_: HashEncoder(name))
    return HashEncoder


@pytest.fixture
def vectors(tmp_path) -> Path:
    """300 random vectors of dim 16 in x.npy, with ids row0, row1 ... in x.ids.txt."""
    rows = np.random.default_rng(7).standard_normal((300, DIM)).astype(np.float32)
    np.save(tmp_path / "x.npy", rows)
    (tmp_path / "x.ids.txt").write_text("".join(f"row{i}\n" for i in range(300)))
    return tmp_path / "x.npy"


@pytest.fixture
def index(invoke, vectors, tmp_path) -> Path:
    """Flat index over `vectors`."""
    target = tmp_path / "x.index"
    result = invoke("build-index", "--embeddings", vectors, "--ids", tmp_path / "x.ids.txt", "--index-key", "Flat",
                    "--output", target)  # fmt: skip
    assert result.exit_code == 0, result.output
    return target


TEXTS = {
    "cat": ("Cats", "a cat sleeps on the warm stove all day"),
    "dog": ("Dogs", "a dog runs after the red ball in the park"),
    "fish": ("", "fish swim in cold deep water"),
    "bird": ("Birds", "birds sing early in the morning sun"),
}


@pytest.fixture
def beir(tmp_path) -> Path:
    """A collection of four documents and two judged queries in BEIR layout."""
    folder = tmp_path / "animals"
    (folder / "qrels").mkdir(parents=True)
    lines = [json.dumps({"_id": name, "title": title, "text": text}) for name, (title, text) in TEXTS.items()]
    (folder / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    queries = {"q1": "warm stove cat", "q2": "cold deep water", "q3": "never judged"}
    lines = [json.dumps({"_id": name, "text": text}) for name, text in queries.items()]
    (folder / "queries.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tcat\t1\nq2\tfish\t1\n")
    return folder


@pytest.fixture
def text_index(invoke, hash_encoder, beir, tmp_path) -> Path:
    """Flat index over `beir` with stored texts."""
    target = tmp_path / "animals.index"
    result = invoke("build-index", "--corpus", beir, "--encoder", "hash", "--index-key", "Flat", "--store-texts",
                    "--output", target)  # fmt: skip
    assert result.exit_code == 0, result.output
    return target
