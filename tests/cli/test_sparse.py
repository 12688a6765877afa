"""Indexes of terms on the command line: every command that works on an index."""

from __future__ import annotations

import json

import numpy as np
import pytest

ROWS = [
    {"id": "a", "vector": {"cat": 1.5, "stove": 0.5}},
    {"id": "b", "vector": {"dog": 2, "cat": 0.25}},
    {"id": "c", "vector": {"fish": 1}},
]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def words_index(invoke, beir, tmp_path):
    target = tmp_path / "words.index"
    result = invoke(
        "build-index", "--corpus", beir, "--index-key", "Sparse(bm25)", "--store-texts", "-o", target
    )
    assert result.exit_code == 0, result.output
    return target


@pytest.fixture
def terms_index(invoke, tmp_path):
    target = tmp_path / "terms.index"
    result = invoke("build-index", "--embeddings", jsonl(tmp_path / "x.jsonl", ROWS), "--index-key", "Sparse(bits=16)",
                    "--output", target)  # fmt: skip
    assert result.exit_code == 0, result.output
    return target


class TestWords:
    def test_search(self, invoke, words_index, beir, tmp_path):
        shown = invoke("search", words_index, "--query", "a warm STOVE", "-k", "2").stdout.splitlines()
        assert len(shown) == 1 and shown[0].split("\t")[2:4] == [
            "cat",
            "Cats",
        ]  # other rows hold no such word
        run = invoke("search", words_index, "--queries", beir, "-k", "4").stdout.splitlines()
        assert run[0].split()[2] == "cat"

    def test_eval(self, invoke, words_index, beir, tmp_path):
        result = invoke("eval", words_index, "--dataset", beir, "--output", tmp_path / "w.trec", "--json")
        facts = json.loads(result.stdout)
        assert facts["metrics"]["ndcg@10"] == 1.0 and facts["n_queries"] == 2
        fused = invoke("eval", words_index, "--dataset", beir, "--fuse", tmp_path / "w.trec")
        assert fused.exit_code == 0 and "both" in fused.stdout

    def test_inspect(self, invoke, words_index):
        facts = json.loads(invoke("inspect", words_index, "--json").stdout)
        assert facts["bytes"]["codes"] and facts["terms"]["postings"] == 24
        assert sum(facts["bytes"].values()) == facts["folder_bytes"]
        shown = invoke("inspect", words_index, "--verify").stdout
        assert "bytes / posting" in shown and r"\w\w+ of lower case NFKC" in shown

    def test_add_delete_get_compact(self, invoke, words_index, tmp_path):
        new = jsonl(tmp_path / "new.jsonl", [{"_id": "cow", "text": "a cow eats warm grass"}])
        assert invoke("add", words_index, "--corpus", new).exit_code == 0
        hits = [
            line.split("\t")[2]
            for line in invoke("search", words_index, "--query", "warm").stdout.splitlines()
        ]
        assert sorted(hits) == ["cat", "cow"]
        found = json.loads(invoke("get", words_index, "--id", "cow").stdout)
        assert set(found[0]["terms"]) == {"cow", "eats", "warm", "grass"}
        assert invoke("delete", words_index, "--id", "cat").exit_code == 0
        assert invoke("compact", words_index, "--segments", "1").exit_code == 0
        hits = [
            line.split("\t")[2]
            for line in invoke("search", words_index, "--query", "warm").stdout.splitlines()
        ]
        assert hits == ["cow"]
        assert invoke("verify", words_index).exit_code == 0

    def test_dry_run(self, invoke, beir):
        plan = json.loads(
            invoke(
                "build-index", "--corpus", beir, "--index-key", "Sparse(bm25)", "--dry-run", "--json"
            ).stdout
        )
        assert plan["key"] == "Sparse(bm25)" and plan["feasible"] and plan["n"] == 4


class TestTerms:
    def test_search_and_changes(self, invoke, terms_index, tmp_path):
        queries = jsonl(tmp_path / "q.jsonl", [{"id": "q", "vector": {"cat": 2}}])
        search = ["search", terms_index, "--query-embeddings", queries, "-k", "3"]
        assert [line.split()[2:5] for line in invoke(*search).stdout.splitlines()] == [
            ["a", "1", "3.0"], ["b", "2", "0.5"],
        ]  # fmt: skip
        more = jsonl(tmp_path / "more.jsonl", [{"id": "c", "vector": {"cat": 4, "new": 1}}])
        assert invoke("upsert", terms_index, "--embeddings", more).exit_code == 0
        assert invoke(*search).stdout.split()[2] == "c"

    @pytest.mark.parametrize("flag", [("--nprobe", "3"), ("--refine-factor", "2")])
    def test_flags_of_vectors(self, invoke, terms_index, tmp_path, flag):
        queries = jsonl(tmp_path / "q.jsonl", ROWS[:1])
        result = invoke("search", terms_index, "--query-embeddings", queries, *flag)
        assert result.exit_code == 2 and f"{flag[0]}: for keys of vectors" in result.output

    def test_texts_cannot_be_encoded(self, invoke, terms_index):
        result = invoke("search", terms_index, "--query", "cat")
        assert result.exit_code == 2 and "knows no encoder" in result.output


class TestSeismic:
    @pytest.fixture
    def index(self, invoke, beir, tmp_path):
        target = tmp_path / "blocks.index"
        result = invoke(
            "build-index",
            "--corpus",
            beir,
            "--index-key",
            "Seismic(bm25,bits=8)",
            "--store-texts",
            "-o",
            target,
        )
        assert result.exit_code == 0, result.output
        return target

    def test_search_and_eval(self, invoke, index, beir):
        for flags in ([], ["--query-cut", "0", "--heap-factor", "0.5"]):
            shown = invoke("search", index, "--query", "a warm STOVE", "-k", "2", *flags).stdout.splitlines()
            assert len(shown) == 1 and shown[0].split("\t")[2:4] == ["cat", "Cats"]
            facts = json.loads(invoke("eval", index, "--dataset", beir, "--json", *flags).stdout)
            assert facts["metrics"]["ndcg@10"] == 1.0

    def test_inspect_and_changes(self, invoke, index, tmp_path):
        facts = json.loads(invoke("inspect", index, "--json").stdout)
        assert facts["terms"]["postings"] == 24 and facts["bytes"]["blocks"] and facts["bytes"]["summaries"]
        assert facts["search_defaults"] == {"query_cut": 10, "heap_factor": 0.9}
        shown = invoke("inspect", index, "--verify").stdout
        assert "bytes / posting" in shown and "largest weights in each block" in shown
        new = jsonl(tmp_path / "new.jsonl", [{"_id": "cow", "text": "a cow eats warm grass"}])
        assert invoke("add", index, "--corpus", new).exit_code == 0
        assert invoke("delete", index, "--id", "cat").exit_code == 0
        assert invoke("compact", index, "--segments", "1").exit_code == 0
        assert invoke("search", index, "--query", "warm").stdout.split("\t")[2] == "cow"
        assert invoke("verify", index).exit_code == 0

    def test_flags_of_other_indexes(self, invoke, index, words_index):
        result = invoke("search", words_index, "--query", "warm", "--query-cut", "3")
        assert (
            result.exit_code == 2
            and "whose keys begin with Seismic; this one is 'Sparse(bm25)'" in result.output
        )
        assert invoke("search", index, "--query", "warm", "--heap-factor", "-1").exit_code == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--corpus", "{beir}", "--index-key", "Sparse"], "--corpus needs --encoder"),
        (["--corpus", "{beir}", "--index-key", "Flat", "--encoder", "words", "--encoder-kind", "words"], "words of a text"),
        (["--corpus", "{beir}", "--index-key", "Sparse(bm25)", "--encoder", "x", "--encoder-kind", "dense"], "leave --encoder out"),
        (["--embeddings", "{x}", "--ids", "{x}", "--index-key", "Sparse"], "stand in their .jsonl file"),
        (["--corpus", "{beir}", "--index-key", "IVF4,Sparse(bm25)"], "stands alone"),
    ],
)  # fmt: skip
def test_wrong_flags(invoke, beir, tmp_path, flags, message):
    x = jsonl(tmp_path / "x.jsonl", ROWS)
    flags = [flag.format(beir=beir, x=x) for flag in flags]
    result = invoke("build-index", *flags, "--output", tmp_path / "no")
    assert result.exit_code == 2 and message in result.output


def test_a_matrix_of_scipy(invoke, tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    sparse.save_npz(tmp_path / "x.npz", sparse.csr_array(np.diag([1.0, 2.0, 3.0])))
    (tmp_path / "ids.txt").write_text("a\nb\nc")
    target = tmp_path / "i"
    command = ["--embeddings", tmp_path / "x.npz", "--ids", tmp_path / "ids.txt"]
    built = invoke("build-index", *command, "--index-key", "Sparse", "-o", target)
    assert built.exit_code == 0, built.output
    shown = invoke("search", target, "--query-embeddings", tmp_path / "x.npz", "-k", "1", "-o", "-").stdout
    assert [line.split()[2] for line in shown.splitlines()] == ["a", "b", "c"]
    (tmp_path / "ids.txt").write_text("a\nd\ne")
    assert invoke("upsert", target, *command).exit_code == 0
    again = invoke("search", target, "--query-embeddings", tmp_path / "x.npz", "--query-ids", tmp_path / "ids.txt",
                   "-k", "1", "-o", "-").stdout  # fmt: skip
    assert [line.split()[0] for line in again.splitlines()] == ["a", "d", "e"]
