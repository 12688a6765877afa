"""The tree of lists over HTTP."""

from __future__ import annotations

import shutil

import cluscomp as cc
from cluscomp.eval.report.list_tree import list_tree


def test_the_tree_is_that_of_the_index(both, folder, late):
    for name, path in (("small", folder), ("late", late)):
        answer = both.get(f"/v1/indexes/{name}/tree").json()
        wanted = list_tree(cc.open_index(path))
        assert [one["number"] for one in answer["lists"]] == wanted.numbers.tolist()
        assert [one["rows"] for one in answer["lists"]] == wanted.rows.tolist()
        assert [one["titles"] for one in answer["lists"]] == wanted.medoids  # no titles are stored: ids
        assert (
            answer["merges"] == wanted.merges.tolist() and len(answer["merges"]) == len(answer["lists"]) - 1
        )


def test_faults(serve, flat, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "owned")
    index = cc.open_index(tmp_path / "owned")
    index.declare_attributes({"who": cc.Field("text", tenant=True)})
    index.set_attributes(index.ids, {"who": ["a", "b"] * (len(index) // 2)})
    index.save(tmp_path / "owned")
    with serve({"flat": flat, "owned": tmp_path / "owned"}) as server, server.http() as http:
        assert http.get("/v1/indexes/flat/tree").status_code == 400
        assert http.get("/v1/indexes/none/tree").status_code == 404
        assert http.get("/v1/indexes/owned/tree").status_code == 400
        mine = http.get("/v1/indexes/owned/tree", params={"tenant": "a"}).json()
        assert sum(one["rows"] for one in mine["lists"]) == len(index) // 2
        assert all(int(one) % 2 == 0 for part in mine["lists"] for one in part["titles"])
        nobody = http.get("/v1/indexes/owned/tree", params={"tenant": "c"}).json()
        assert nobody["lists"] == nobody["merges"] == []
