"""semantic_search beside sentence-transformers' own functions."""

from __future__ import annotations

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import DimensionError, UsageError
from cluscomp.eval.integrations.semantic_search import semantic_search


@pytest.fixture
def vectors(rng):
    return rng.standard_normal((300, 24)).astype(np.float32), rng.standard_normal((7, 24)).astype(np.float32)


@pytest.fixture
def texts(rng):
    corpus = [rng.standard_normal((n, 24)).astype(np.float32) for n in rng.integers(1, 9, 60)]
    return corpus, [rng.standard_normal((n, 24)).astype(np.float32) for n in (3, 1, 6)]


@pytest.fixture(scope="module")
def util():
    pytest.importorskip("sentence_transformers")
    from sentence_transformers import util

    return util


def same(found, want):
    assert [[hit["corpus_id"] for hit in row] for row in found] == [
        [hit["corpus_id"] for hit in row] for row in want
    ]
    for row, expected in zip(found, want, strict=True):
        np.testing.assert_allclose(
            [h["score"] for h in row], [h["score"] for h in expected], rtol=2e-5, atol=1e-5
        )


def test_it_equals_semantic_search(util, vectors):
    import torch

    corpus, queries = (torch.from_numpy(x) for x in vectors)
    same(semantic_search(queries, corpus), util.semantic_search(queries, corpus))
    for function in (util.cos_sim, util.dot_score):
        want = util.semantic_search(queries, corpus, 3, 50, 12, function)
        same(semantic_search(queries, corpus, 3, 50, 12, function), want)
        same(semantic_search(queries, list(corpus), top_k=12, score_function=function), want)
    same(semantic_search(queries[0], corpus, top_k=999), util.semantic_search(queries[0], corpus, top_k=999))
    same(semantic_search(vectors[1].tolist(), vectors[0].tolist()), util.semantic_search(queries, corpus))


def test_it_equals_semantic_search_on_scifact(util, shared_data):
    import torch

    corpus = np.load(shared_data / "scifact" / "minilm" / "docs.npy", mmap_mode="r")
    queries = np.load(shared_data / "scifact" / "minilm" / "queries.npy")[:100]
    want = util.semantic_search(torch.from_numpy(queries), torch.from_numpy(np.array(corpus)), top_k=5)
    found = semantic_search(queries, corpus, top_k=5)
    same(found, want)
    small = semantic_search(queries, corpus, top_k=5, index_key="SQ8", score_function="dot_score")
    agree = [a[0]["corpus_id"] == b[0]["corpus_id"] for a, b in zip(small, want, strict=True)]
    assert np.mean(agree) > 0.95


def test_several_vectors_equal_maxsim(util, texts):
    import torch

    corpus, queries = texts
    scores = util.maxsim(
        [torch.from_numpy(q) for q in queries], [torch.from_numpy(c) for c in corpus]
    ).numpy()
    order = np.argsort(-scores, axis=1, kind="stable")[:, :8]
    want = [
        [{"corpus_id": i, "score": row[i]} for i in places] for row, places in zip(scores, order, strict=True)
    ]
    same(semantic_search(queries, corpus, top_k=8), want)
    same(semantic_search([torch.from_numpy(q) for q in queries], [torch.from_numpy(c) for c in corpus], top_k=8,
                         score_function=util.maxsim), want)  # fmt: skip
    same(semantic_search(queries[0], corpus, top_k=8), want[:1])
    cube = np.stack([c[:1] for c in corpus])
    assert len(semantic_search(queries, cube)) == 3


def test_an_index_that_is_built_already(vectors, texts, tmp_path):
    corpus, queries = vectors
    index = cc.index_factory("IVF8,SQ8", 24, "cosine")
    index.train(corpus).add(corpus, ids=[f"text {i}" for i in range(300)])
    index.save(tmp_path / "index")
    found = semantic_search(queries, tmp_path / "index", top_k=4, search_kwargs={"nprobe": 8})
    scores, ids = index.search(queries, 4, nprobe=8)
    assert found == [
        [{"corpus_id": i, "score": s} for i, s in zip(*row, strict=True)]
        for row in zip(ids.tolist(), scores.tolist(), strict=True)
    ]
    with pytest.raises(UsageError, match="built for metric 'cosine'.*'ip'"):
        semantic_search(queries, index, score_function="dot_score")
    several = cc.index_factory("Pool2,SQ8", 24).train(texts[0]).add(texts[0])
    assert [len(row) for row in semantic_search(texts[1], several, top_k=1000)] == [60] * 3
    assert semantic_search(queries, cc.index_factory("Flat", 24)) == [[]] * 7


def test_wrong_calls(vectors, texts):
    corpus, queries = vectors
    with pytest.raises(UsageError, match="manhattan_sim.*is unknown"):
        semantic_search(queries, corpus, score_function="manhattan_sim")
    with pytest.raises(UsageError, match="top_k must be .* but is 0"):
        semantic_search(queries, corpus, top_k=0)
    with pytest.raises(DimensionError, match="index has dim 24, queries have dim 3"):
        semantic_search(queries[:, :3], corpus)
    with pytest.raises(UsageError, match="'Pool4,SQ8' is for several vectors a text.*has one"):
        semantic_search(queries, corpus, index_key="Pool4,SQ8")
    with pytest.raises(UsageError, match="'SQ8' is for one vector"):
        semantic_search(texts[1], texts[0], index_key="SQ8")
