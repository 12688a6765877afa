"""merge-lora: the flags reach merge_adapters, and outcomes have their exit codes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from lora_adapters import random_modules, updates, write_adapter


@pytest.fixture
def adapters(tmp_path, rng):
    return [write_adapter(tmp_path / name, random_modules(rng)) for name in "ab"]


def test_json_and_flags(invoke, adapters, tmp_path):
    result = invoke("merge-lora", *adapters, "--rank", 8, "--output", tmp_path / "out", "--weights", "1,-2",
                    "--no-parameter-reweighting", "--no-output-reweighting", "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert facts["weights"] == [1, -2] and facts["total"]["energy_kept"] == pytest.approx(1, abs=1e-5)
    one, two = updates(adapters[0]), updates(adapters[1])
    np.testing.assert_allclose(updates(tmp_path / "out")["m.q"], one["m.q"] - 2 * two["m.q"], atol=1e-4)


def test_table(invoke, adapters, tmp_path):
    more = ["--rank", 3, "--rank-pattern", "q=2", "--clustering", "balanced", "-o", tmp_path / "out"]
    shown = invoke("merge-lora", *adapters, *more).stdout
    for word in ("m.q", "m.v", "all modules", "energy kept", "merged adapter"):
        assert word in shown
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["rank_pattern"] == {r"^m\.q": 2}
    modules = json.loads((tmp_path / "out" / "cluscomp_merge.json").read_text())["modules"]
    assert [sorted(module["cluster_sizes"]) for module in modules] == [[4, 4], [2, 3, 3]]


@pytest.mark.parametrize(
    ("more", "code", "word"),
    [(["--rank", "2"], 2, "--output"), (["--output", "x"], 2, "--rank"), (["--rank", "2", "-o", "x", "--weights", "1;2"], 2, "--weights"),
     (["--rank", "2", "-o", "x", "--rank-pattern", "q"], 2, "REGEX=R"), (["no-such-folder", "--rank", "2", "-o", "x"], 4, "no-such-folder")],
)  # fmt: skip
def test_wrong_arguments(invoke, adapters, tmp_path, monkeypatch, more, code, word):
    monkeypatch.chdir(tmp_path)
    result = invoke("merge-lora", *adapters, *more)
    assert result.exit_code == code and word in result.stderr
    assert not (tmp_path / "x").exists()


def test_taken_output(invoke, adapters, tmp_path):
    for code, how in ((0, "fail"), (2, "fail"), (0, "replace")):
        assert (
            invoke("merge-lora", *adapters, "--rank", 1, "-o", tmp_path / "o", "--if-exists", how).exit_code
            == code
        )
