"""`cluscomp add`, `delete` and `get`: rows of an index by id."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

import cluscomp as cc


def state(folder):
    return (folder / "manifest.json").read_bytes()


@pytest.fixture
def numbered(invoke, vectors, tmp_path):
    """Index of 300 rows with the ids 0, 1, ..."""
    folder = tmp_path / "numbered.index"
    assert (
        invoke("build-index", "--embeddings", vectors, "--index-key", "SQ8", "--output", folder).exit_code
        == 0
    )
    return folder


# ---- add ----


def test_add_vectors(invoke, index, tmp_path):
    more = np.random.default_rng(1).standard_normal((5, 16)).astype(np.float32)
    np.save(tmp_path / "more.npy", more)
    (tmp_path / "more.txt").write_text("a\nb\nc\nd\ne\n")
    flags = ("--embeddings", tmp_path / "more.npy", "--ids", tmp_path / "more.txt")
    result = invoke("add", index, *flags, "--json")
    assert json.loads(result.stdout) == {
        "index": str(index), "written": True, "added": 5, "rows": 305, "segments": 2, "generation": 2,
    }  # fmt: skip
    opened = cc.open_index(index, verify=True)
    np.testing.assert_array_equal(opened.vectors(["c"])[0], more[2])
    before = state(index)
    result = invoke("add", index, *flags)
    assert result.exit_code == 4 and "id 'a' is in the index already" in result.stderr
    assert state(index) == before
    assert (
        invoke("add", index, "--embeddings", tmp_path / "more.npy").exit_code == 4
    )  # texts cannot be numbered


def test_add_numbers_rows_and_reads_integers(invoke, numbered, tmp_path):
    np.save(tmp_path / "more.npy", np.ones((2, 16), np.float32))
    (tmp_path / "more.txt").write_text("1000\n-7\n")
    assert invoke("add", numbered, "--embeddings", tmp_path / "more.npy").exit_code == 0
    result = invoke("add", numbered, "--embeddings", tmp_path / "more.npy", "--ids", tmp_path / "more.txt")
    assert result.exit_code == 0 and "2 added, 304 rows" in result.stderr
    assert cc.open_index(numbered).ids[-4:].tolist() == [300, 301, 1000, -7]
    (tmp_path / "more.txt").write_text("1001\nsix\n")
    result = invoke("add", numbered, "--embeddings", tmp_path / "more.npy", "--ids", tmp_path / "more.txt")
    assert result.exit_code == 4 and "id 'six' is no integer" in result.stderr


def test_add_texts(invoke, hash_encoder, text_index, tmp_path):
    (tmp_path / "more.jsonl").write_text(
        '{"_id": "ant", "title": "Ants", "text": "ants carry green leaves"}\n'
    )
    assert invoke("add", text_index, "--corpus", tmp_path / "more.jsonl", "--encoder", "hash").exit_code == 0
    found = invoke("search", text_index, "--query", "green leaves", "-k", "1", "--json").stdout
    assert json.loads(found)["hits"][0]["id"] == "ant"
    result = invoke("add", text_index, "--corpus", tmp_path / "more.jsonl", "--encoder", "other")
    assert result.exit_code == 5 and "encoder" in result.stderr


def test_the_encoder_of_vectors_is_compared(invoke, hash_encoder, text_index, tmp_path):
    np.save(tmp_path / "more.npy", hash_encoder().encode_documents(["ants"]))
    (tmp_path / "more.txt").write_text("ant\n")
    flags = ("--embeddings", tmp_path / "more.npy", "--ids", tmp_path / "more.txt")
    assert invoke("add", text_index, *flags, "--encoder", "other").exit_code == 5
    assert invoke("add", text_index, *flags, "--encoder", "hash").exit_code == 0


def test_add_to_an_index_of_vectors_needs_vectors(invoke, index, beir):
    result = invoke("add", index, "--corpus", beir)
    assert (
        result.exit_code == 2 and "knows no encoder" in result.stderr and "--embeddings FILE" in result.stderr
    )


def test_add_documents_of_several_vectors(invoke, tmp_path):
    x = np.random.default_rng(0).standard_normal((20, 3, 16)).astype(np.float32)
    cc.index_factory("Pool2,SQ8", 16).train(x).add(x).save(tmp_path / "late.index")
    np.save(tmp_path / "tokens.npy", x[:2].reshape(-1, 16))
    np.save(tmp_path / "lengths.npy", [2, 4])
    flags = ("--embeddings", tmp_path / "tokens.npy", "--lengths", tmp_path / "lengths.npy")
    assert invoke("add", tmp_path / "late.index", *flags).exit_code == 0
    assert cc.open_index(tmp_path / "late.index").ids[-2:].tolist() == [20, 21]
    (record,) = json.loads(invoke("get", tmp_path / "late.index", "--id", "21").stdout)
    assert record["id"] == 21 and np.array(record["vectors"]).shape == (2, 16)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "neither is given"),
        (("--corpus", "c", "--embeddings", "e"), "both are given"),
        (("--corpus", "c", "--ids", "i"), "--ids and --lengths belong to --embeddings"),
        (("--embeddings", "e", "--lengths", "l"), "--lengths belong to token vectors"),
    ],
)
def test_flags_of_add(invoke, index, flags, message):
    result = invoke("add", index, *flags)
    assert result.exit_code == 2 and message in result.stderr


# ---- upsert ----


def test_upsert(invoke, index, tmp_path):
    more = np.random.default_rng(1).standard_normal((3, 16)).astype(np.float32)
    np.save(tmp_path / "more.npy", more)
    (tmp_path / "more.txt").write_text("row7\nnew\nrow8\n")
    flags = ("--embeddings", tmp_path / "more.npy", "--ids", tmp_path / "more.txt")
    facts = json.loads(invoke("upsert", index, *flags, "--json").stdout)
    assert facts == {
        "index": str(index), "written": True, "added": 1, "replaced": 2, "rows": 301, "generation": 2,
    }  # fmt: skip
    np.testing.assert_array_equal(cc.open_index(index, verify=True).vectors(["row8", "row7"]), more[[2, 0]])
    assert "0 added, 3 replaced, 301 rows" in invoke("upsert", index, *flags).stderr
    result = invoke("upsert", index, "--embeddings", tmp_path / "more.npy")
    assert result.exit_code == 2 and "pass --ids" in result.stderr


def test_upsert_of_texts(invoke, hash_encoder, beir, text_index, tmp_path):
    bare = tmp_path / "bare.index"
    invoke("build-index", "--corpus", beir, "--encoder", "hash", "--index-key", "Flat", "--output", bare)
    (tmp_path / "more.jsonl").write_text('{"_id": "dog", "title": "", "text": "ants carry green leaves"}\n')
    assert invoke("upsert", bare, "--corpus", tmp_path / "more.jsonl").exit_code == 0
    hits = json.loads(invoke("search", bare, "--query", "green leaves", "-k", "4", "--json").stdout)["hits"]
    assert hits[0]["id"] == "dog" and [hit["id"] for hit in hits].count("dog") == 1
    assert cc.open_index(bare).get("dog")[0].text is None
    assert invoke("upsert", text_index, "--corpus", tmp_path / "more.jsonl").exit_code == 0
    (record,) = json.loads(invoke("get", text_index, "--id", "dog").stdout)
    assert (record["title"], record["text"]) == ("", "ants carry green leaves")
    result = invoke("upsert", text_index, "--corpus", beir)
    assert result.exit_code == 0 and "0 added, 4 replaced" in result.stderr
    assert "ants" not in cc.open_index(text_index).get("dog")[0].text


# ---- delete ----


def test_delete(invoke, index, tmp_path):
    (tmp_path / "gone.txt").write_text("row1\nrow2\nnobody\n")
    before = state(index)
    result = invoke("delete", index, "--ids", tmp_path / "gone.txt")
    assert result.exit_code == 4 and "id 'nobody' is not in the index" in result.stderr
    assert "--missing ignore" in result.stderr and "nothing was deleted" in result.stderr
    ignoring = ("delete", index, "--ids", tmp_path / "gone.txt", "--missing", "ignore")
    facts = {"index": str(index), "deleted": 2, "missing": 1, "rows": 298}
    assert json.loads(invoke(*ignoring, "--dry-run", "--json").stdout) == facts | {"written": False}
    assert state(index) == before
    assert json.loads(invoke(*ignoring, "--json").stdout) == facts | {"written": True}
    assert len(cc.open_index(index, verify=True)) == 298
    before = state(index)
    assert "0 of 3 ids deleted" in invoke(*ignoring).stderr
    assert state(index) == before
    assert invoke("delete", index, "--id", "row5", "--id", "row6", "-q").exit_code == 0
    assert len(cc.open_index(index)) == 296
    assert invoke("delete", index, "--id", "row7", "--id", "row7").exit_code == 4


def test_delete_integers(invoke, numbered, tmp_path):
    np.save(tmp_path / "gone.npy", [3, 4])
    assert invoke("delete", numbered, "--ids", tmp_path / "gone.npy").exit_code == 0
    assert invoke("delete", numbered, "--id", "5").exit_code == 0
    assert cc.open_index(numbered).ids[:4].tolist() == [0, 1, 2, 6]
    assert invoke("delete", numbered, "--id", "five").exit_code == 4


def test_flags_of_delete(invoke, index, tmp_path):
    assert "neither is given" in invoke("delete", index).stderr
    result = invoke("delete", index, "--id", "row1", "--ids", tmp_path / "x.ids.txt")
    assert result.exit_code == 2 and "both are given" in result.stderr
    assert invoke("delete", tmp_path / "nothing", "--id", "row1").exit_code == 5


def test_one_writer_at_a_time(invoke, index):
    other = cc.open_index(index)
    with other.writer():
        result = invoke("delete", index, "--id", "row1", "--wait", "100ms")
        assert result.exit_code == 5 and "delete" not in result.stdout and str(os.getpid()) in result.stderr
        assert invoke("delete", index, "--id", "row1", "--dry-run").exit_code == 0
        other.delete(["row9"])
    assert invoke("delete", index, "--id", "row1").exit_code == 0
    left = cc.open_index(index).ids.tolist()
    assert "row1" not in left and "row9" not in left
    assert invoke("delete", index, "--id", "row2", "--wait", "soon").exit_code == 2


def test_dry_runs_write_nothing(invoke, index, tmp_path):
    np.save(tmp_path / "more.npy", np.ones((2, 16), dtype=np.float32))
    (tmp_path / "more.txt").write_text("row7\nnew\n")
    flags = ("--embeddings", tmp_path / "more.npy", "--ids", tmp_path / "more.txt", "--dry-run")
    before = state(index)
    assert "1 would be added, 1 would be replaced" in invoke("upsert", index, *flags).stderr
    assert invoke("add", index, *flags).exit_code == 4
    assert state(index) == before


def test_compact_gc_removes_files_of_older_generations(invoke, index):
    assert invoke("delete", index, "--id", "row1").exit_code == 0
    assert list(index.glob("manifest.*.json"))
    assert invoke("compact", index, "--gc").exit_code == 0
    assert not list(index.glob("manifest.*.json"))
    assert invoke("verify", index).exit_code == 0


# ---- get ----


def test_get(invoke, text_index, hash_encoder):
    records = json.loads(invoke("get", text_index, "--id", "fish", "--id", "cat").stdout)
    assert [record["id"] for record in records] == ["fish", "cat"]
    assert records[0]["text"] == "fish swim in cold deep water" and records[1]["title"] == "Cats"
    wanted = hash_encoder().encode_documents(["fish swim in cold deep water"])[0]
    np.testing.assert_allclose(records[0]["vector"], wanted, rtol=1e-6)
    result = invoke("get", text_index, "--id", "nobody")
    assert (
        result.exit_code == 4 and result.stdout == "" and "id 'nobody' is not in the index" in result.stderr
    )
    result = invoke("get", text_index, "--id", "nobody", "--id", "cat", "--missing", "ignore")
    assert result.exit_code == 0 and [record["id"] for record in json.loads(result.stdout)] == ["cat"]


def test_get_of_codes_without_a_way_back(invoke, tmp_path):
    x = np.random.default_rng(0).standard_normal((300, 16)).astype(np.float32)
    cc.index_factory("MRL8,SQ8", 16).train(x).add(x).save(tmp_path / "short.index")
    assert json.loads(invoke("get", tmp_path / "short.index", "--id", "4").stdout) == [
        {"id": 4, "vector": None}
    ]
    assert invoke("get", tmp_path / "short.index", "--id", "400").exit_code == 4
