"""Hybrid indexes whose vectors or terms came ready: requests have vectors, and beside them texts or terms."""

from __future__ import annotations

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.encoders import load_encoder
from cluscomp.errors import RequestRefusedError
from cluscomp.server.client import packed
from cluscomp.terms import TermRows

N, DIM = 300, 16
TEXTS = [f"words{i % 17} words{i % 5} only{i}" for i in range(N)]
NAMES = [f"d{i}" for i in range(N)]
QUERIES = ["word3 words4", "only7", "nothing here"]


def terms_of(texts):
    return load_encoder("words(stem=porter)", "words").encode_queries(texts)


def rows_of(kind, n=N, seed=3):
    """Vectors of n documents, one or two each, as HybridRows takes them."""
    lengths = None if kind == "dense" else np.arange(n) % 2 + 1
    total = n if lengths is None else int(lengths.sum())
    return np.random.default_rng(seed).standard_normal((total, DIM)).astype(np.float32), lengths


@pytest.fixture(scope="module", params=["dense", "late"])
def known_words(request, tmp_path_factory):
    """(kind, folder): the terms are words of texts, the vectors came ready."""
    path = tmp_path_factory.mktemp("served") / "i.index"
    key = "IVF4,PQ4+Sparse(bm25)" if request.param == "dense" else "IVF4,Flat+Sparse(bm25)"
    if request.param == "late":
        key = "Pool2," + key
    vectors, lengths = rows_of(request.param)
    cc.build_index(
        vectors, lengths=lengths, ids=NAMES, texts=[(name, "", text) for name, text in zip(NAMES, TEXTS, strict=True)],
        index_key=key, output=path,
    )  # fmt: skip
    return request.param, path


@pytest.fixture(scope="module")
def ready_terms(tmp_path_factory):
    """Both sides came ready."""
    path = tmp_path_factory.mktemp("served") / "t.index"
    rows = cc.HybridRows(rows_of("dense")[0], [{"a": 1.0 + i, f"b{i % 7}": 0.5} for i in range(N)])
    cc.index_factory("Flat+Sparse", DIM).train(rows).add(rows, NAMES).save(path)
    return path


def hits_of(result):
    return [(hit["id"], np.float32(hit["score"])) for hit in result["hits"]]


def test_texts_or_terms_beside_vectors_find_what_a_search_finds(serve, known_words):
    """Requests with texts and with terms may share a search; a text is that of one query."""
    kind, path = known_words
    vectors, lengths = rows_of(kind, 3, seed=4)
    terms = terms_of(QUERIES)
    scores, ids = cc.open_index(path).search(cc.HybridRows(vectors, terms, lengths), 5, weight=0.4)
    wanted = [list(zip(ids[row], scores[row], strict=True)) for row in range(3)]
    with serve({"i": path}, encoder=True) as server, server.client() as client:
        facts = client.index("i")
        common = {"vectors": vectors, "lengths": lengths, "k": 5, "weight": 0.4}
        with ThreadPoolExecutor(8) as pool:
            forms = [
                {"texts": QUERIES},
                {"terms": terms},
                {"terms": [terms.mapping(row) for row in range(3)]},
            ]
            answers = list(pool.map(lambda i: client.ask("i", **common, **forms[i % 3]), range(24)))
        first = (
            {"vectors": vectors[:1]} if lengths is None else {"vectors": vectors[:1], "lengths": lengths[:1]}
        )
        one = client.ask("i", text=QUERIES[0], k=5, weight=0.4, **first)["results"]
        for rows in (cc.HybridRows(vectors, terms, lengths), cc.HybridRows(vectors, QUERIES, lengths)):
            found = client.search("i", rows, 5, weight=0.4)
            assert np.array_equal(found[0], scores) and np.array_equal(found[1], ids)
    assert facts["several_vectors"] == (kind == "late")
    assert all([hits_of(result) for result in answer["results"]] == wanted for answer in answers)
    assert [hits_of(result) for result in one] == wanted[:1]


def test_a_document_is_shown_and_explained_in_both_forms(serve, known_words):
    """And what is shown of it finds it, which is how the page looks for documents like it."""
    kind, path = known_words
    index = cc.open_index(path)
    with serve({"i": path}, encoder=True) as server, server.client() as client, server.http() as http:
        facts = client.index("i")
        found = client.get("i", ["d7", "d3"], ["vector"])
        first = np.float32(found[0]["vectors"])
        lengths = None if kind == "dense" else [len(first)]
        like = client.ask(
            "i", vectors=first, lengths=lengths, terms=[found[0]["terms"]], k=2, include=["vector"]
        )
        body = {"id": "d7", "tokens_b64": packed(first) | {"lengths": [len(first)]}}
        explained = http.post("/v1/indexes/i/explain", json=body)
    assert [one["terms"] for one in found] == index.terms(["d7", "d3"])
    assert facts["takes_texts"] is False and facts["several_vectors"] == (kind == "late")
    hit = like["results"][0]["hits"][0]
    assert (hit["id"], hit["vectors"], hit["terms"]) == ("d7", found[0]["vectors"], found[0]["terms"])
    if kind == "dense":
        assert explained.status_code == 400
    else:
        assert np.allclose(explained.json()["products"], first @ first.T, atol=1e-4)


def test_what_does_not_belong_together_is_refused(serve, known_words, flat):
    kind, path = known_words
    vectors, lengths = rows_of(kind, 2, seed=4)
    side = {"vectors_b64": packed(vectors)}
    if kind == "late":
        side = {"tokens_b64": packed(vectors) | {"lengths": lengths.tolist()}}
    with serve({"i": path, "flat": flat}, encoder=True) as server, server.http() as http:

        def refused(name, **body):
            content, kind = json.dumps(body), {"Content-Type": "application/json"}
            answer = http.post(f"/v1/indexes/{name}/search", content=content, headers=kind)
            return answer.status_code, answer.json()["detail"]

        for body, status, message in (
            (side, 400, "beside the vectors"),
            ({"terms": [{"a": 1.0}]}, 400, "send vectors beside the terms"),
            ({"text": "a"}, 400, "send vectors beside them"),
            (side | {"text": "a"}, 400, "2 rows of vectors, but 1"),
            (side | {"text": "a", "texts": ["a", "b"]}, 422, "beside vectors this index takes one of"),
            (side | {"vectors": [[1.0]], "text": "a"}, 422, "are given"),
            ({}, 422, "none is given"),
            (side | {"texts": ["a", " "]}, 400, "a text is empty"),
            (side | {"terms": [{"a": 1.0}, {"a": "x"}]}, 422, "terms"),
            (side | {"terms": [{"a": 1.0}, {"": 1.0}]}, 422, "terms"),
            (side | {"terms": [{"a": 1.0}, {"a": -1.0}]}, 400, "weight"),
            (side | {"terms": [{"a": 1.0}, {"\ud800": 1.0}]}, (400, 422), ""),
        ):
            found = refused("i", **body)
            assert found[0] in np.atleast_1d(status), (body, found)
            assert re.search(message, found[1]), (message, found)
        one = {"vectors": [[0.5] * 24]}
        assert refused("flat", terms=[{"a": 1.0}])[0] == 400
        assert refused("flat", text="a", **one)[0] == 422


def test_terms_that_came_ready(serve, ready_terms):
    """Nothing says how a text becomes terms; without encoders, terms still do."""
    vectors = rows_of("dense", 2, seed=4)[0]
    rows = cc.HybridRows(vectors, [{"a": 2.0}, {"b3": 1.0, "unknown": 4.0}])
    scores, ids = cc.open_index(ready_terms).search(rows, 4)
    for encoder in (True, False):
        with serve({"i": ready_terms}, encoder=encoder) as server, server.client() as client:
            found = client.search("i", rows, 4)
            with pytest.raises(RequestRefusedError, match="send terms"):
                client.ask("i", vectors=vectors[:1], text="a")
        assert np.array_equal(found[0], scores) and np.array_equal(found[1], ids)


def test_an_index_of_terms_alone(serve, tmp_path):
    rows = [{"a": 1.0 + i, f"b{i % 7}": 0.5} for i in range(N)]
    index = cc.index_factory("Sparse", 1).train(rows).add(rows, NAMES)
    index.save(tmp_path / "i")
    asked = [{"a": 2.0}, {"b3": 1.0, "unknown": 4.0}]
    scores, ids = index.search(asked, 4)
    with serve({"i": tmp_path / "i"}) as server, server.client() as client:
        found = client.search("i", TermRows.from_mappings(asked), 4)
        answer = client.ask("i", terms=asked, k=4)
    assert np.array_equal(found[0], scores) and np.array_equal(found[1], ids)
    assert [[hit["id"] for hit in result["hits"]] for result in answer["results"]] == ids.tolist()


def test_documents_are_put_in_both_forms(serve, known_words, tmp_path):
    """As `upsert` has them: words of texts are those of documents."""
    kind, folder = known_words
    shutil.copytree(folder, tmp_path / "i")
    vectors, lengths = rows_of(kind, 4, seed=9)
    texts, names, token = [f"word{i} new" for i in range(4)], ["d0", "n1", "n2", "n3"], "a" * 20
    as_texts, as_terms = (cc.HybridRows(vectors, words, lengths) for words in (texts, terms_of(texts)))
    wanted = cc.open_index(folder)
    wanted.upsert(as_texts, names)
    scores, ids = wanted.search(as_texts[1:2], 6)
    settings = {"encoder": True, "admin_token": token}
    with serve({"i": tmp_path / "i"}, **settings) as server, server.client(token=token) as client:
        assert client.put("i", names[:2], as_texts[:2])["replaced"] == 1
        assert client.put("i", names[2:], as_terms[2:])["documents"] == 2
        found = client.search("i", as_texts[1:2], 6)
        with pytest.raises(RequestRefusedError, match="beside the vectors"):
            client.put("i", ["n4"], vectors[:1], lengths=None if lengths is None else [1])
        with pytest.raises(RequestRefusedError, match="one of texts, terms, vectors"):
            client.put("i", ["n4"])
    assert np.array_equal(found[1], ids) and np.array_equal(found[0], scores)
