"""train crisp: flags reach train_crisp, and outcomes have their exit codes."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")

from cluscomp.training.crisp import train as crisp


@pytest.fixture
def calls(monkeypatch):
    """What the command calls, instead of a training."""
    seen = []

    def train(corpus, encoder, output, settings, **options):
        seen.append((corpus, encoder, settings, options))
        for step in range(20):
            options["report"]("train", step + 1, {"loss": 1.0 - step / 40})
            options["progress"]("train", step + 1, 20)
        return crisp.CrispReport({"method": "crisp"}, 64, 20, [1.0 - step / 40 for step in range(20)])

    monkeypatch.setattr(crisp, "train_crisp", train)
    return seen


def test_flags_and_losses(invoke, calls, tmp_path):
    result = invoke("train", "crisp", "--corpus", tmp_path, "--encoder", "minilm", "--budget", "25%",
                    "--query-budget", 4, "--epochs", 3, "--max-length", 64, "--plain-means", "--seed", 5,
                    "--if-exists", "resume", "-o", tmp_path / "out")  # fmt: skip
    assert result.exit_code == 0, result.output
    _, encoder, settings, options = calls[0]
    assert encoder == "minilm" and (settings.documents.share, settings.queries.vectors) == (0.25, 4)
    assert (settings.epochs, settings.max_length, settings.seed, settings.documents.seed) == (3, 64, 5, 5)
    assert not settings.documents.renormalize and options["if_exists"] == "resume"
    assert "loss: 0.9875 at first, 0.5375 at last" in result.stdout
    assert "step 2 of 20: loss 0.9875" in result.stderr and "step 20 of 20" in result.stderr


def test_json(invoke, calls, tmp_path):
    result = invoke("train", "crisp", "--corpus", tmp_path, "--encoder", "minilm", "-o", tmp_path / "out",
                    "--json", "--quiet")  # fmt: skip
    facts = json.loads(result.stdout)
    assert facts["steps"] == 20 and len(facts["losses"]) == 20 and result.stderr == ""
    assert calls[0][2].documents.vectors == 8


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--encoder", "minilm", "-o", "x"), 2, "--corpus is missing"),
        (("--corpus", "c", "--encoder", "minilm"), 2, "--output is missing"),
        (
            ("--corpus", "c", "--encoder", "minilm", "-o", "x", "--budget", "few"),
            2,
            "budget 'few' is unknown",
        ),
        (("--corpus", "nowhere", "--encoder", "minilm", "-o", "x"), 4, "nowhere"),
    ],
)
def test_wrong_input(program, arguments, code, text, tmp_path):
    result = program("train", "crisp", *arguments, cwd=tmp_path)
    assert result.returncode == code and text in result.stderr and not list(tmp_path.iterdir())
