"""Texts: encoded on a thread of their own, shown as they are stored."""

from __future__ import annotations

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from server_waits import wait_until

import cluscomp as cc
from cluscomp.errors import UsageError

DIM = 16
TEXTS = {
    "cat": ("Cats", "a cat sleeps on the warm stove"),
    "dog": ("Dogs", "a dog runs after the red ball"),
    "bad": ("<script>alert(1)</script>", "<img src=x onerror=alert(2)> & \u2028 fish \U0001f41f"),
}


class HashEncoder:
    """A text becomes the sum of pseudo-random unit vectors of its words."""

    def __init__(self):
        from cluscomp.encoders.base import EncoderInfo

        self.info = EncoderInfo(
            name="hash", kind="dense", dim=DIM, normalize=True, query_prompt="", document_prompt="",
            max_seq_length=None, fingerprint="0" * 32,
        )  # fmt: skip

    def encode_documents(self, texts, progress=None):
        return np.array([self._row(text) for text in texts], dtype=np.float32).reshape(-1, DIM)

    encode_queries = encode_documents

    def _row(self, text):
        row = np.zeros(DIM)
        for word in text.lower().split():
            seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "little")
            row += np.random.default_rng(seed).standard_normal(DIM)
        return row / np.linalg.norm(row)


@pytest.fixture
def texts(monkeypatch, tmp_path):
    """Folder of an index that stores TEXTS; its encoder is a HashEncoder."""
    import cluscomp.encoders

    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cluscomp.encoders, "load_encoder", lambda *_, **__: HashEncoder())
    corpus = tmp_path / "corpus.jsonl"
    lines = [json.dumps({"_id": name, "title": title, "text": text}) for name, (title, text) in TEXTS.items()]
    corpus.write_text("\n".join(lines) + "\n")
    cc.build_index(
        corpus, index_key="Flat", output=tmp_path / "texts.index", encoder=HashEncoder(), store_texts=True
    )
    return tmp_path / "texts.index"


def test_texts_are_encoded_and_stored_ones_shown(serve, texts):
    scores, ids = cc.open_index(texts).search(HashEncoder().encode_queries(["warm cat", "red ball"]), 3)
    with serve({"texts": texts}, encoder=True) as server, server.client() as client:
        answer = client.ask("texts", texts=["warm cat", "red ball"], k=3, include=["text"])
        plain = client.ask("texts", text="warm cat", k=3)
    for row, result in enumerate(answer["results"]):
        assert [hit["id"] for hit in result["hits"]] == ids[row].tolist()
        assert [np.float32(hit["score"]) for hit in result["hits"]] == scores[row].tolist()
        assert all((hit["title"], hit["text"]) == TEXTS[hit["id"]] for hit in result["hits"])
    assert "text" not in plain["results"][0]["hits"][0]
    assert plain["results"][0]["hits"] == [
        {"id": hit["id"], "score": hit["score"]} for hit in answer["results"][0]["hits"]
    ]


class ApartEncoder(HashEncoder):
    """Encodes some texts at a time; which is kept in `groups`. "bad" texts fail, "slow" ones wait."""

    def __init__(self, groups, release):
        super().__init__()
        self.groups, self.release = groups, release

    def encode_queries_apart(self, texts):
        self.groups.append(list(texts))
        if "bad" in texts:
            raise ValueError("bad")
        return self.encode_documents(texts)

    def encode_queries(self, texts, progress=None):
        self.groups.append(list(texts))
        if texts == ["slow"]:
            assert self.release.wait(20)
        if "bad" in texts:
            raise UsageError("bad text")
        return self.encode_documents(texts)


def test_texts_that_wait_are_encoded_some_at_a_time(serve, texts, monkeypatch):
    """Those of one encoder with one text each; what fails fails alone."""
    import cluscomp.encoders

    groups, release = [], threading.Event()
    monkeypatch.setattr(cluscomp.encoders, "load_encoder", lambda *_, **__: ApartEncoder(groups, release))
    with (
        serve({"texts": texts}, encoder=True) as server,
        server.http() as http,
        ThreadPoolExecutor(9) as pool,
    ):

        def ask(body):
            return http.post("/v1/indexes/texts/search", json=body)

        def waiting():
            return len(server.core.encoders._texts)

        asked = [pool.submit(ask, {"text": "slow"})]
        wait_until(lambda: groups == [["slow"]])
        for number, text in enumerate(("cat", "bad", "dog", "red ball", "fish"), start=1):
            asked.append(pool.submit(ask, {"text": text}))
            wait_until(lambda number=number: waiting() == number)
        asked.append(pool.submit(ask, {"texts": ["cat", "dog"]}))
        wait_until(lambda: server.core.encoders._thread._work_queue.qsize() == 6)
        release.set()
        answers = [one.result() for one in asked]
        alone = ask({"text": "red ball"})
    first = ["cat", "bad", "dog", "red ball"]
    assert groups == [["slow"], first, *([one] for one in first), ["fish"], ["cat", "dog"], ["red ball"]]
    assert [one.status_code for one in answers] == [200, 200, 400, 200, 200, 200, 200]
    assert answers[4].json()["results"] == alone.json()["results"]
    assert [len(one.json()["results"]) for one in answers[3:]] == [1, 1, 1, 2]


def test_documents_by_id(serve, texts, both):
    with serve({"texts": texts}) as server, server.client() as client:
        found = client.get("texts", ["dog", "cat", "dog"], ["text", "vector"])
        assert [one["id"] for one in found] == ["dog", "cat", "dog"] and found[0] == found[2]
        assert found[1]["title"] == "Cats"
        assert (
            np.array(found[0]["vectors"], np.float32).tobytes()
            == cc.open_index(texts).vectors(["dog"]).tobytes()
        )
    for ids in (["7", "3000"], ["seven"], ["7", "9" * 4000], ["-1"]):
        answer = both.post("/v1/indexes/small/documents:get", json={"ids": ids})
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown-id"), answer.text
    answer = both.post("/v1/indexes/small/documents:get", json={"ids": ["007", "3"]})
    assert [one["id"] for one in answer.json()["documents"]] == ["007", "3"]
    answer = both.post("/v1/indexes/small/documents:get", json={"ids": ["007", "7"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "duplicate-id")
    several = both.post("/v1/indexes/late/documents:get", json={"ids": ["d3", "d1"], "include": ["vector"]})
    vectors = [np.array(one["vectors"], np.float32) for one in several.json()["documents"]]
    assert [rows.shape[1] for rows in vectors] == [24, 24]


def test_a_server_without_encoders_takes_no_texts(serve, texts):
    with serve({"texts": texts}, encoder=False) as server, server.http() as http:
        answer = http.post("/v1/indexes/texts/search", json={"text": "cat"})
    assert answer.status_code == 400 and "without encoders" in answer.json()["detail"]
