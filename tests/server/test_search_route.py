"""Searches over HTTP give what `Index.search` gives, bit for bit, whatever else is searched at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from server_waits import wait_until

import cluscomp as cc
from cluscomp.errors import RequestRefusedError


def as_text(ids):
    return np.vectorize(str, otypes=[object])(ids)


def same(found, scores, ids):
    assert found[0].tobytes() == scores.tobytes()
    assert (found[1] == as_text(ids)).all()


@pytest.mark.parametrize("k", [1, 7])
def test_every_form_of_vectors_gives_the_same_hits(serve, folder, queries, k):
    scores, ids = cc.open_index(folder).search(queries[:3], k)
    with serve({"small": folder}) as server, server.http() as http, server.client() as client:
        same(client.search("small", queries[:3], k), scores, ids)
        body = {"vectors": queries[:3].tolist(), "k": k}
        answer = http.post("/v1/indexes/small/search", json=body).json()
        assert [[hit["score"] for hit in one["hits"]] for one in answer["results"]] == scores.tolist()
        assert [[hit["id"] for hit in one["hits"]] for one in answer["results"]] == as_text(ids).tolist()
        halves = client.search("small", queries[:3].astype(np.float16), k)
        same(halves, *cc.open_index(folder).search(queries[:3].astype(np.float16).astype(np.float32), k))


def test_concurrent_searches_are_bits_of_direct_ones_and_share_calls(serve, folder, flat, late, queries):
    """Options, k and indexes differ; the server is held back until all wait, so that batches are large."""
    jobs = []
    for number in range(240):
        name = ("small", "flat", "late")[number % 3]
        options = {"nprobe": 1 + number % 2} if name == "small" else {}
        jobs.append((name, number, 1 + number % 5, options))
    indexes = {
        name: cc.open_index(path) for name, path in (("small", folder), ("flat", flat), ("late", late))
    }
    with serve({"small": folder, "flat": flat, "late": late}, queue=500) as server:
        held, release = threading.Event(), threading.Event()
        search = server.core.searcher

        def asked(job):
            name, number, k, options = job
            belonging = {"lengths": [4]} if name == "late" else {}
            sent = queries[number : number + 4] if name == "late" else queries[number : number + 1]
            answer = client.ask(name, vectors=sent, k=k, **belonging, **options)
            return answer["batch"], [(hit["id"], hit["score"]) for hit in answer["results"][0]["hits"]]

        original = search._answer

        def holding(batch):
            held.set()
            release.wait(20)
            original(batch)

        search._answer = holding
        with server.client() as client, ThreadPoolExecutor(240) as pool:
            waiting = [pool.submit(asked, job) for job in jobs]
            assert held.wait(20)
            wait_until(lambda: search.depth >= 200)
            release.set()
            found = [one.result() for one in waiting]
    assert max(batch for batch, _ in found) > 10
    for (name, number, k, options), (_, hits) in zip(jobs, found, strict=True):
        belonging = {"lengths": [4]} if name == "late" else {}
        sent = queries[number : number + 4] if name == "late" else queries[number : number + 1]
        scores, ids = indexes[name].search(sent, k, **belonging, **options)
        assert hits == [(str(one), score) for one, score in zip(ids[0], scores[0].tolist(), strict=True)]


def test_a_fault_of_one_request_is_not_that_of_others(serve, flat, queries):
    """Requests share searches; one of them holds infinity."""
    wrong = queries[:1].copy()
    wrong[0, 3] = np.inf
    running = serve({"flat": flat}, batch_wait=0.05)
    with running as server, server.client() as client, ThreadPoolExecutor(12) as pool:
        good = [pool.submit(client.search, "flat", queries[i : i + 1], 3) for i in range(10)]
        bad = pool.submit(client.search, "flat", wrong, 3)
        for number, one in enumerate(good):
            same(one.result(), *cc.open_index(flat).search(queries[number : number + 1], 3))
        with pytest.raises(RequestRefusedError, match="infinity") as caught:
            bad.result()
    assert (caught.value.status, caught.value.code) == (400, "input")


def test_hits_show_what_is_asked_for(serve, folder, late, queries):
    """Vectors of hits are those that their codes stand for; of a document with several, all of them."""
    small, whole = cc.open_index(folder), cc.open_index(late)
    with serve({"small": folder, "late": late}) as server, server.client() as client:
        hits = client.ask("small", vectors=queries[:1], k=3, include=["vector"])["results"][0]["hits"]
        several = client.ask("late", vectors=queries[:4], lengths=[4], k=2, include=["vector", "text"])
        plain = client.ask("small", vectors=queries[:1], k=3)["results"][0]["hits"]
    for hit in hits:
        assert np.array_equal(np.float32(hit["vectors"]), small.vectors([int(hit["id"])]))
    for hit in several["results"][0]["hits"]:
        assert np.array_equal(np.float32(hit["vectors"]), whole.vectors([hit["id"]])[0])
        assert hit.keys() == {"id", "score", "vectors"}
    assert plain == [{"id": hit["id"], "score": hit["score"]} for hit in hits]


def test_k_above_the_rows_gives_all_of_them(serve, late, queries):
    with serve({"late": late}) as server, server.client() as client:
        scores, ids = client.search("late", queries[:5], 1000, lengths=[2, 3])
        assert scores.shape == (2, 200) and None not in ids


def test_few_probes_say_how_many_were_found(serve, folder, queries):
    with serve({"small": folder}) as server, server.client() as client:
        answer = client.ask("small", vectors=queries[0], k=1000, nprobe=1)
        only = answer["results"][0]
        assert (only["complete"], only["probed"]) == (False, 1)
        assert only["found"] == len(only["hits"]) < 1000
        assert client.ask("small", vectors=queries[0], nprobe=16)["results"][0]["complete"]


@pytest.mark.parametrize(
    ("name", "body", "status", "words"),
    [
        ("small", {}, 422, "none is given"),
        ("small", {"vectors": [[1.0]], "text": "a"}, 422, "text and vectors are given"),
        ("small", {"vectors": [[1.0]]}, 400, "dim 24"),
        ("small", {"vectors": [[1.0], [1.0, 2.0]]}, 400, "1 to 2 numbers"),
        ("small", {"vectors": [["1"]]}, 422, "vectors.0.0"),
        ("small", {"vectors": [[True]]}, 422, "vectors.0.0"),
        ("small", {"vectors": []}, 422, "vectors"),
        ("small", {"text": "cats"}, 400, "without encoders"),
        ("small", {"text": " "}, 400, "empty"),
        ("small", {"vectors": [[0.0] * 24], "k": 0}, 422, "k"),
        ("small", {"vectors": [[0.0] * 24], "k": 1001}, 422, "--max-k"),
        ("small", {"vectors": [[0.0] * 24], "k": 10**30}, 422, "k"),
        ("small", {"vectors": [[0.0] * 24], "nprobe": 17}, 400, "nprobe=17"),
        ("small", {"vectors": [[0.0] * 24], "candidates": 5}, 400, "candidates"),
        ("small", {"vectors": [[0.0] * 24], "kk": 5}, 422, "kk"),
        ("small", {"vectors": [[0.0] * 24] * 257}, 422, "--max-queries"),
        ("small", {"vectors_b64": {"dtype": "float32", "shape": [1, 24], "data": "!"}}, 400, "base64"),
        ("small", {"vectors_b64": {"dtype": "float32", "shape": [1, 24], "data": "AAAA"}}, 400, "96"),
        ("small", {"vectors_b64": {"dtype": "float32", "shape": [2**30, 2**30], "data": ""}}, 400, "takes"),
        ("small", {"vectors_b64": {"dtype": "object", "shape": [1], "data": ""}}, 422, "dtype"),
        ("small", {"tokens_b64": {"dtype": "float32", "shape": [0, 24], "data": "", "lengths": [1]}}, 400, "one vector"),
        ("late", {"vectors": [[0.0] * 24]}, 400, "tokens_b64"),
        ("late", {"tokens_b64": {"dtype": "float32", "shape": [0, 24], "data": "", "lengths": [1]}}, 400, "add up to 1"),
        ("other", {"vectors": [[1.0]]}, 404, "no index"),
    ],
)  # fmt: skip
def test_wrong_bodies_are_problems(both, name, body, status, words):
    answer = both.post(f"/v1/indexes/{name}/search", json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status and words in problem["detail"], problem


@pytest.mark.parametrize(
    "body",
    [
        b"", b"x", b"[]", b"null", b"{", b'{"k":' + b"9" * 1_000_000 + b"}", b'{"vectors":' + b"[" * 100_000,
        b'{"vectors":[[NaN]]}', b'{"vectors":[[' + b"1e999," * 23 + b"1e999]]}", b"\xff\xfe{}", b'{"text":"\\ud800"}',
        b'{"vectors":[[' + b"1," * 23 + b"1]],\"k\":1e400}", b'{"texts":["a"],"include":["text","text","x"]}',
        b'{"vectors":[[' + b"9" * 1_000_000 + b"]]}", b'{"text":"a","filter":{"op":' + b"9" * 1_000_000 + b"}}",
        b'{"text":"a","filter":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, b'{"vectors":[[-Infinity]]}',
        b'{' + b",".join(b'"%d":1' % number for number in range(300_000)) + b"}",
        b'{"vectors":[' + b",".join([b'["a"]'] * 300_000) + b"]}",
    ],
)  # fmt: skip
def test_json_that_is_none_or_too_much_is_refused(both, body):
    headers = {"content-type": "application/json"}
    answer = both.post("/v1/indexes/small/search", content=body, headers=headers)
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert both.get("/health").text == "ok"


def test_a_body_must_say_that_it_is_json(both):
    body = b'{"vectors": [[' + b"0.5," * 23 + b"0.5]]}"
    for kind, status in (
        ("application/json", 200), ("Application/JSON; charset=utf-8", 200), ("application/x+json", 200),
        ("text/plain", 422), ("application/x-www-form-urlencoded", 422), ("", 422),
    ):  # fmt: skip
        answer = both.post("/v1/indexes/small/search", content=body, headers={"content-type": kind})
        assert answer.status_code == status, kind
    assert "Content-Type: application/json" in answer.json()["detail"]


def test_reranks_that_error_bars_end(serve, rows, queries, tmp_path):
    index = cc.index_factory("RR,IVF16,RaBitQ2,RFlat", rows.shape[1]).train(rows).add(rows)
    index.save(tmp_path / "bars")
    cc.index_factory("SQ8,RFlat", rows.shape[1]).train(rows).add(rows).save(tmp_path / "none")
    with serve({"bars": tmp_path / "bars", "none": tmp_path / "none"}) as server, server.client() as client:
        for rule in ("bound", "bound(3)", "certain", 7):
            found = client.search("bars", queries[:3], 5, refine_factor=rule)
            same(found, *index.search(queries[:3], 5, refine_factor=rule))
        wrong = [("bars", "some", 400), ("bars", "bound(0)", 400), ("none", "bound", 400), ("bars", 2.5, 422)]
        for name, rule, status in wrong:
            with pytest.raises(RequestRefusedError, match="refine_factor") as refused:
                client.search(name, queries[:1], 5, refine_factor=rule)
            assert refused.value.status == status
