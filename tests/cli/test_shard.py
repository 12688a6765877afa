"""`cluscomp shard STEP` and `build-index --shards`."""

from __future__ import annotations

import json

import numpy as np
import pytest

import cluscomp as cc


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(0).standard_normal((600, 8)).astype(np.float32))
    return path


def test_steps_and_one_command_make_the_same_index(invoke, source, tmp_path):
    plan, one, two = (str(tmp_path / name) for name in ("plan", "one", "two"))
    made = invoke(
        "shard", "plan", plan, "--embeddings", source, "--index-key", "IVF4,SQ8", "--shards", "2", "--json"
    )
    assert made.exit_code == 0 and json.loads(made.stdout)["shards"][1] == {
        "source": str(source), "start": 300, "stop": 600,
    }  # fmt: skip
    for step in (
        ["train", plan],
        ["encode", plan, "--shard", "1"],
        ["encode", plan, "--shard", "0", "--json"],
    ):
        done = invoke("shard", *step)
        assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 300
    assert invoke("shard", "commit", plan, "--output", one).exit_code == 0
    options = ["--index-key", "IVF4,SQ8", "--shards", "2", "--output", two]
    assert invoke("build-index", "--embeddings", source, *options).exit_code == 0
    first, second = cc.open_index(one), cc.open_index(two)
    assert first.ids.tolist() == second.ids.tolist() == list(range(600))
    assert [s.name for s in first.segments] == [s.name for s in second.segments]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["shard", "plan", "p", "--embeddings", "x.npy", "--index-key", "SQ8"], 2, "--shards is missing"),
        (["shard", "plan", "p", "--embeddings", "x.npy", "--shards", "2"], 2, "--index-key is missing"),
        (["shard", "train", "nothing"], 5, "there is no plan.json"),
        (["shard", "commit", "nothing"], 2, "--output is missing"),
        (
            ["build-index", "--embeddings", "x.npy", "--index-key", "SQ8", "-o", "i", "--engine", "ray"],
            2,
            "--shards",
        ),
    ],
)
def test_wrong_use(invoke, source, monkeypatch, arguments, code, words):
    monkeypatch.chdir(source.parent)
    done = invoke(*arguments)
    assert done.exit_code == code and words in done.stderr
