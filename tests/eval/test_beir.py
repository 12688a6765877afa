import gzip
import json

import numpy as np
import pytest

from cluscomp import errors
from cluscomp.eval import evaluate, load_beir
from cluscomp.eval.beir import available_splits
from cluscomp.inputs import open_embeddings

CORPUS = [
    {"_id": "d1", "title": "T", "text": "x"},
    {"_id": "d2", "text": ""},
    {"_id": "ü", "title": "", "text": "文"},
]
QUERIES = [{"_id": "q1", "text": "one"}, {"_id": "q2", "text": "two"}, {"_id": "q3", "text": "three"}]


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text(lines(CORPUS), encoding="utf-8")
    (tmp_path / "queries.jsonl").write_text(lines(QUERIES), encoding="utf-8")
    (tmp_path / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq3\td1\t2\nq1\tü\t1\nq1\tgone\t0\n", encoding="utf-8"
    )
    (tmp_path / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq2\td1\t1\n", encoding="utf-8")
    return tmp_path


def test_shape_of_the_three_parts(folder):
    corpus, queries, qrels = load_beir(folder)
    assert corpus == {
        "d1": {"title": "T", "text": "x"},
        "d2": {"title": "", "text": ""},
        "ü": {"title": "", "text": "文"},
    }
    assert queries == {"q3": "three", "q1": "one"}
    assert list(queries) == ["q3", "q1"]
    assert qrels == {"q3": {"d1": 2}, "q1": {"ü": 1, "gone": 0}}


def test_another_split(folder):
    _, queries, qrels = load_beir(str(folder), "dev")
    assert queries == {"q2": "two"}
    assert qrels == {"q2": {"d1": 1}}


def test_missing_split_lists_those_that_exist(folder):
    with pytest.raises(errors.MissingInputError, match=r"'train'; it has: dev, test"):
        load_beir(folder, split="train")


def test_no_judgements_at_all(folder):
    for path in (folder / "qrels").iterdir():
        path.unlink()
    with pytest.raises(errors.MissingInputError, match=r"'test'; there is no \.tsv"):
        load_beir(folder)


def test_no_folder(folder):
    with pytest.raises(errors.MissingInputError, match="layout of BEIR"):
        load_beir(folder / "absent")


@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
def test_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(errors.MissingInputError, match=name.split(".")[0]):
        load_beir(folder)


def test_judged_query_without_text(folder):
    (folder / "queries.jsonl").write_text(lines(QUERIES[:2]), encoding="utf-8")
    with pytest.warns(errors.IncompleteInputWarning, match=r"1 of 2 judged queries .* such as 'q3'"):
        _, queries, qrels = load_beir(folder)
    assert queries == {"q1": "one"} and set(qrels) == {"q1", "q3"}
    assert evaluate({"q1": {"ü": 1.0}}, qrels, ["mrr@10"]) == {"mrr@10": 0.5}
    (folder / "queries.jsonl").write_text(lines(QUERIES[1:2]), encoding="utf-8")
    with pytest.raises(errors.InputError, match=r"none of the 2 judged queries is in .*such as 'q3'"):
        load_beir(folder)


def test_compressed_files(folder):
    expected = load_beir(folder)
    for path in [folder / "corpus.jsonl", folder / "queries.jsonl", folder / "qrels" / "test.tsv"]:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert load_beir(folder) == expected
    assert available_splits(folder) == ["dev", "test"]


@pytest.mark.parametrize(
    ("name", "n_docs", "n_queries", "ndcg"),
    [("scifact", 5183, 300, 0.6451), ("cranfield", 1400, 225, 0.4996)],
)
def test_shared_collections_give_the_published_figure(shared_data, name, n_docs, n_queries, ndcg):
    corpus, queries, qrels = load_beir(shared_data / name)
    assert (len(corpus), len(queries), len(qrels)) == (n_docs, n_queries, n_queries)
    folder = shared_data / name / "minilm"
    docs = open_embeddings(folder / "docs.npy", folder / "docs.ids.txt")
    asked = open_embeddings(folder / "queries.npy", folder / "queries.ids.txt")
    assert set(docs.ids) == set(corpus)
    assert set(asked.ids) == set(queries)
    scores = asked.read(0, asked.n).astype(np.float32) @ docs.read(0, docs.n).astype(np.float32).T
    best = np.argsort(-scores, axis=1, kind="stable")[:, :100]
    run = {
        query: {docs.ids[j]: float(scores[i, j]) for j in best[i].tolist()}
        for i, query in enumerate(asked.ids)
    }
    assert evaluate(run, qrels)["ndcg@10"] == pytest.approx(ndcg, abs=1e-3)
