"""Attributes and filters on the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest

import cluscomp as cc


@pytest.fixture
def described(invoke, vectors, tmp_path):
    """Index of 300 rows with the ids 0, 1, ..., a year, a tag and an owner."""
    lines = [
        {"id": i, "year": 2000 + i % 10, "tag": ["x"] if i % 3 else [], "owner": f"t{i % 2}"}
        for i in range(300)
    ]
    (tmp_path / "facts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    folder = tmp_path / "described.index"
    flags = ("--embeddings", vectors, "--index-key", "IVF4,SQ8", "--attributes", tmp_path / "facts.jsonl")
    result = invoke("build-index", *flags, "--output", folder)
    assert result.exit_code == 0, result.stderr
    return folder


def run_of(result):
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_build_search_and_inspect(invoke, described, vectors):
    flags = ("--query-embeddings", vectors, "-k", "5", "--json")
    run = run_of(invoke("search", described, *flags, "--filter", "year == 2003 and not tag contains 'x'"))
    assert len(run) == 300
    found = {int(name) for hits in run.values() for name in hits}
    assert found and all(i % 10 == 3 and i % 3 == 0 for i in found)
    assert all(len(hits) == 5 for hits in run.values())
    condition = json.dumps({"op": "==", "field": "year", "value": 2003})
    assert all(
        int(i) % 10 == 3
        for hits in run_of(invoke("search", described, *flags, "--filter", condition)).values()
        for i in hits
    )
    shown = invoke("inspect", described)
    assert "year (int64), tag (texts), owner (text)" in shown.stdout and "columns for filters" in shown.stdout


@pytest.mark.parametrize(
    ("condition", "words"),
    [("yeer > 1", "did you mean 'year'"), ("year >", "a value is needed"), ("year == 'x'", "needs a number")],
)
def test_wrong_conditions_are_exit_2(invoke, described, vectors, condition, words):
    for command, flags in (("search", ("--query-embeddings", vectors)), ("delete", ())):
        result = invoke(command, described, *flags, "--filter", condition)
        assert result.exit_code == 2 and words in result.stderr


def test_delete_by_filter(invoke, described):
    assert (
        run_of(invoke("delete", described, "--filter", "year < 2005", "--dry-run", "--json"))["deleted"]
        == 150
    )
    assert len(cc.open_index(described)) == 300
    result = invoke("delete", described, "--filter", "year < 2005")
    assert result.exit_code == 0 and "150 rows deleted, 150 rows" in result.stderr
    assert (cc.open_index(described).ids % 10 >= 5).all()
    assert invoke("delete", described, "--filter", "year < 2005", "--id", "7").exit_code == 2


def test_add_and_upsert_with_attributes(invoke, described, tmp_path):
    np.save(tmp_path / "more.npy", np.ones((2, 16), np.float32))
    (tmp_path / "ids.txt").write_text("7\n1000\n")
    (tmp_path / "more.jsonl").write_text(
        '{"id": 1000, "year": 1900, "lang": "en"}\n{"id": 7, "year": 1901}\n'
    )
    flags = (
        "--embeddings",
        tmp_path / "more.npy",
        "--ids",
        tmp_path / "ids.txt",
        "--attributes",
        tmp_path / "more.jsonl",
    )
    result = invoke("upsert", described, *flags)
    assert result.exit_code == 4 and "'lang' is new" in result.stderr
    assert run_of(invoke("upsert", described, *flags, "--attributes-new", "--json"))["replaced"] == 1
    opened = cc.open_index(described)
    assert opened.search(np.ones((1, 16), np.float32), 9, filter="year < 1950")[1].tolist() == [[7, 1000]]
    (tmp_path / "next.jsonl").write_text('{"year": 1}\n{"year": 2}\n')
    added = invoke(
        "add", described, "--embeddings", tmp_path / "more.npy", "--attributes", tmp_path / "next.jsonl"
    )
    assert added.exit_code == 0, added.stderr
    opened = cc.open_index(described)
    assert opened.attributes(["year"]).to_dict()["year"][-2:] == [1, 2]


def test_tenants(invoke, vectors, described, tmp_path):
    flags = ("--embeddings", vectors, "--index-key", "SQ8", "--attributes", tmp_path / "facts.jsonl")
    folder = tmp_path / "shared.index"
    assert (
        invoke(
            "build-index", *flags, "--attribute-kinds", "owner=tenant,year=float64", "--output", folder
        ).exit_code
        == 0
    )
    opened = cc.open_index(folder)
    assert opened.attribute_schema.tenant == "owner" and opened.attribute_schema["year"].kind == "float64"
    search = ("search", folder, "--query-embeddings", vectors, "-k", "3", "--json")
    assert invoke(*search).exit_code == 2
    assert all(int(i) % 2 for hits in run_of(invoke(*search, "--tenant", "t1")).values() for i in hits)
    assert len(run_of(invoke(*search, "--all-tenants"))) == 300
    assert invoke(*search, "--all-tenants", "--tenant", "t1").exit_code == 2
    assert invoke("delete", folder, "--filter", "year > 2000").exit_code == 2
    assert (
        run_of(invoke("delete", folder, "--filter", "year > 2000", "--tenant", "t0", "--json"))["deleted"]
        == 120
    )
    assert invoke("get", folder, "--id", "1").exit_code == 2
    shown = run_of(invoke("get", folder, "--id", "1", "--tenant", "t1"))
    assert shown[0]["id"] == 1 and shown == run_of(invoke("get", folder, "--id", "1", "--all-tenants"))
    for command in ("get", "delete"):
        other = invoke(command, folder, "--id", "1", "--tenant", "t0")
        assert other.exit_code == 4 and "id 1 is not in the index" in other.stderr
        both = invoke(command, folder, "--id", "1", "--tenant", "t1", "--all-tenants")
        assert both.exit_code == 2
    assert invoke("delete", folder, "--id", "1").exit_code == 2
    assert run_of(invoke("delete", folder, "--id", "1", "--tenant", "t1", "--json"))["deleted"] == 1
    wrong = invoke("build-index", *flags, "--attribute-kinds", "owner", "--output", tmp_path / "no")
    assert wrong.exit_code == 2 and "NAME=KIND" in wrong.stderr


def test_metadata_of_a_corpus(invoke, hash_encoder, tmp_path):
    rows = [
        {"_id": f"d{i}", "title": "", "text": f"word{i} leaf", "metadata": {"year": i}} for i in range(40)
    ]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)))
    flags = (
        "--corpus",
        tmp_path / "corpus.jsonl",
        "--encoder",
        "hash",
        "--index-key",
        "Flat",
        "--attributes-from",
        "metadata",
    )
    result = invoke("build-index", *flags, "--output", tmp_path / "i")
    assert result.exit_code == 0, result.stderr
    found = invoke(
        "search",
        tmp_path / "i",
        "--query",
        "leaf",
        "-k",
        "50",
        "--k-beyond",
        "clip",
        "--filter",
        "year >= 37",
        "--json",
    )
    assert {hit["id"] for hit in run_of(found)["hits"]} == {"d37", "d38", "d39"}
    (tmp_path / "more.jsonl").write_text('{"_id": "e", "text": "new leaf", "metadata": {"year": 99}}\n')
    assert (
        invoke(
            "add", tmp_path / "i", "--corpus", tmp_path / "more.jsonl", "--attributes-from", "metadata"
        ).exit_code
        == 0
    )
    assert cc.open_index(tmp_path / "i").attributes().to_dict()["year"][-1] == 99


def test_eval_among_rows_that_pass(invoke, text_index, beir):
    opened = cc.open_index(text_index)
    opened.set_attributes(["cat", "dog", "fish", "bird"], {"legs": [4, 4, 0, 2]})
    opened.save(text_index)
    scored = run_of(
        invoke("eval", text_index, "--dataset", beir, "--filter", "legs == 4", "-k", "2", "--json")
    )
    assert scored["filter"] == "legs == 4"
    assert scored["metrics"]["recall@2"] == 0.5  # the fish of q2 is not among them
    assert (
        run_of(invoke("eval", text_index, "--dataset", beir, "-k", "4", "--json"))["metrics"]["recall@4"] == 1
    )


def test_most_lists_of_a_search_with_a_filter(invoke, described, vectors):
    search = ("search", described, "--query-embeddings", vectors, "-k", "3", "--nprobe", "1", "--json")
    few = run_of(invoke(*search, "--filter", "year == 2003", "--max-nprobe", "1"))
    more = run_of(invoke(*search, "--filter", "year == 2003"))
    assert sum(map(len, few.values())) <= sum(map(len, more.values())) == 900
    alone = invoke(*search, "--max-nprobe", "2")
    assert alone.exit_code == 2 and "--max-nprobe limits the lists" in alone.stderr
    below = invoke(*search, "--filter", "year == 2003", "--max-nprobe", "5")
    assert below.exit_code == 2 and "4 lists" in below.stderr


def test_texts_of_hits_are_those_of_the_tenant(invoke, text_index):
    opened = cc.open_index(text_index)
    opened.declare_attributes({"owner": cc.Field("text", tenant=True)})
    opened.set_attributes(["cat", "dog", "fish", "bird"], {"owner": ["me", "you", "me", "you"]})
    opened.save(text_index)
    search = ("search", text_index, "--query", "cat dog fish bird", "-k", "4", "--json")
    found = run_of(invoke(*search, "--tenant", "me"))["hits"]
    assert {hit["id"] for hit in found} == {"cat", "fish"} and all(hit["text"] for hit in found)
    assert len(run_of(invoke(*search, "--all-tenants"))["hits"]) == 4
    assert invoke(*search).exit_code == 2
