"""Builds as commands: the rows that are written, a small run of both cases, and errors."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from cluscomp.bench import builds
from cluscomp.bench.settings import Settings
from cluscomp.cli.main import app
from cluscomp.errors import UsageError


def test_rows_are_those_of_the_file_and_then_the_same_with_noise(tmp_path):
    x = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    np.save(tmp_path / "real.npy", x)
    assert builds.write_rows(tmp_path / "x.npy", 120, Settings(embeddings=tmp_path / "real.npy")) == 8
    rows = np.load(tmp_path / "x.npy").astype(np.float32)
    assert rows.shape == (120, 8)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(rows[:50], unit, atol=1e-3)
    assert 0.001 < np.abs(rows[50:100] - unit).mean() < 0.05
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=2e-3)


def test_a_small_run_of_growth():
    flags = ["--quick", "--only", "growth", "--n", "3000", "--json", "--quiet"]
    done = CliRunner().invoke(app, ["bench", "builds", *flags])
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    assert (row["case"], row["rows"]) == ("growth", 3000) and row["ratio"] is None
    assert min(row["seconds"], row["planned_seconds"], row["peak"], row["planned_peak"]) > 0


def test_ways_are_compared_with_one_process(monkeypatch):
    """By hand: two rounds, medians, and no processor time where workers of Ray do the work."""
    times = iter([10.0, 20.0, 12.0, 30.0])

    def build(folder, key, flags, settings):
        return builds._Done(next(times), 15.0, 100, 200)

    monkeypatch.setattr(builds, "_build", build)
    monkeypatch.setattr(builds.importlib.util, "find_spec", lambda name: None)
    rows = builds.bench_builds(Settings(quick=True, repeat=2, only="engines"))
    assert [(row.case, row.seconds) for row in rows] == [
        ("engines: one process", 11.0), ("engines: 2 shards", 25.0)
    ]  # fmt: skip
    assert rows[1].ratio == pytest.approx(0.44) and rows[1].processor_seconds == 15.0
    assert builds.cells(rows[1])[3:5] == ["25.0", "0.44"]


def test_no_such_case():
    with pytest.raises(UsageError, match="engines and growth"):
        builds.bench_builds(Settings(only="speed"))
