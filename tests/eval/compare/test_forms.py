"""Comparisons of texts: words, learned sparse vectors, and both forms beside each alone; trained codecs."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from tiny_benchmark import DIM, DOCUMENTS, write_collection, write_config

from cluscomp.errors import (
    UsageError,
)
from cluscomp.eval.compare import compare_indexes, read_config
from cluscomp.eval.compare.config_file import parse_config


@pytest.mark.parametrize("key", ["RepCONC(codec)", "IVF4,RepCONC(codec)"])
def test_a_trained_codec_is_a_row_until_its_folder_changes(tmp_path, key):
    from cluscomp.quantization import LearnedCodec

    rng = np.random.default_rng(0)
    table = write_collection(tmp_path / "tiny")
    rotation = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0]

    def save(adapter):
        books = rng.standard_normal((8, 16, DIM // 8))
        codec = LearnedCodec(rotation, books, adapter_weight=adapter, adapter_bias=np.zeros(DIM))
        codec.save(tmp_path / "codec", if_exists="replace")

    save(np.eye(DIM))
    config = read_config(write_config(tmp_path, table, f'["{key}"]'))
    result = compare_indexes(config, tmp_path / "out")
    assert not result.failed
    row = result.rows[-1]
    assert row["label"] == key
    parts = [row[f"{cause}_loss_ndcg@10"] for cause in ("coarse", "quantization", "rerank")]
    assert sum(parts) == pytest.approx(row["loss_ndcg@10"], abs=1e-12)
    assert row["coarse_loss_exact_recall@10"] == 0.0  # all lists, found by queries that passed the adapter
    assert compare_indexes(config, tmp_path / "out").measured == 0
    save(-np.eye(DIM))  # every query is turned round
    again = compare_indexes(config, tmp_path / "out")
    assert again.measured == len(result.rows)
    assert again.rows[-1]["exact_recall@10"] < row["exact_recall@10"]


def test_words_beside_vectors(tmp_path):
    """Keys of words are rows of the same dataset: its texts are split, and the exact search is BM25."""
    table = write_collection(tmp_path / "tiny")
    rng = np.random.default_rng(5)
    words = [f"w{i}" for i in range(60)]
    texts = {f"d{i}": " ".join(rng.choice(words, 12)) for i in range(DOCUMENTS)}
    corpus = [json.dumps({"_id": name, "title": "", "text": text}) for name, text in texts.items()]
    (tmp_path / "tiny" / "corpus.jsonl").write_text("\n".join(corpus))
    asked = [
        line.split("\t")[:2]
        for line in (tmp_path / "tiny" / "qrels" / "test.tsv").read_text().splitlines()[1:]
    ]
    queries = [json.dumps({"_id": query, "text": texts[answer]}) for query, answer in asked]
    (tmp_path / "tiny" / "queries.jsonl").write_text("\n".join(queries))
    keys = ["Flat", "Sparse(bm25)", "Sparse(bm25,bits=8)", "Seismic(bm25,bits=8)"]
    config = parse_config({"datasets": [table], "keys": keys, "repeats": 1, "threads": 1}, base=tmp_path)
    result = compare_indexes(config, tmp_path / "out")
    rows = {row["key"]: row for row in result.good}
    assert list(rows) == keys and not result.failed and not result.skipped
    exact, coarse = rows["Sparse(bm25)"], rows["Sparse(bm25,bits=8)"]
    assert exact["vectors"] == "terms" and exact["ndcg@10"] == 1.0 and exact["exact_recall@10"] == 1.0
    assert exact["loss_ndcg@10"] == 0 and exact["coarse_loss_ndcg@10"] is None
    assert coarse["exact_recall@10"] > 0.9 and coarse["bytes_per_document"] < exact["bytes_per_document"]
    assert "--index-key 'Sparse(bm25)'" in exact["command"] and "--encoder" not in exact["command"]
    with pytest.raises(UsageError, match="learned sparse vectors, and no dataset"):
        compare_indexes(
            dataclasses.replace(config, keys=parse_config({"datasets": [table], "keys": ["Sparse"]}).keys),
            tmp_path / "b",
        )


def with_texts(tmp_path):
    """A dataset with vectors in files, texts, and weighted terms of them in files."""
    table = write_collection(tmp_path / "tiny")
    rng = np.random.default_rng(5)
    texts = {f"d{i}": " ".join(rng.choice([f"w{i}" for i in range(60)], 12)) for i in range(DOCUMENTS)}
    lines = (tmp_path / "tiny" / "qrels" / "test.tsv").read_text().splitlines()[1:]
    asked = {query: texts[answer] for query, answer in (line.split("\t")[:2] for line in lines)}
    for side, some in (("corpus", texts), ("queries", asked)):
        rows = [json.dumps({"_id": name, "title": "", "text": text}) for name, text in some.items()]
        (tmp_path / "tiny" / f"{side}.jsonl").write_text("\n".join(rows))
        terms = [
            json.dumps({"id": n, "vector": {w: 1 + int(w[1:]) / 64 for w in t.split()}})
            for n, t in some.items()
        ]
        (tmp_path / f"{side}.terms.jsonl").write_text("\n".join(terms))
    return table


def test_both_forms_beside_each_alone(tmp_path):
    """Vectors, words and both are rows of one table; the exact search of a hybrid key fuses."""
    keys = ["Flat", "Sparse(bm25)", "IVF4,Flat+Sparse(bm25,bits=8)"]
    config = parse_config({"datasets": [with_texts(tmp_path)], "keys": keys, "repeats": 1}, base=tmp_path)
    rows = {row["key"]: row for row in compare_indexes(config, tmp_path / "out").good if row["nprobe"] != 1}
    both = rows[keys[2]]
    assert list(rows) == keys and both["vectors"] == "dense+terms" and both["ndcg@10"] == 1.0
    assert both["exact_recall@10"] > 0.95 and "--word-encoder words" in both["command"]
    assert both["bytes_per_document"] > rows["Flat"]["bytes_per_document"]


def test_learned_sparse_vectors_of_files(tmp_path):
    terms = {"embeddings": "corpus.terms.jsonl", "query_embeddings": "queries.terms.jsonl"}
    table = {**with_texts(tmp_path), "terms": terms}
    keys = ["Sparse(bits=16)", "SQ8+Sparse"]
    config = parse_config({"datasets": [table], "keys": keys, "repeats": 1}, base=tmp_path)
    rows = {row["key"]: row for row in compare_indexes(config, tmp_path / "out").good}
    assert [rows[key]["vectors"] for key in keys] == ["sparse", "dense+sparse"]
    assert rows[keys[0]]["ndcg@10"] == 1.0 and rows[keys[0]]["exact_recall@10"] > 0.9
    with pytest.raises(UsageError, match="words of texts, and no dataset"):
        compare_indexes(
            dataclasses.replace(config, keys=parse_config({"datasets": ["x"], "keys": ["Sparse(bm25)"],
                                                           "encoder": "minilm"}).keys),
            tmp_path / "b",
        )  # fmt: skip
    with pytest.raises(UsageError, match="terms needs embeddings and query_embeddings"):
        parse_config({"datasets": [{**table, "terms": {"embeddings": "x"}}], "keys": keys}, base=tmp_path)


def test_words_need_texts(tmp_path):
    table = {name: value for name, value in write_collection(tmp_path / "tiny").items() if name != "path"}
    config = parse_config({"datasets": [table], "keys": ["Sparse(bm25)"]}, base=tmp_path)
    with pytest.raises(UsageError, match="words of texts, and no dataset has them"):
        compare_indexes(config, tmp_path / "out")
