"""Quality on real vectors: what compression costs on SciFact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cluscomp.eval import evaluate
from cluscomp.indexes import index_factory


@pytest.fixture(scope="module")
def scifact(shared_data: Path) -> tuple[np.ndarray, list[str], np.ndarray, list[str], dict]:
    folder = shared_data / "scifact"
    vectors = [np.load(folder / "minilm" / f"{name}.npy") for name in ("docs", "queries")]
    ids = [(folder / "minilm" / f"{name}.ids.txt").read_text().split() for name in ("docs", "queries")]
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        qrels.setdefault(query, {})[document] = int(grade)
    return vectors[0], ids[0], vectors[1], ids[1], qrels


def ndcg(index, scifact, **options) -> float:
    _, _, queries, query_ids, qrels = scifact
    scores, ids = index.search(queries, 10, **options)
    run = {
        name: dict(zip(found, row.tolist(), strict=True))
        for name, found, row in zip(query_ids, ids.tolist(), scores, strict=True)
    }
    return float(evaluate(run, qrels, metrics=("ndcg@10",))["ndcg@10"])


def test_uncompressed_and_int8(scifact) -> None:
    docs, names = scifact[:2]
    assert ndcg(index_factory("Flat", 384).add(docs, names), scifact) == pytest.approx(0.645, abs=0.001)
    assert ndcg(index_factory("SQ8", 384).train(docs).add(docs, names), scifact) == pytest.approx(
        0.645, abs=0.003
    )


def test_opq_ivf_pq_at_48_bytes(scifact) -> None:
    """One seed moves the figure by .005 either way, and so do the last bits of the machine's BLAS."""
    docs, names = scifact[:2]
    figures = []
    for seed in range(3):
        index = index_factory("OPQ48,IVF64,PQ48", 384, "ip", seed=seed).train(docs).add(docs, names)
        assert index.code_size == 48
        figures.append(ndcg(index, scifact, nprobe=64))
    assert np.mean(figures) >= 0.63
    own = index.search(docs[:500].astype(np.float32), 1, nprobe=64)[0]
    assert own.mean() == pytest.approx(0.97, abs=0.02)  # with nearest codes: .92
