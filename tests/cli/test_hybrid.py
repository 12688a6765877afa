"""Hybrid indexes on the command line: every command that works on an index."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

KEY = "Flat+Sparse(bm25,bits=8)"


@pytest.fixture
def encoders(hash_encoder, monkeypatch):
    """Encoders by kind: hashed words as vectors, and words."""
    import cluscomp.encoders
    from cluscomp.encoders.words import WordEncoder

    monkeypatch.setattr(
        cluscomp.encoders, "load_encoder",
        lambda name, kind="dense", **_: WordEncoder(name) if kind == "words" else hash_encoder(name),
    )  # fmt: skip


@pytest.fixture
def both(invoke, beir, encoders, tmp_path):
    target = tmp_path / "both.index"
    result = invoke(
        "build-index", "--corpus", beir, "--encoder", "hash", "--index-key", "Flat", "--hybrid",
        "--store-texts", "-o", target,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    return target


def test_search(invoke, both, beir, tmp_path):
    shown = invoke("search", both, "--query", "warm stove cat", "-k", "2").stdout
    assert shown.splitlines()[0].split("\t")[1:4] == ["1.000000", "cat", "Cats"]  # best by either side
    run = tmp_path / "r.trec"
    command = ["search", both, "--queries", beir, "-k", "3", "-o", run, "--fuse-weight", ".9"]
    assert invoke(*command, "--fuse-method", "rrf").exit_code == 0
    assert run.read_text().splitlines()[0].split()[2] == "cat"


def test_eval_shows_each_side(invoke, both, beir, tmp_path):
    command = ["eval", both, "--dataset", beir, "--fuse-depth", "3"]
    result = invoke(*command, "--output", tmp_path / "b.trec", "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    fused = facts["fused"]
    assert facts["key"] == KEY and set(fused["metrics"]) == {"dense", "lexical", "both"}
    assert fused["metrics"]["both"] == facts["metrics"]
    costs = {name: one["code_bytes_per_document"] for name, one in fused["costs"].items()}
    assert costs["both"] == pytest.approx(costs["dense"] + costs["lexical"]) and costs["dense"] == 64
    shown = invoke(*command, "--baseline", tmp_path / "b.trec").stdout
    assert "vectors" in shown and "words" in shown and "0 / 2 / 0" in shown
    again = json.loads(
        invoke("eval", both, "--dataset", beir, "--fuse", tmp_path / "b.trec", "--json").stdout
    )
    assert set(again["fused"]["metrics"]) == {"index", "other", "both"}


def test_indexes_beside_each_other(invoke, both, beir, tmp_path):
    words, dense = tmp_path / "words.index", tmp_path / "dense.index"
    invoke("convert", both, "--index-key", "Sparse(bm25,bits=8)", "-o", words)
    invoke("convert", both, "--index-key", "Flat", "-o", dense)
    command = ["eval", both, "--beside", words, "--beside", dense, "--dataset", beir, "-k", "3"]
    facts = json.loads(invoke(*command, "--json").stdout)
    rows = {Path(row["index"]).name: row for row in facts["indexes"]}
    assert [row["key"] for row in rows.values()] == [KEY, "Sparse(bm25,bits=8)", "Flat"]
    sides = facts["fused"]["metrics"]
    for name, side in (("both", "both"), ("words", "lexical"), ("dense", "dense")):
        row = rows[f"{name}.index"]
        assert (
            row["metrics"] == sides[side] and row["bytes_per_document"] > row["code_bytes_per_document"] > 0
        )
    shown = invoke(*command).stdout
    assert "words.index" in shown and "dense.index" in shown and "latency p50" in shown
    refused = invoke(*command, "--query-embeddings", tmp_path / "q.npy")
    assert refused.exit_code == 2 and "--beside names others" in " ".join(refused.output.split())


def test_life(invoke, both, beir, tmp_path):
    more = tmp_path / "more.jsonl"
    more.write_text('{"_id": "new", "title": "", "text": "a parrot talks"}\n')
    steps = [
        ["add", both, "--corpus", more],
        ["upsert", both, "--corpus", more],
        ["delete", both, "--id", "cat"],
        ["compact", both, "--segments", "1", "--dead", "0"],
        ["verify", both],
        ["health", both, "--probe"],
    ]
    for step in steps:
        result = invoke(*step)
        assert result.exit_code == 0, result.output
    shown = invoke("search", both, "--query", "parrots talking", "-k", "1", "--fuse-weight", "0").stdout
    assert shown.split("\t")[2] == "new"  # stems of words, and one commit for both sides
    assert json.loads(invoke("get", both, "--id", "new").stdout)
    facts = json.loads(invoke("inspect", both, "--json").stdout)
    assert sum(facts["bytes"].values()) == facts["folder_bytes"] and facts["n_segments"] == 1
    assert "words(stem=porter)" in invoke("inspect", both).stdout


def test_plan_and_keys(invoke, beir, encoders):
    command = ["build-index", "--corpus", beir, "--encoder", "hash", "--key", "Flat", "--hybrid", "--dry-run"]
    facts = json.loads(invoke(*command, "--json").stdout)
    assert facts["key"] == KEY and "words" in [stage["name"] for stage in facts["stages"]]
    shown = invoke("keys", "OPQ4,PQ4+Sparse(bm25)", "--dim", "16")
    assert shown.exit_code == 0 and "without ids and terms" in shown.stdout


def test_convert(invoke, both, tmp_path):
    for key in ("SQ8", "Sparse(bm25,bits=8)", f"SQ8+{KEY.partition('+')[2]}"):
        result = invoke("convert", both, "--index-key", key, "-o", tmp_path / key)
        assert result.exit_code == 0, result.output
        shown = invoke("search", tmp_path / key, "--query", "warm stove cat", "-k", "1")
        assert shown.stdout.split()[2] == "cat"  # encoder and texts are those of the side
    refused = invoke("convert", both, "--index-key", "SQ8+Sparse(bm25)", "-o", tmp_path / "c")
    assert refused.exit_code == 2 and "build the index again" in " ".join(refused.output.split())
    assert invoke("convert", both, "--to", "npy", "-o", tmp_path / "c.npy").exit_code == 0
    assert invoke("convert", both, "--format", "3", "-o", tmp_path / "f").exit_code == 0


@pytest.mark.parametrize("tool", ["faiss", "lance", "cuvs"])
def test_other_tools_have_no_such_index(invoke, both, tmp_path, tool):
    if tool == "faiss":
        pytest.importorskip("faiss")
    result = invoke("convert", both, "--to", tool, "-o", tmp_path / "c.faiss")
    assert result.exit_code == 2 and "has no index like this one" in " ".join(result.output.split())


def test_merge_filters_and_tenants(invoke, encoders, beir, tmp_path):
    lines = [json.loads(line) for line in (beir / "corpus.jsonl").read_text().splitlines()]
    for number, line in enumerate(lines):
        line["metadata"] = {"owner": ("ann", "bob")[number % 2], "year": 2000 + number}
    (beir / "corpus.jsonl").write_text("\n".join(map(json.dumps, lines)))
    one, two = tmp_path / "one", tmp_path / "two"
    result = invoke(
        "build-index", "--corpus", beir, "--encoder", "hash", "--key", "Flat", "--hybrid", "--attributes-from",
        "metadata", "--attribute-kinds", "owner=tenant", "-o", one,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    command = ["search", one, "--query", "warm stove cat", "-k", "4"]
    refused = invoke(*command)
    assert refused.exit_code == 2 and "--tenant" in refused.output
    own = invoke(*command, "--tenant", "ann", "--k-beyond", "clip").stdout.splitlines()
    assert [line.split()[2] for line in own] == ["cat", "fish"]
    late = invoke(*command, "--all-tenants", "--filter", "year >= 2001").stdout.splitlines()
    assert {line.split()[2] for line in late} == {"dog", "fish", "bird"}
    assert invoke("get", one, "--id", "cat", "--tenant", "ann").exit_code == 0
    assert invoke("get", one, "--id", "cat", "--tenant", "bob").exit_code != 0
    assert invoke("convert", one, "--format", "3", "-o", two).exit_code == 0
    assert invoke("delete", two, "--id", "cat", "--id", "dog", "--all-tenants").exit_code == 0
    assert invoke("delete", one, "--id", "fish", "--id", "bird", "--all-tenants").exit_code == 0
    merged = invoke("merge", one, two, "-o", tmp_path / "m")
    assert merged.exit_code == 0, merged.output
    assert invoke("verify", tmp_path / "m").exit_code == 0
    found = invoke("search", tmp_path / "m", *command[2:], "--all-tenants").stdout.splitlines()
    assert len(found) == 4


def test_wrong_flags(invoke, beir, both, text_index, tmp_path):
    out = ["-o", tmp_path / "no"]
    for command, message in (
        (["build-index", "--corpus", beir, "--encoder", "hash", "--key", "Flat", "--word-encoder", "words", *out],
         "--word-encoder belongs to keys of two parts"),
        (["build-index", "--corpus", beir, "--key", "Flat", "--hybrid", *out], "--encoder"),
        (["search", text_index, "--query", "cat", "--fuse-weight", ".4"], "is no hybrid key"),
        (["search", both, "--query", "cat", "--softmax", ".1"], "keys begin with Pool"),
    ):  # fmt: skip
        result = invoke(*command)
        assert result.exit_code == 2 and message in " ".join(result.output.split()), (command, result.output)


def test_clustered_postings_as_the_second_side(invoke, beir, encoders, tmp_path):
    target = tmp_path / "s.index"
    key = "Flat+Seismic(bm25,bits=8)"
    built = invoke("build-index", "--corpus", beir, "--encoder", "hash", "--index-key", key, "-o", target)
    assert built.exit_code == 0, built.output
    shown = invoke("search", target, "--query", "warm stove cat", "-k", "2", "--query-cut", "0").stdout
    assert shown.split()[2] == "cat"
    assert invoke("eval", target, "--dataset", beir, "-k", "3", "--heap-factor", ".5").exit_code == 0
    assert "largest weights in each block" in invoke("inspect", target).stdout
    assert invoke("keys", key, "--dim", "64").exit_code == 0
