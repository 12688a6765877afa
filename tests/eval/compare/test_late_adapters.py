"""Other libraries of late interaction: they find what exact MaxSim finds, and say what they need."""

from __future__ import annotations

import importlib
import importlib.metadata

import pytest
from tiny_benchmark import DOCUMENTS, write_collection, write_config, write_tokens

from cluscomp.errors import OptionalDependencyError, UsageError
from cluscomp.eval.compare import compare_indexes, read_config
from cluscomp.eval.compare.late_adapters import FastPlaid, PyLate


def rows_of(tmp_path, key):
    table = write_collection(tmp_path / "tiny")
    tokens = write_tokens(tmp_path / "tiny")
    path = write_config(tmp_path, table, f'["{key}"]', "k = 10")
    path.write_text(path.read_text() + f"tokens = {tokens}\n")
    return compare_indexes(read_config(path), tmp_path / "out")


@pytest.mark.parametrize(
    ("module", "key"),
    [
        ("fast_plaid", "fastplaid:nbits=4"),
        ("scann", "pylate:index=scann"),
    ],
)
def test_rows(tmp_path, module, key):
    pytest.importorskip("fast_plaid" if key.startswith("fastplaid") else "pylate")
    pytest.importorskip(module)
    try:
        FastPlaid("").check(16, "ip") if module == "fast_plaid" else None
    except OptionalDependencyError as exc:
        pytest.skip(str(exc))
    result = rows_of(tmp_path, key)
    assert not result.failed
    row = max(result.rows, key=lambda row: row["exact_recall@10"])
    assert row["vectors"] == "tokens"
    assert row["exact_recall@10"] >= 0.8
    assert row["missing_hits"] == 0
    assert row["bytes_per_document"] * DOCUMENTS == pytest.approx(row["index_bytes"])
    assert row["index_bytes"] > 0


def test_a_wheel_for_another_torch_is_left_out_with_the_reason(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    real = importlib.import_module
    monkeypatch.setattr(
        "cluscomp.baselines.importlib.import_module",
        lambda name: object() if name.startswith("fast_plaid") else real(name),
    )
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["numpy>=1", "torch==1.0.1"])
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9.101")
    table = write_collection(tmp_path / "tiny")
    path = write_config(tmp_path, table, '["Flat", "fastplaid:nbits=4"]')
    path.write_text(path.read_text() + f"tokens = {write_tokens(tmp_path / 'tiny')}\n")
    result = compare_indexes(read_config(path), tmp_path / "out")
    assert [row["library"] for row in result.rows] == ["cluscomp"]
    assert "fast-plaid 9.9.101 is compiled for torch 1.0.1" in result.skipped["fastplaid"]


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pylate", None)
    with pytest.raises(OptionalDependencyError, match="pip install --no-deps pylate"):
        PyLate("index=scann").check(16, "ip")
    with pytest.raises(
        UsageError, match="index is 'plaid'; valid is scann; PLAID is the library 'fastplaid'"
    ):
        PyLate("index=plaid")
    with pytest.raises(UsageError, match="names nbits"):
        FastPlaid("bits=4")
