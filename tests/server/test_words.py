"""An index of words is served by texts: one by one, several in a request, and requests joined to one search."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import cluscomp as cc

TEXTS = [f"word{i % 17} word{i % 5} only{i}" for i in range(300)]


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "words.index"
    cc.index_factory("Sparse(bm25)", 1).train(TEXTS).add(TEXTS, [f"d{i}" for i in range(300)]).save(path)
    return path


def test_clustered_postings(serve, tmp_path):
    """They take settings of their own, and say that hits may be missing."""
    index = cc.index_factory("Seismic(bm25)", 1).train(TEXTS).add(TEXTS, [f"d{i}" for i in range(300)])
    index.save(tmp_path / "i")
    with serve({"words": tmp_path / "i"}, encoder=True) as server, server.client() as client:
        found = client.ask("words", text="word3 only7", k=3, query_cut=1, heap_factor=0.5)["results"][0]
        refused = server.http().post("/v1/indexes/words/search", json={"text": "word3", "nprobe": 1})
    expected = index.search(["word3 only7"], 3, query_cut=1, heap_factor=0.5)[1][0]
    assert [hit["id"] for hit in found["hits"]] == [name for name in expected if name] == ["d7"]
    assert found["complete"] is False
    assert refused.status_code == 400 and "nprobe" in refused.text


def test_texts_find_what_a_search_finds(serve, words):
    queries = ["word3 word4", "only7", "nothing here"]
    scores, ids = cc.open_index(words).search(queries, 5)
    with serve({"words": words}, encoder=True) as server, server.client() as client:
        together = client.ask("words", texts=queries, k=5)["results"]
        with ThreadPoolExecutor(8) as pool:
            asked = list(pool.map(lambda i: client.ask("words", text=queries[i % 3], k=5), range(24)))
        refused = server.http().post("/v1/indexes/words/search", json={"vectors": [[1.0]], "k": 1})
        got = client.get("words", ["d7"], ["vector"])[0]
    for row, result in enumerate(together):
        hits = [(hit["id"], np.float32(hit["score"])) for hit in result["hits"]]
        assert hits == [
            (name, score) for name, score in zip(ids[row], scores[row], strict=True) if score > -np.inf
        ]
        assert all(one["results"][0] == result for one in asked[row::3])
    assert refused.status_code == 400 and "weighted terms" in refused.text
    assert got["terms"] == cc.open_index(words).terms(["d7"])[0] and got["vectors"] is None


class Letters:
    """Letters counted."""

    def __init__(self):
        from cluscomp.encoders.base import EncoderInfo

        self.info = EncoderInfo("letters", "dense", 26, False, "", "", None, "1" * 32)

    def encode_documents(self, texts, progress=None):
        return np.array([[1 + text.count(chr(97 + i)) for i in range(26)] for text in texts], np.float32)

    encode_queries = encode_documents


def test_a_hybrid_index_answers_texts(serve, tmp_path, monkeypatch):
    """By vectors and words together, joined requests included; vectors alone are refused."""
    import cluscomp.encoders
    from cluscomp.encoders.hybrid import HybridEncoder

    real = cluscomp.encoders.load_encoder
    monkeypatch.setattr(
        cluscomp.encoders, "load_encoder", lambda name, kind="dense", **_: Letters() if kind == "dense" else real(name, kind)
    )  # fmt: skip
    both = HybridEncoder(Letters())
    rows = both.encode_documents(TEXTS)
    index = cc.index_factory("IVF4,Flat+Sparse(bm25)", 26).train(rows)
    index.encoder = both.info
    index.add(rows, [f"d{i}" for i in range(300)], attributes={"n": list(range(300))}).save(tmp_path / "i")
    queries = ["word3 word4", "only7", "nothing here"]
    scores, ids = index.search(both.encode_queries(queries), 5, weight=0.3)
    with serve({"both": tmp_path / "i"}, encoder=True) as server, server.client() as client:
        with ThreadPoolExecutor(8) as pool:
            asked = list(
                pool.map(lambda i: client.ask("both", text=queries[i % 3], k=5, weight=0.3), range(24))
            )
        narrow = client.ask("both", text="only7", k=5, filter="n > 200")["results"][0]
        refused = server.http().post("/v1/indexes/both/search", json={"vectors": [[1.0] * 26], "k": 1})
    for number, answer in enumerate(asked):
        hits = [(hit["id"], np.float32(hit["score"])) for hit in answer["results"][0]["hits"]]
        assert hits == list(zip(ids[number % 3], scores[number % 3], strict=True))
    assert all(int(hit["id"][1:]) > 200 for hit in narrow["hits"]) and narrow["found"] == 5
    assert refused.status_code == 400 and "vectors and terms" in refused.text
