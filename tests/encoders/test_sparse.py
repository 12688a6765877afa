"""Models of learned sparse vectors, from a text to a hit: a SPLADE model made of the packaged MiniLM."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from splade_model import save_splade
from typer.testing import CliRunner

from cluscomp.cli.main import app
from cluscomp.encoders import load_encoder
from cluscomp.encoders import sparse as sparse_encoders
from cluscomp.encoders.sparse import SparseTermEncoder
from cluscomp.errors import DTypeError, UsageError
from cluscomp.eval import evaluate_index
from cluscomp.indexes import index_factory, open_index
from cluscomp.indexes.build import build_index

DOCUMENTS = [
    ("cat", "", "A cat sleeps on the warm stove."),
    ("dog", "", "The dog runs after a red ball."),
    ("statins", "", "Statins lower mortality of patients with heart disease."),
    ("none", "", ""),
    ("python", "", "Functions of Python return values and raise exceptions."),
]
TEXTS = [text for _, _, text in DOCUMENTS]
QUERIES = ["sleeping cats", "heart drugs", "ball games of a dog"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_splade(tmp_path_factory.mktemp("splade") / "model")


@pytest.fixture(scope="module")
def encoder(folder) -> SparseTermEncoder:
    return load_encoder(str(folder), "sparse", device="cpu", batch_size=2)


@pytest.fixture(scope="module")
def weights(encoder):
    """Weights (n, columns) of the documents, as the model itself gives them."""
    return encoder.model.encode_document(TEXTS, convert_to_sparse_tensor=False).cpu().numpy()


def test_terms_are_those_of_the_model(encoder, weights):
    """The dimension is that of the vocabulary also before the model has encoded anything; names are tokens."""
    tokens = encoder.model.tokenizer.convert_ids_to_tokens(range(weights.shape[1]))
    assert encoder.info.dim == weights.shape[1] == len(tokens) == 30522
    rows = encoder.encode_documents(TEXTS)
    for i, row in enumerate(weights):
        expected = {tokens[column]: float(row[column]) for column in np.flatnonzero(row)}
        found = rows.mapping(i)
        assert found.keys() == expected.keys() and 0 < len(found) < 2000
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)  # texts stand in other batches
    assert "cat" in rows.mapping(0) and "dog" in rows.mapping(1)
    queries = encoder.encode_queries(QUERIES)
    own = encoder.model.encode_query(QUERIES, convert_to_sparse_tensor=False).cpu().numpy()
    assert np.diff(queries.offsets).tolist() == np.count_nonzero(own, axis=1).tolist()
    assert len(encoder.encode_documents([])) == 0


def test_another_load_is_the_same_encoder(encoder, folder):
    again = load_encoder(str(folder), "sparse", device="cpu")
    assert again.info.fingerprint == encoder.info.fingerprint and again.info.kind == "sparse"
    shorter = load_encoder(str(folder), "sparse", device="cpu", max_seq_length=3)
    assert shorter.info.fingerprint != encoder.info.fingerprint


def test_forward_passes_are_bounded(encoder, monkeypatch):
    """Scores of all columns for each token are large: long texts are encoded a few at a time, all of them once."""
    texts = ["a", *["word " * 40] * 5, "a cat", "a"]  # a long one counts as the model's most, 32 tokens
    monkeypatch.setattr(encoder, "_batch_size", 64)
    assert [len(batch) for batch in encoder._batches(texts)] == [8]
    together = encoder.encode_documents(texts)
    monkeypatch.setattr(sparse_encoders, "FORWARD_BYTES", 64 * 16 * encoder.info.dim)  # of 64 tokens
    assert [sorted(batch) for batch in encoder._batches(texts)] == [[1, 2], [3, 4], [5, 6], [0, 7]]
    apart = encoder.encode_documents(texts)
    for i in range(8):
        assert apart.mapping(i) == pytest.approx(together.mapping(i), rel=1e-4, abs=1e-5)
    assert apart.mapping(6) != pytest.approx(apart.mapping(7), rel=1e-4, abs=1e-5)
    monkeypatch.setattr(sparse_encoders, "FORWARD_BYTES", 1)
    assert [len(batch) for batch in encoder._batches(texts)] == [1] * 8


def test_every_form_of_the_vectors_makes_one_index(encoder, weights, tmp_path):
    """Mappings, lines of a file, scipy's CSR and the tensor that the model returns: the same hits and scores."""
    sparse, torch = pytest.importorskip("scipy.sparse"), pytest.importorskip("torch")
    names = encoder.model.tokenizer.convert_ids_to_tokens(range(weights.shape[1]))
    rows = [{names[c]: float(row[c]) for c in np.flatnonzero(row)} for row in weights]
    file = tmp_path / "vectors.jsonl"
    file.write_text("".join(json.dumps({"id": str(i), "vector": row}) + "\n" for i, row in enumerate(rows)))
    build_index(file, index_key="Sparse", output=tmp_path / "i")
    indexes = [
        index_factory("Sparse", 1).add(rows),
        open_index(tmp_path / "i"),
        index_factory("Sparse", 1).add(sparse.csr_array(weights), vocabulary=names),
        index_factory("Sparse", 1).add(torch.from_numpy(weights).to_sparse(), vocabulary=names),
    ]
    queries = encoder.encode_queries(QUERIES)
    place = {name: column for column, name in enumerate(names)}
    dense = np.zeros((len(QUERIES), weights.shape[1]), dtype=np.float32)
    dense[queries.rows, [place[queries.names[n]] for n in queries.numbers.tolist()]] = queries.weights
    exact = dense.astype(np.float64) @ weights.T.astype(np.float64)
    for index in indexes:
        scores, ids = index.search(queries, 3)
        np.testing.assert_array_equal(ids.astype(int), np.argsort(-exact, axis=1, kind="stable")[:, :3])
        np.testing.assert_allclose(scores, -np.sort(-exact, axis=1)[:, :3], rtol=1e-5)


@pytest.mark.parametrize("key", ["Sparse(bits=8)", "Seismic(bits=8)"])
def test_texts_become_an_index(encoder, key, tmp_path):
    build_index(DOCUMENTS, index_key=key, encoder=encoder, output=tmp_path / "i", empty_documents="keep")
    index = open_index(tmp_path / "i", verify=True)
    index.check_encoder(encoder.info)
    assert index.search(encoder.encode_queries(QUERIES), 1)[1].ravel().tolist() == ["cat", "statins", "dog"]
    qrels = {"0": {"cat": 1}, "1": {"statins": 1}, "2": {"dog": 1}}
    asked = encoder.encode_queries(QUERIES)
    report = evaluate_index(index, asked, list(qrels), qrels, k=5, metrics=["ndcg@5"])
    assert report.metrics["ndcg@5"] == 1.0
    facts = index.describe()
    searched = sum(facts["bytes"].get(part, 0) for part in ("codes", "chunks", "blocks", "summaries"))
    assert facts["terms"]["bytes_per_posting"] == round(searched / facts["terms"]["postings"], 2)


def test_commands(folder, tmp_path):
    """Texts of a collection through the model, and later a query, by the encoder that the index remembers."""

    def program(*args):
        return CliRunner().invoke(app, [str(arg) for arg in args])

    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(
        "".join(json.dumps({"_id": i, "text": text}) + "\n" for i, _, text in DOCUMENTS if text)
    )
    built = program("build-index", "--corpus", corpus, "--encoder", folder, "--encoder-kind", "sparse", "--index-key",
                    "Sparse(bits=8)", "--store-texts", "--output", tmp_path / "i")  # fmt: skip
    assert built.exit_code == 0, built.stderr
    found = program("search", tmp_path / "i", "--query", "sleeping cats", "-k", "1")
    assert found.exit_code == 0 and found.stdout.split("\t")[2] == "cat", found.stderr
    assert "bytes / posting" in program("inspect", tmp_path / "i").stdout


def test_columns_of_an_autoencoder_are_no_tokens(encoder):
    class SparseAutoEncoder:
        pass

    learned = SimpleNamespace(tokenizer=encoder.model.tokenizer, children=lambda: [SparseAutoEncoder()])
    assert sparse_encoders._columns(learned, 40_000)[7] == "[7]"
    assert sparse_encoders._columns(encoder.model, 384)[7] == "[7]"  # fewer columns than tokens
    filled_up = sparse_encoders._columns(encoder.model, 30_528)
    assert filled_up[30_527] == "[30527]" and "cat" in filled_up


def test_wrong_input(encoder, folder):
    with pytest.raises(UsageError, match="query_prompt of the sparse model .* is '' and cannot be 'query: '"):
        load_encoder(str(folder), "sparse", query_prompt="query: ")
    with pytest.raises(UsageError, match="bf16 is for models of vectors"):
        load_encoder(str(folder), "sparse", bf16=True)
    with pytest.raises(UsageError, match="max_seq_length is 600, but the model has positions for 512"):
        load_encoder(str(folder), "sparse", max_seq_length=600)
    with pytest.raises(UsageError, match="batch_size"):
        load_encoder(str(folder), "sparse", batch_size=0)
    with pytest.raises(DTypeError):
        encoder.encode_documents([3])
