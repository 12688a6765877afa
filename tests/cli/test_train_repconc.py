"""train repconc: flags reach the run, outcomes have their exit codes, the line it prints builds an index."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
from tiny_models import WORDS, save_tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def pairs(tmp_path, monkeypatch):
    """40 pairs of random words."""
    monkeypatch.setenv("CLUSCOMP_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(5)
    texts = [" ".join(rng.choice(WORDS, 8)) + f" {i}" for i in range(40)]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps({"query": t[:20], "positive": t}) + "\n" for t in texts))
    return path


SMALL = ["--m", 4, "--nbits", 4, "--batch-size", 16, "--joint-epochs", 0, "--jpq-epochs", 0.5]


def test_json_and_flags(invoke, model, pairs, tmp_path):
    result = invoke("train", "repconc", "--corpus", pairs, "--encoder", model, "--output", tmp_path / "out", *SMALL,
                    "--seed", 3, "--live-negatives", 7, "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts["data"]["documents"] == 40 and list(facts["stages"]) == ["jpq"]
    provenance = json.loads((tmp_path / "out" / "codec" / "codec.json").read_text())["provenance"]
    assert (provenance["seed"], provenance["live_negatives"], provenance["batch_size"]) == (3, 7, 16)
    assert "jpq step 1: loss" in result.stderr


def test_the_printed_line_is_the_next_command(invoke, model, pairs, tmp_path):
    shown = invoke(
        "train", "repconc", "--corpus", pairs, "--encoder", model, "--output", tmp_path / "out", *SMALL, "-q"
    )
    assert shown.exit_code == 0, shown.output
    assert shown.stderr == ""
    line = shown.stdout.splitlines()[-1]
    words = shlex.split(line.removeprefix("next: "))
    assert words[:3] == ["build-index", "--corpus", "CORPUS"]  # pairs are no corpus
    assert words[words.index("--index-key") + 1] == f"RepCONC({tmp_path / 'out' / 'codec'})"


@pytest.mark.parametrize(
    ("more", "code", "word"),
    [
        ([], 2, "--output is missing"),
        (["--output", "out", "--m", "5"], 2, "m=5"),
        (["--output", "out", "--jpq-epochs", "0"], 2, "nothing would be trained"),
        (["--output", "out", "--encoder", "./no-such-model"], 4, "no-such-model"),
        (["--output", "out", "--corpus", "no-such-folder"], 4, "no-such-folder"),
    ],
)
def test_exit_codes(invoke, model, pairs, tmp_path, monkeypatch, more, code, word):
    monkeypatch.chdir(tmp_path)
    result = invoke("train", "repconc", "--corpus", pairs, "--encoder", model, *SMALL, *more)
    assert result.exit_code == code, result.output
    assert word in result.stderr and not (tmp_path / "out").exists()
