"""search: hits on stdout, runs in files."""

from __future__ import annotations

import json
import os
import stat
import threading

import numpy as np
import pytest


def test_hits_with_titles(invoke, text_index):
    result = invoke("search", text_index, "--query", "cat on a warm stove")
    assert result.exit_code == 0, result.output
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert len(lines) == 4  # the default of 10 is more than there are
    assert [line[0] for line in lines] == ["1", "2", "3", "4"]
    assert lines[0][2:] == ["cat", "Cats", "a cat sleeps on the warm stove all day"]
    scores = [float(line[1]) for line in lines]
    assert scores == sorted(scores, reverse=True)


def test_json_and_k(invoke, text_index):
    found = json.loads(invoke("search", text_index, "--query", "birds sing", "-k", "2", "--json").stdout)
    assert found["query"] == "birds sing"
    assert [hit["rank"] for hit in found["hits"]] == [1, 2]
    assert found["hits"][0]["id"] == "bird" and found["hits"][0]["title"] == "Birds"


def test_long_texts_are_cut_at_a_word(text_index):
    from cluscomp.cli.search import SNIPPET, snippet

    assert snippet("one\ttwo\n three") == "one two three"
    cut = snippet("word " * 200)
    assert cut.endswith("word ...") and len(cut) <= SNIPPET + 4


def test_without_stored_texts(invoke, hash_encoder, beir, tmp_path):
    invoke(
        "build-index",
        "--corpus",
        beir,
        "--encoder",
        "hash",
        "--index-key",
        "Flat",
        "--output",
        tmp_path / "i",
    )
    line = invoke("search", tmp_path / "i", "--query", "cat", "-k", "1").stdout
    assert line.strip().split("\t")[2:] == ["cat"]


def test_run_of_a_query_file(invoke, text_index, beir, tmp_path):
    result = invoke("search", text_index, "--queries", beir, "--output", tmp_path / "r.trec")
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    rows = [line.split() for line in (tmp_path / "r.trec").read_text().splitlines()]
    assert len(rows) == 3 * 4
    assert rows[0][:4] == ["q1", "Q0", "cat", "1"]


def test_run_to_stdout_is_the_run_in_the_file(invoke, text_index, beir, tmp_path):
    printed = invoke("search", text_index, "--queries", beir, "-q").stdout
    invoke("search", text_index, "--queries", beir, "--output", tmp_path / "r.trec")
    assert printed == (tmp_path / "r.trec").read_text()


def test_vectors_as_queries(invoke, vectors, index, tmp_path):
    (tmp_path / "q.ids.txt").write_text("".join(f"query{i}\n" for i in range(300)))
    result = invoke("search", index, "--query-embeddings", vectors, "--query-ids", tmp_path / "q.ids.txt", "-k", "5",
                    "--output", tmp_path / "r.trec")  # fmt: skip
    assert result.exit_code == 0, result.output
    from cluscomp.eval import read_run

    run = read_run(tmp_path / "r.trec")
    rows = np.load(vectors).astype(np.float64)
    for i in (0, 17, 299):
        best = np.argsort(-(rows @ rows[i]))[:5]
        assert list(run[f"query{i}"]) == [f"row{j}" for j in best]


def test_missing_hits_are_said(invoke, vectors, tmp_path):
    invoke("build-index", "--embeddings", vectors, "--index-key", "IVF32,Flat", "--output", tmp_path / "i")
    result = invoke("search", tmp_path / "i", "--query-embeddings", vectors, "-k", "100", "--nprobe", "1", "-q",
                    "--output", tmp_path / "r.trec")  # fmt: skip
    assert result.exit_code == 0
    assert "warning: " in result.stderr and "nprobe" in result.stderr
    assert " -1 " not in (tmp_path / "r.trec").read_text()


@pytest.mark.parametrize("name", ["q.tsv", "q.jsonl", "q.txt"])
def test_query_files(invoke, text_index, tmp_path, name):
    content = {"q.tsv": "7\tcat\n", "q.jsonl": '{"_id": "7", "text": "cat"}\n', "q.txt": "cat\n"}[name]
    (tmp_path / name).write_text(content)
    result = invoke("search", text_index, "--queries", tmp_path / name, "-k", "1")
    assert result.exit_code == 0, result.output
    assert result.stdout.split()[2] == "cat"


def test_a_run_goes_through_a_pipe(invoke, text_index, beir, tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    result = invoke("search", text_index, "--queries", beir, "--output", pipe)
    reader.join(timeout=60)
    assert result.exit_code == 0, result.output
    assert len(read[0].splitlines()) == 3 * 4
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_run_behind_a_link_replaces_what_the_link_points_to(invoke, text_index, beir, tmp_path):
    (tmp_path / "r.trec").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "r.trec")
    for command in (("search", text_index, "--queries", beir), ("eval", text_index, "--dataset", beir)):
        (tmp_path / "r.trec").write_text("old")
        result = invoke(*command, "--output", tmp_path / "link")
        assert result.exit_code == 0, result.output
        assert (tmp_path / "link").is_symlink()
        assert "Q0" in (tmp_path / "r.trec").read_text()


def test_a_run_to_a_device_leaves_the_device(invoke, text_index, beir):
    assert invoke("search", text_index, "--queries", beir, "--output", "/dev/null").exit_code == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
