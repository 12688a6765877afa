"""Every case runs with the baselines that are installed, and its results are equal. Times are not looked at."""

from __future__ import annotations

import pytest

from cluscomp.baselines import installed
from cluscomp.bench.run import BENCHMARKS, run_benchmarks
from cluscomp.bench.settings import Settings

BASELINES = tuple(name for name in ("faiss", "torch", "pot", "pyseismic") if name in installed())


@pytest.fixture(autouse=True)
def no_tokens(monkeypatch, tmp_path):
    monkeypatch.setenv("CLUSCOMP_SHARED_DATA", str(tmp_path))


@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name != "gpu"])
def test_case(name):
    settings = Settings(baselines=BASELINES, threads=1, repeat=1, quick=True, n=1200)
    report = run_benchmarks([name], settings)
    assert report.passed, report.checks()
    baselines = set(BASELINES) & set(BENCHMARKS[name].BASELINES)
    wanted = {"cluscomp", *baselines, *getattr(BENCHMARKS[name], "OWN", ())}
    for case in {row.case for row in report.rows}:
        rows = [row for row in report.rows if row.case == case]
        assert {row.contender for row in rows} == wanted
        assert rows[0].contender == "cluscomp" and all(row.seconds > 0 and row.threads == 1 for row in rows)
        assert all(row.ratio > 0 for row in rows[1:])
    assert all(row.data in report.data for row in report.rows)
    idle = set(BASELINES) - baselines
    assert report.skipped == [
        f"{baseline} has nothing to compare with {name}" for baseline in BASELINES if baseline in idle
    ]


def test_full_shapes_are_those_of_the_documentation():
    names = [plan.name for plan in BENCHMARKS["assign"].plans(Settings())]
    assert names[0] == "n=100000 k=256 d=384" and "n=100000 k=16384 d=128" in names and len(names) == 9
    assert BENCHMARKS["kmeans"].plans(Settings())[0].name == "n=200000 k=4096 d=384, 10 steps"
    assert BENCHMARKS["scan"].plans(Settings())[0].name == "n=500000 IVF1024,PQ192x4,RFlat"
    assert BENCHMARKS["scan"].THREADS == 1
