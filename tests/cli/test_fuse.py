"""fuse: the run it writes, the tuned weight, wrong flags."""

from __future__ import annotations

import json

import pytest

from cluscomp.eval import fuse_runs, read_run, write_run

DENSE = {"q": {"A": 0.9, "B": 0.5, "C": 0.1}, "r": {"A": 2.0, "B": 1.0}}
SPARSE = {"q": {"C": 10.0, "A": 5.0, "D": 0.0}, "r": {"B": 4.0, "A": 1.0}}


@pytest.fixture
def runs(tmp_path):
    paths = [tmp_path / "dense.trec", tmp_path / "bm25.trec"]
    for path, run in zip(paths, (DENSE, SPARSE), strict=True):
        write_run(run, path)
    return paths


def test_run_file(invoke, runs, tmp_path):
    out = tmp_path / "fused.trec"
    result = invoke("fuse", *runs, "--output", out)
    assert result.exit_code == 0, result.output
    assert "2 queries, 6 hits of 2 runs" in result.stdout
    assert read_run(out) == fuse_runs([DENSE, SPARSE])
    invoke("fuse", *runs, "--output", out, "--method", "rrf", "--weights", "2,1", "--c", "10", "--depth", "2")
    assert read_run(out) == fuse_runs([DENSE, SPARSE], method="rrf", weights=(2, 1), c=10, depth=2)
    invoke("fuse", *runs, "--output", out, "--normalise", "tmm", "--minima=-1,0")
    assert read_run(out) == fuse_runs([DENSE, SPARSE], normalise="tmm", minima=(-1, 0))


def test_stdout(invoke, runs):
    lines = invoke("fuse", *runs, "--output", "-").stdout.splitlines()
    assert lines[0] == "q Q0 A 1 0.75 cluscomp" and len(lines) == 6


def test_tuned(invoke, runs, tmp_path):
    (tmp_path / "qrels.tsv").write_text("q\tC\t1\nr\tB\t1\n")
    command = ["fuse", *runs, "-o", tmp_path / "f.trec", "--tune", tmp_path / "qrels.tsv", "--folds", "2"]
    tuned = json.loads(invoke(*command, "--json").stdout)["tuned"]
    assert (tuned["second"], tuned["n_queries"]) == (1.0, 2)
    assert read_run(tmp_path / "f.trec") == fuse_runs(
        [DENSE, SPARSE], weights=(tuned["weight"], 1 - tuned["weight"])
    )
    shown = invoke(*command)
    assert "fused, held out" in shown.stdout and "chosen on all judged queries" in shown.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--weights", "a,b"], "write numbers with commas"),
        (["--weights", "1,2,3"], "3 weights for 2 lists"),
        (["--tune", "{qrels}", "--weights", "1,2"], "leave one of them out"),
        (["--tune", "{qrels}", "--method", "rrf"], "not of rrf"),
        (["--json", "--output", "-"], "standard output"),
        (["--output", "{run}"], "is the input"),
    ],
)
def test_wrong_flags(invoke, runs, tmp_path, flags, message):
    (tmp_path / "qrels.tsv").write_text("q\tC\t1\n")
    flags = [flag.format(qrels=tmp_path / "qrels.tsv", run=runs[0]) for flag in flags]
    result = invoke("fuse", *runs, "--output", tmp_path / "f.trec", *flags)
    assert result.exit_code in (2, 4) and message in result.output


class TestEval:
    """eval --fuse: figures of the index, of the other run, and of both."""

    def test_figures_and_run(self, invoke, text_index, beir, tmp_path):
        lexical = {"q1": {"dog": 2.0, "cat": 1.0}, "q2": {"fish": 3.0}}
        write_run(lexical, tmp_path / "bm25.trec")
        invoke("eval", text_index, "--dataset", beir, "--output", tmp_path / "dense.trec")
        command = [
            "eval",
            text_index,
            "--dataset",
            beir,
            "--fuse",
            tmp_path / "bm25.trec",
            "--fuse-weight",
            ".25",
        ]
        facts = json.loads(invoke(*command, "--output", tmp_path / "both.trec", "--json").stdout)
        assert facts["metrics"]["mrr@10"] == facts["fused"]["metrics"]["index"]["mrr@10"] == 1.0
        assert facts["fused"]["metrics"]["other"]["mrr@10"] == 0.75
        expected = fuse_runs([read_run(tmp_path / "dense.trec"), lexical], weights=(0.25, 0.75))
        assert read_run(tmp_path / "both.trec") == expected
        shown = invoke(*command, "--baseline", tmp_path / "both.trec").stdout
        assert "both, weight 0.25 of the index" in shown and "0 / 2 / 0" in shown

    def test_wrong_run(self, invoke, text_index, beir, tmp_path):
        (tmp_path / "run.trec").write_text("not a run\n")
        assert invoke("eval", text_index, "--dataset", beir, "--fuse", tmp_path / "run.trec").exit_code == 4
