"""compare: files, table, choice of rows, wrong input."""

from __future__ import annotations

import json

import pytest
from tiny_benchmark import write_collection, write_config


@pytest.fixture
def config(tmp_path):
    return write_config(
        tmp_path, write_collection(tmp_path / "tiny"), '["Flat", "IVF4,SQ8"]', "search = {nprobe = 2}"
    )


def test_files_and_table(invoke, config):
    result = invoke("compare", config, "--no-report")
    assert result.exit_code == 0, result.output
    assert "IVF4,SQ8" in result.stdout
    assert "nprobe 2" in result.stdout
    rows = (config.with_suffix(".results") / "results.jsonl").read_text().splitlines()
    assert [json.loads(row)["key"] for row in rows] == ["Flat", "IVF4,SQ8"]
    again = invoke("compare", config, "--no-report", "--json")
    facts = json.loads(again.stdout)
    assert (facts["measured"], facts["resumed"]) == (0, 2)
    assert invoke("compare", config, "--no-report", "--if-exists", "fail").exit_code == 2


def test_report_and_parquet(invoke, config, tmp_path):
    pytest.importorskip("plotly")
    pytest.importorskip("pyarrow")
    result = invoke("compare", config, "--output", tmp_path / "out", "--parquet", "-q")
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "report.html",
        "results.jsonl",
        "results.parquet",
    }


def test_markdown(invoke, config, tmp_path):
    result = invoke("compare", config, "--no-report", "--markdown", tmp_path / "r.md", "-q")
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "r.md").read_text().splitlines()
    assert lines[0] == "# Tiny"
    assert (
        sum(line.startswith(("| `Flat` | |", "| `Flat` |  |", "| `IVF4,SQ8` | nprobe 2 |")) for line in lines)
        == 2
    )
    assert any("Seed 0" in line and "cluscomp 0" in line for line in lines)


def test_only_some_rows(invoke, config, tmp_path):
    result = invoke("compare", config, "--no-report", "--json", "--only-key", "IVF4,SQ8", "--only-dataset", "tiny",
                    "--seed", "5", "-q")  # fmt: skip
    (row,) = json.loads(result.stdout)["rows"]
    assert (row["key"], row["seed"], row["threads"]) == ("IVF4,SQ8", 5, 1)


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--only-key", "SQ8"], 2, "the config has Flat, IVF4,SQ8"),
        (["--only-dataset", "x"], 2, "the config has tiny"),
        (["--threads", "0"], 2, "threads"),
    ],
)
def test_wrong_flags(invoke, config, flags, code, message):
    result = invoke("compare", config, "--no-report", *flags)
    assert result.exit_code == code
    assert message in result.output


def test_wrong_config(invoke, tmp_path):
    assert invoke("compare", tmp_path / "no.toml", "--no-report").exit_code == 4
    (tmp_path / "b.toml").write_text('keys = ["Flat"]\ndatasets = ["nowhere"]\nencoder = "minilm"\n')
    result = invoke("compare", tmp_path / "b.toml", "--no-report")
    assert result.exit_code == 4
    assert "nowhere" in result.output


def test_the_former_name_still_works(invoke, config):
    result = invoke("benchmark", config, "--no-report", "-q")
    assert result.exit_code == 0, result.output
    assert "benchmark is called compare; the former name goes away in version 0.3" in result.stderr
    assert "benchmark" not in invoke("--help").stdout
    assert "compare" in invoke("--help").stdout
