"""The map of lists and the products behind a hit, against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.server.client import packed
from cluscomp.server.cluster_map import plane


def test_the_plane_is_that_of_the_largest_variance(rng):
    points = rng.standard_normal((40, 5)) * [5, 3, 1, 0.5, 0.1]
    weights = rng.integers(1, 9, 40)
    places, share = plane(points, weights.astype(float))
    repeated = np.repeat(points, weights, axis=0)
    centered = repeated - repeated.mean(axis=0)
    _, singular, axes = np.linalg.svd(centered, full_matrices=False)
    expected = (points - repeated.mean(axis=0)) @ axes[:2].T
    scale = np.abs(expected).max()
    assert np.allclose(np.abs(places), np.abs(expected / scale), atol=1e-6)
    assert share == pytest.approx((singular[:2] ** 2).sum() / (singular**2).sum())
    assert plane(points[:1], np.ones(1))[0].tolist() == [[0.0, 0.0]]


def test_the_map_has_every_list_and_its_rows(both, folder, late):
    answer = both.get("/v1/indexes/small/map").json()
    index = cc.open_index(folder)
    lists = np.argmax(index.pipeline.partition.centroids @ np.zeros(24))
    assert sum(one["rows"] for one in answer["lists"]) == 3000 and len(answer["lists"]) == 16
    assert max(abs(one[axis]) for one in answer["lists"] for axis in "xy") == 1.0 and lists == 0
    for name, total in (("small", 3000), ("late", 200)):
        found = [
            {one["id"] for one in both.get(f"/v1/indexes/{name}/map/{number}").json()["documents"]}
            for number in range(len(both.get(f"/v1/indexes/{name}/map").json()["lists"]))
        ]
        assert all(len(ids) <= 100 for ids in found) and len(set.union(*found)) <= total
    sizes = [one["rows"] for one in both.get("/v1/indexes/late/map").json()["lists"]]
    assert all(len(ids) <= size for ids, size in zip(found, sizes, strict=True))
    assert set.union(*found) == {f"d{number}" for number in range(200)}
    assert both.get("/v1/indexes/small/map/16").status_code == 404
    assert both.get("/v1/indexes/small/map/-1").status_code == 422
    assert both.get("/v1/indexes/small/map/x").status_code == 422


def test_indexes_without_lists_have_no_map(serve, flat):
    with serve({"flat": flat}) as server, server.http() as http:
        assert http.get("/v1/indexes/flat/map").status_code == 400
        assert http.get("/v1/indexes/flat/map/0").status_code == 400


def test_products_are_those_of_the_stored_vectors_and_sum_to_the_score(both, late, queries):
    query = queries[:5] / np.linalg.norm(queries[:5], axis=1, keepdims=True)
    body = {"id": "d17", "tokens_b64": packed(query) | {"lengths": [5]}}
    answer = both.post("/v1/indexes/late/explain", json=body).json()
    stored, _ = cc.open_index(late).vectors(["d17"])
    assert np.allclose(answer["products"], query @ stored.T, atol=1e-5)
    assert answer["best"] == (query @ stored.T).argmax(axis=1).tolist()
    assert answer["score"] == pytest.approx((query @ stored.T).max(axis=1).sum(), abs=1e-4)
    assert answer["query"] == list("01234") and len(answer["vectors"]) == len(stored)
    for change, status in (({"id": "d999"}, 404), ({"text": "a"}, 422), ({"tokens_b64": None}, 422)):
        assert both.post("/v1/indexes/late/explain", json=body | change).status_code == status
    assert both.post("/v1/indexes/small/explain", json=body | {"id": "1"}).status_code == 400


def test_tokens_stand_behind_the_stored_vectors_nearest_to_them(late):
    """An encoder of three words, each a unit vector of its own."""
    from cluscomp.server.heat import encoded_sides, explained
    from cluscomp.server.served import open_served

    index = cc.index_factory("Pool8,Flat", dim=3)
    index.train(np.eye(3, dtype=np.float32), lengths=[3])
    index.add(np.eye(3, dtype=np.float32), ["doc"], lengths=[3])

    class Words:
        def _rows(self, texts):
            rows = np.array(
                [np.eye(3)["abc".index(word)] for text in texts for word in text.split()], np.float32
            )
            return rows, np.array([len(text.split()) for text in texts])

        encode_queries = encode_documents = _rows

        def tokens(self, text, side):
            return text.split()

    served = open_served("late", late)
    served.index = index
    answer = explained(served, "doc", encoded_sides(Words(), "c a", "a b c b"), {})
    by_vector = {
        tuple(np.round(row, 3)): words
        for row, words in zip(index.vectors(["doc"])[0].tolist(), answer["vectors"], strict=True)
    }
    assert by_vector == {(1, 0, 0): ["a"], (0, 1, 0): ["b", "b"], (0, 0, 1): ["c"]}
    assert answer["query"] == ["c", "a"] and answer["score"] == 2.0
