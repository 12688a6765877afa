"""--bf16: recorded in the index, so that texts of queries are encoded in the same way without being told."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_models import save_tiny_model

import cluscomp as cc

pytest.importorskip("sentence_transformers", reason="needs the extra 'encode'")


@pytest.fixture
def build(invoke, beir, tmp_path, monkeypatch):
    """build(NAME, *flags) builds an index over `beir` with a tiny model and returns its folder."""
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    model = save_tiny_model(tmp_path / "model")

    def run(name, *flags):
        result = invoke(
            "build-index", "--corpus", beir, "--encoder", model, "--output", tmp_path / name, *flags
        )
        assert result.exit_code == 0, result.output
        return tmp_path / name

    return run


@pytest.mark.parametrize(
    "kind", [("--index-key", "Flat"), ("--index-key", "Pool1,Flat", "--encoder-kind", "tokens")]
)
def test_queries_follow_the_documents(build, invoke, tmp_path, kind):
    short, exact = build("short", "--bf16", *kind), build("exact", *kind)
    assert json.loads((short / "manifest.json").read_text())["encoder"]["bf16"] is True
    assert json.loads((exact / "manifest.json").read_text())["encoder"]["bf16"] is False
    assert "bfloat16" in invoke("inspect", short).output
    assert "bfloat16" not in invoke("inspect", exact).output
    ours, theirs = (cc.open_index(folder).segments[0].codes["codes"] for folder in (short, exact))
    assert not np.array_equal(ours, theirs)
    np.testing.assert_allclose(ours, theirs, atol=0.03)
    for flags in ((), ("--encoder", tmp_path / "model")):
        result = invoke("search", short, "--query", "cat dog", "-k", "2", *flags)
        assert result.exit_code == 0 and len(result.stdout.splitlines()) == 2, result.output


def test_the_plan_counts_the_weights_in_bfloat16(build, invoke, beir, tmp_path):
    build("first", "--index-key", "Flat")  # makes the model
    peaks = []
    for flag in ("--bf16", "--no-bf16"):
        result = invoke("build-index", "--corpus", beir, "--encoder", tmp_path / "model", "--index-key", "Flat", "--output",
                        tmp_path / "i", "--dry-run", "--json", flag)  # fmt: skip
        stages = {stage["name"]: stage["memory_bytes"] for stage in json.loads(result.stdout)["stages"]}
        peaks.append(stages["encode"])
    assert peaks[0] > peaks[1]


def test_eval_follows_too(build, invoke, beir):
    result = invoke("eval", build("short", "--bf16", "--index-key", "Flat"), "--dataset", beir, "--json")
    assert result.exit_code == 0 and "ndcg@10" in json.loads(result.stdout)["metrics"], result.output


def test_an_index_of_an_earlier_version_was_float32(build, invoke):
    folder = build("old", "--index-key", "Flat")
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["encoder"]["bf16"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert invoke("search", folder, "--query", "cat").exit_code == 0


@pytest.mark.parametrize("command", ["build-index", "tune"])
def test_without_encoder_it_says_nothing(invoke, vectors, tmp_path, command):
    key = ["--index-key", "Flat"] if command == "build-index" else []
    result = invoke(command, "--embeddings", vectors, "--bf16", *key, "--output", tmp_path / "i")
    assert result.exit_code == 2 and "--encoder" in result.stderr
