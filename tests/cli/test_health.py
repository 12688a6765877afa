"""health: the flags reach Index.health, the table has every item, and --fail-on decides the exit code."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cluscomp import index_factory

DIM = 16


@pytest.fixture
def rows():
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((8, DIM)) * 3
    return (centres[rng.integers(8, size=900)] + rng.standard_normal((900, DIM))).astype(np.float32)


@pytest.fixture
def folder(rows, tmp_path):
    index = index_factory("IVF8,PQ4x4", DIM, "l2").train(rows).add(rows)
    index.nprobe = 2
    index.save(tmp_path / "good")
    index.add(rows[:, ::-1].copy())
    index.save(tmp_path / "moved")
    return tmp_path


def test_table_and_json(invoke, folder, rows):
    shown = invoke("health", folder / "good", "--probe")
    assert shown.exit_code == 0, shown.output
    for word in (
        "cost",
        "occupancy",
        "code error",
        "growth",
        "list sizes",
        "deleted",
        "segments",
        "probe",
        "watch",
    ):
        assert word in shown.stdout
    assert "IVF8,PQ4x4, 900 rows: ok" in shown.stdout
    np.save(folder / "new.npy", rows[:, ::-1])
    result = invoke("health", folder / "moved", "--new", folder / "new.npy", "--json")
    facts = json.loads(result.stdout)
    assert result.exit_code == 0 and facts["state"] == "retrain" and facts["training_rows"] == 900
    items = {item["name"]: item for item in facts["items"]}
    assert items["gain"]["state"] == items["cost"]["state"] == "retrain" and len(facts["segments"]) == 2


def test_exit_codes(invoke, program, folder):
    for name, flags, code in (
        ("good", (), 0),
        ("good", ("--fail-on", "watch"), 0),
        ("moved", (), 0),
        ("moved", ("--fail-on", "retrain"), 1),
        ("moved", ("--fail-on", "watch"), 1),
    ):
        assert invoke("health", folder / name, *flags).exit_code == code
    np.save(folder / "wrong.npy", np.zeros((5, 3), np.float32))
    np.save(folder / "lengths.npy", np.ones(5, np.int64))
    for code, word, flags in (
        (2, "--lengths belong to --new", ("--lengths", folder / "lengths.npy")),
        (
            2,
            "--lengths belong to token",
            ("--new", folder / "wrong.npy", "--lengths", folder / "lengths.npy"),
        ),
        (4, "dim 16", ("--new", folder / "wrong.npy")),
        (2, "watch", ("--fail-on", "never")),
    ):
        result = invoke("health", folder / "good", *flags)
        assert (result.exit_code, result.stdout) == (code, "") and word in result.stderr, result.output
    assert invoke("health", folder / "none").exit_code == 5
    assert program("health", folder / "moved", "--fail-on", "watch").returncode == 1
