"""bench: figures on stdout, exit codes."""

from __future__ import annotations

import json

import pytest


@pytest.fixture(autouse=True)
def no_tokens(monkeypatch, tmp_path):
    monkeypatch.setenv("CLUSCOMP_SHARED_DATA", str(tmp_path))


QUICK = ("bench", "assign", "--quick", "--n", "1000", "--only", "d=16", "--threads", "1", "--vs", "")


def test_json(invoke):
    pytest.importorskip("faiss")
    result = invoke("bench", "assign", "--quick", "--n", "1000", "--vs", "faiss", "--threads", "1", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["passed"] is True and report["quick"] is True and report["baselines"]["faiss"]
    assert {row["contender"] for row in report["rows"]} == {"cluscomp", "faiss"}
    row = next(row for row in report["rows"] if row["contender"] == "faiss")
    assert row["case"] == "n=1000 k=250 d=384" and row["data"] == "mixture"
    assert row["ratio"] > 0 and row["gflops"] > 0 and row["threads"] == 1
    assert report["peaks"]["1"]["gflops"] > 0
    assert "n=1000 k=250 d=16: 2 done" in result.stderr


def test_table_and_markdown(invoke):
    table = invoke(*QUICK, "-q")
    assert table.exit_code == 0, table.output
    assert "baselines: none" in table.stdout and "baseline / ours" in table.stdout
    assert "equal: assign n=1000 k=250 d=16: 0 of 256 sampled rows not nearest" in table.stdout
    markdown = invoke(*QUICK, "--markdown").stdout
    assert "| assign | n=1000 k=250 d=16 | noise | cluscomp |" in markdown


def test_a_failed_check_is_exit_code_1(invoke, monkeypatch):
    import numpy as np

    from cluscomp.bench import assign

    monkeypatch.setattr(assign, "assign", lambda x, centroids: np.zeros(len(x), np.int32))
    result = invoke(*QUICK, "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["passed"] is False and report["rows"][0]["seconds"] is None
    assert "FAILED" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("asign",), "benchmark 'asign' is unknown"),
        (("assign", "--vs", "nobody"), "library 'nobody' is unknown"),
        (("assign", "--only", "k=3"), "no case has 'k=3'"),
        (("assign", "--json", "--markdown"), "exclude each other"),
        (("assign", "--bytes", "210"), "--bytes belongs to `bench scan`"),
        (("scan", "--bytes", "10"), "no code has between 6 and 10 bytes"),
        (("assign", "--quick", "--simd", "mmx"), "SIMD level 'mmx'"),
    ],
)
def test_wrong_usage_is_exit_code_2(invoke, arguments, message):
    result = invoke("bench", *arguments)
    assert result.exit_code == 2 and message in result.stderr


def test_a_folder_without_a_collection_is_exit_code_4(invoke, tmp_path):
    result = invoke("bench", "kmeans", "--quick", "--data", tmp_path)
    assert result.exit_code == 4 and "corpus.jsonl" in result.stderr
