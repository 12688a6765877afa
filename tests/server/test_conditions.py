"""Filters and tenants over HTTP are those of `Index.search`; indexes of terms answer, too."""

from __future__ import annotations

import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import RequestRefusedError
from cluscomp.server.client import packed

TREE = {
    "op": "and",
    "args": [{"op": ">=", "field": "year", "value": 2010}, {"op": "==", "field": "lang", "value": "en"}],
}


@pytest.fixture(scope="module")
def described(rows, tmp_path_factory):
    """3000 rows with attributes, of which some have none."""
    index = cc.index_factory("IVF16,SQ8", dim=rows.shape[1])
    index.train(rows)
    year = [2000 + number % 20 if number % 7 else None for number in range(3000)]
    lang = ["en" if number % 3 else "de" for number in range(3000)]
    index.add(rows, attributes={"year": year, "lang": lang})
    path = tmp_path_factory.mktemp("served") / "described"
    index.save(path)
    return path


@pytest.mark.parametrize("condition", ["year == 2003 and lang == 'de'", TREE, "year is null", "year > 3000"])
def test_conditions(serve, described, queries, condition):
    index = cc.open_index(described)
    scores, ids, info = index.search(queries[:2], 5, filter=condition, return_info=True)
    with serve({"x": described}) as server, server.client() as client:
        answer = client.ask("x", vectors=queries[:2], k=5, filter=condition, include=["attributes"])
        assert set(client.index("x")["columns"].items()) == {("year", "int64"), ("lang", "text")}
    attributes = index.attributes().to_dict()
    for row, result in enumerate(answer["results"]):
        kept = scores[row] > -np.inf
        assert [hit["id"] for hit in result["hits"]] == [str(one) for one in ids[row][kept]]
        assert [hit["score"] for hit in result["hits"]] == scores[row][kept].tolist()
        assert (result["complete"], result["probed"]) == (bool(info.complete[row]), int(info.probed[row]))
        for hit in result["hits"]:
            here = {name: values[int(hit["id"])] for name, values in attributes.items()}
            assert hit["attributes"] == {name: value for name, value in here.items() if value is not None}


def test_requests_with_different_conditions_do_not_mix(serve, described, queries):
    index = cc.open_index(described)
    conditions = [None, "year == 2003", "year == 2004", TREE] * 6
    with (
        serve({"x": described}, batch_wait=0.03) as server,
        server.client() as client,
        ThreadPoolExecutor(24) as pool,
    ):
        found = list(
            pool.map(
                lambda i: client.search(
                    "x", queries[i : i + 1], 4, **({} if conditions[i] is None else {"filter": conditions[i]})
                ),
                range(24),
            )
        )
    for number, (scores, ids) in enumerate(found):
        expected = index.search(queries[number : number + 1], 4, filter=conditions[number])
        assert scores.tobytes() == expected[0].tobytes() and ids.tolist() == expected[1].astype(str).tolist()


def test_wrong_conditions_are_refused(serve, described, folder, queries):
    with serve({"x": described, "small": folder}) as server, server.client() as client:
        for name, condition in (
            ("x", "yaer == 1"),
            ("x", "year =="),
            ("x", {"op": "no"}),
            ("x", '{"op": "=="}'),
            ("small", "year == 1"),
        ):
            with pytest.raises(RequestRefusedError) as caught:
                client.search(name, queries[:1], 3, filter=condition)
            assert caught.value.status == 400, caught.value
        with pytest.raises(RequestRefusedError, match="max_nprobe"):
            client.search("x", queries[:1], 3, max_nprobe=3)


def test_a_tenant_column_needs_a_tenant(serve, rows, queries, tmp_path):
    index = cc.index_factory("Flat", dim=rows.shape[1])
    index.declare_attributes({"who": cc.Field("text", tenant=True)})
    index.add(rows[:20], attributes={"who": ["a", "b"] * 10})
    index.save(tmp_path / "x")
    with serve({"x": tmp_path / "x"}) as server, server.client() as client:
        with pytest.raises(RequestRefusedError, match="tenant") as caught:
            client.search("x", queries[:1], 3)
        assert caught.value.status == 400 and client.index("x")["tenant_column"] == "who"
        found = client.search("x", queries[:1], 20, tenant="b")[1]
        assert sorted(map(int, found[0])) == list(range(1, 20, 2))


@pytest.fixture(scope="module")
def tenants(tmp_path_factory):
    """60 documents of two tenants with lists, texts and several vectors each."""
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((180, 8)).astype(np.float32)
    lengths = np.full(60, 3)
    index = cc.index_factory("Pool2,IVF4,SQ8", dim=8)
    index.train(rows, lengths=lengths)
    index.declare_attributes({"who": cc.Field("text", tenant=True)})
    names = [f"{'ab'[i % 2]}{i}" for i in range(60)]
    documents = [f"text of {name}" for name in names]
    owners = {"who": ["a", "b"] * 30}
    index.add(rows, names, lengths=lengths, attributes=owners, documents=documents)
    path = tmp_path_factory.mktemp("tenants") / "x"
    index.save(path)
    return path, rows, names


def test_no_route_tells_of_another_tenant(serve, tenants):
    path, rows, names = tenants
    query = {"tokens_b64": packed(rows[:3]) | {"lengths": [3]}}
    include = {"include": ["text", "attributes"]}
    with serve({"x": path}) as server, server.http() as http:
        routes = {
            "search": lambda tenant: http.post(
                "/v1/indexes/x/search", json=query | include | {"k": 60} | tenant
            ),
            "get": lambda tenant: http.post(
                "/v1/indexes/x/documents:get", json={"ids": ["a0", "a2"]} | include | tenant
            ),
            "explain": lambda tenant: http.post("/v1/indexes/x/explain", json=query | {"id": "a0"} | tenant),
            "map": lambda tenant: http.get("/v1/indexes/x/map/1", params=tenant),
        }
        for name, ask in routes.items():
            assert ask({}).status_code == 400 and "tenant" in ask({}).json()["detail"], name
            own = ask({"tenant": "a"})
            assert own.status_code == 200 and re.search('"a[0-9]', own.text), name
            other = ask({"tenant": "b"})
            assert not re.search('"b[0-9]', own.text) and not re.search('"a[0-9]', other.text), name
            assert other.status_code == (404 if name in ("get", "explain") else 200), name
        lists = [http.get(f"/v1/indexes/x/map/{n}", params={"tenant": "a"}).json() for n in range(4)]
        assert {one["id"] for found in lists for one in found["documents"]} == set(names[::2])
        shown = http.post(
            "/v1/indexes/x/search",
            json=query | {"tenant": "b", "nprobe": 2, "max_nprobe": 3, "candidates": 5, "k": 3},
        )
        assert shown.status_code == 200 and 2 <= shown.json()["results"][0]["probed"] <= 3


def test_the_client_says_whose_documents_it_wants(serve, tenants, tmp_path):
    shutil.copytree(tenants[0], tmp_path / "x")
    token = "admin-token-0123456789"
    with serve({"x": tmp_path / "x"}, admin_token=token) as server, server.client(token=token) as client:
        assert client.get("x", ["b1"], tenant="b")[0]["text"] == "text of b1"
        for call in (
            lambda: client.get("x", ["b1"], tenant="a"),
            lambda: client.delete("x", ["b1"], tenant="a"),
        ):
            with pytest.raises(RequestRefusedError, match="'b1' is not in the index"):
                call()
        assert client.delete("x", ["b1"], tenant="b")["documents"] == 1
        assert client.delete("x", ["a0", "b3"])["documents"] == 2  # those of all


def test_attributes_by_id(serve, described):
    with serve({"x": described}) as server, server.client() as client:
        only = client.get("x", ["1"], ["attributes"])[0]
        assert only["attributes"] == {"year": 2001, "lang": "en"} and only["text"] is None


def test_attributes_that_are_put(serve, described, rows, tmp_path):
    token = "admin-token-0123456789"
    shutil.copytree(described, tmp_path / "x")
    with serve({"x": tmp_path / "x"}, admin_token=token) as server, server.client(token=token) as client:
        client.put("x", ["1", "9000"], rows[:2], attributes=[{"year": 1999}, {"lang": "fr"}])
        got = client.get("x", ["1", "9000"], ["attributes"])
        assert [one["attributes"] for one in got] == [{"year": 1999}, {"lang": "fr"}]
        assert client.search("x", rows[:1], 9, filter="lang == 'fr'")[1].tolist() == [["9000"]]
        with pytest.raises(RequestRefusedError, match="year") as caught:
            client.put("x", ["1"], rows[:1], attributes=[{"year": "soon"}])
        assert caught.value.status == 400


def test_deletions_by_condition(serve, described, tmp_path):
    shutil.copytree(described, tmp_path / "x")
    gone = "year == 2003 and lang == 'de'"
    n = cc.open_index(described).search(np.zeros(24), 3000, filter=gone)[1].shape[1]
    token = "admin-token-0123456789"
    with serve({"x": tmp_path / "x"}, admin_token=token) as server, server.client(token=token) as client:
        assert client.delete("x", filter=gone)["documents"] == n > 0
        assert client.delete("x", filter=TREE)["documents"] > 0
        assert client.delete("x", filter=gone)["documents"] == 0
        rows = client.index("x")["rows"]
        for fault in (
            {}, {"ids": ["1"], "filter": gone}, {"filter": "yaer == 1"}, {"filter": ""}, {"filter": gone, "tenant": "a"},
        ):  # fmt: skip
            with pytest.raises(RequestRefusedError) as caught:
                client.delete("x", **fault)
            assert caught.value.status in (400, 422), fault
        assert client.index("x")["rows"] == rows == len(cc.open_index(tmp_path / "x"))
