"""A small collection and a tiny random model: what is tested is the machinery, not the quality."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_models import WORDS, save_tiny_model

N_DOCUMENTS, N_QUERIES = 120, 24


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> Path:
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def collection(tmp_path) -> Path:
    """120 documents of random words and 24 queries cut from some of them, in BEIR layout with a train split."""
    rng = np.random.default_rng(11)
    folder = tmp_path / "words"
    (folder / "qrels").mkdir(parents=True)
    texts = [" ".join(rng.choice(WORDS, 12)) + f" {i}" for i in range(N_DOCUMENTS)]
    documents = [{"_id": f"d{i}", "title": f"title {i}", "text": text} for i, text in enumerate(texts)]
    queries = [{"_id": f"q{i}", "text": " ".join(texts[i].split()[3:])} for i in range(N_QUERIES)]
    for name, records in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    lines = [
        "query-id\tcorpus-id\tscore",
        *(f"q{i}\td{i}\t1" for i in range(N_QUERIES)),
        "q0\td5\t1",
        "q1\td7\t0",
    ]
    (folder / "qrels" / "train.tsv").write_text("\n".join(lines) + "\n")
    return folder
