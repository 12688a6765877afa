"""tune: table, built index, exit codes."""

from __future__ import annotations

import json

import pytest
from tiny_benchmark import DOCUMENTS, write_collection

from cluscomp import open_index


@pytest.fixture
def flags(tmp_path):
    at = tmp_path / "tiny"
    write_collection(at)
    return [
        "--embeddings",
        at / "docs.npy",
        "--ids",
        at / "docs.ids.txt",
        "--key",
        "SQ8",
        "--key",
        "IVF8,SQ8",
    ]


def test_builds_what_it_chose(invoke, flags, tmp_path):
    at, target = tmp_path / "tiny", tmp_path / "chosen.index"
    result = invoke("tune", *flags, "--dataset", at, "--query-embeddings", at / "queries.npy", "--query-ids",
                    at / "queries.ids.txt", "--key", "IVF8,PQ2", "--output", target, "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    index = open_index(target)
    assert index.key == facts["chosen"]["key"]
    assert (len(index), index.ids[0]) == (DOCUMENTS, "d0")
    assert index.settings.get("nprobe") == facts["chosen"]["nprobe"]
    files = sum(path.stat().st_size for path in target.iterdir())
    assert facts["built"]["bytes_per_document"] == pytest.approx(files / DOCUMENTS, rel=0.02)


def test_table(invoke, flags):
    result = invoke("tune", *flags, "--min-recall", "0.9", "-q")
    assert result.exit_code == 0, result.output
    assert "chosen: " in result.stdout
    assert "recall@10" in result.stdout


def test_infeasible(invoke, flags, tmp_path):
    result = invoke("tune", *flags, "--max-bytes", "3", "--output", tmp_path / "no.index")
    assert result.exit_code == 3
    assert "nearest" in result.output
    assert not (tmp_path / "no.index").exists()


def test_wrong_flags(invoke, flags, tmp_path):
    assert invoke("tune", "--max-bytes", "3").exit_code == 2
    assert invoke("tune", "--corpus", tmp_path).exit_code == 2
    assert invoke("tune", *flags, "--min-ndcg", "0.5").exit_code == 2
    assert invoke("tune", *flags, "--dataset", tmp_path / "tiny").exit_code == 2
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "x").write_text("")
    assert invoke("tune", *flags, "--output", tmp_path / "taken").exit_code == 2
