"""Searches in codes alone at equal bytes: who takes part, who is the fastest, and what the table says."""

from __future__ import annotations

import numpy as np
import pytest

from cluscomp.baselines import installed
from cluscomp.bench import scan_bytes
from cluscomp.bench.harness import Stopwatch
from cluscomp.bench.run import run_benchmarks
from cluscomp.bench.scan_bytes import Half, Race, Tuned
from cluscomp.bench.scan_contenders import Contender, contenders
from cluscomp.bench.settings import Settings
from cluscomp.errors import UsageError
from cluscomp.indexes.factory import index_factory

has_faiss = pytest.mark.skipif("faiss" not in installed(), reason="needs faiss")


@pytest.fixture
def no_tokens(monkeypatch, tmp_path):
    monkeypatch.setenv("CLUSCOMP_SHARED_DATA", str(tmp_path))


def tuned(library, key, recall, seconds):
    contender = Contender(library, key, 100, 8, (), lambda x: None)
    return Tuned(
        contender,
        lambda queries, nprobe: np.tile(np.arange(10), (len(queries), 1)),
        {"nprobe": 3},
        recall,
        seconds,
    )


def half():
    rows = np.eye(12, dtype=np.float32)
    queries = np.arange(12, 0, -1, dtype=np.float32)[None]  # row 0 is the best, row 9 the tenth
    return Half(rows, queries, np.array([3.0], np.float32))


def run(race):
    stopwatch = Stopwatch(rounds=2, min_seconds=0, pause=0)
    return race.measured("case", "data", half(), stopwatch)


def test_fastest_setting_that_reaches_the_recall():
    race = Race(0.9)
    race.enter(
        [
            tuned("cluscomp", "A", 0.95, 4.0),
            tuned("cluscomp", "A", 0.91, 2.0),
            tuned("cluscomp", "A", 0.8, 1.0),
        ]
    )
    race.enter([tuned("cluscomp", "B", 0.90, 1.0)])
    race.enter([tuned("faiss", "C", 0.99, 3.0)])
    race.enter([tuned("faiss", "D", 0.99, 6.0)])
    race.enter([tuned("faiss", "E", 0.5, 0.1)])
    assert {name: one.contender.key for name, one in race.fastest.items()} == {"cluscomp": "B", "faiss": "C"}
    measured = run(race)
    assert (
        list(measured.seconds) == ["cluscomp", "faiss"] and not measured.missing and measured.verdict.passed
    )
    assert measured.verdict.detail == (
        "cluscomp B (100 bytes) at 3 lists: recall 1.0000; faiss C (100 bytes) at 3 lists: recall 1.0000"
    )
    assert measured.notes == (
        "cluscomp A (100 bytes) at 3 lists: 2.00 times as long",
        "faiss D (100 bytes) at 3 lists: 2.00 times as long",
        "faiss E (100 bytes) finds 0.5000 at most",
    )


def test_failed_only_where_another_library_reaches_it():
    race = Race(0.99)
    race.enter([tuned("cluscomp", "A", 0.95, 1.0)])
    race.enter([tuned("faiss", "B", 0.97, 1.0)])
    measured = run(race)
    assert measured.verdict.passed and not measured.seconds
    assert measured.missing["cluscomp"] == "cluscomp does not reach it (best 0.9500)"
    race.enter([tuned("faiss", "C", 0.99, 1.0)])
    measured = run(race)
    assert not measured.verdict.passed and list(measured.seconds) == ["faiss"]


@pytest.mark.parametrize("code_bytes", [64, 110, 210, 400])
def test_bytes_are_those_of_all_codes(code_bytes):
    for one in contenders(Settings(), code_bytes, 16, 10):
        assert one.library == "cluscomp" and 0.6 * code_bytes < one.code_bytes <= code_bytes
        index = index_factory(one.key, 384, "ip")
        refine = index.pipeline.refine
        assert one.code_bytes == index.code_bytes_per_document + (refine.row_bytes if refine else 0)
        assert "Flat" not in one.key


@has_faiss
def test_faiss_has_as_many_bytes():
    keys = {
        one.key: one.code_bytes
        for one in contenders(Settings(("faiss",)), 210, 16, 10)
        if one.library == "faiss"
    }
    assert keys == {
        "IVF16,RaBitQfs4": 212,
        "IVF16,RaBitQ4": 212,
        "IVF16,SQ4": 192,
        "IVF16,PQ96x4fs,Refine(RaBitQ3)": 212,
    }


def test_settings_rise_for_each_factor():
    one = Contender("cluscomp", "K", 1, 20, (2, "bound"), lambda x: None)
    assert one.settings((4, 8, 32)) == [
        [{"nprobe": 4, "refine_factor": 2}, {"nprobe": 8, "refine_factor": 2}],
        [{"nprobe": 4, "refine_factor": "bound"}, {"nprobe": 8, "refine_factor": "bound"}],
    ]
    assert Contender("cluscomp", "K", 1, 20, (), lambda x: None).settings((4,)) == [[{"nprobe": 4}]]


def test_too_few_bytes():
    with pytest.raises(UsageError, match=r"--bytes 10: no code has between 6 and 10 bytes.* have 12 to 394"):
        scan_bytes.plans(Settings(), 10)


def test_report(no_tokens):
    baselines = tuple({"faiss"} & set(installed()))
    settings = Settings(baselines=baselines, threads=1, repeat=1, quick=True, n=1200, code_bytes=110)
    report = run_benchmarks(["scan"], settings)
    assert report.passed
    cases = [f"n=1200 IVF12, 110 bytes, recall@10 {target}" for target in ("0.9", "0.95", "0.99")]
    assert list(dict.fromkeys(row.case for row in report.rows)) == cases
    for case in cases:
        rows = [row for row in report.rows if row.case == case]
        assert {row.contender for row in rows} == {"cluscomp", *baselines}
        assert all(row.seconds or "does not reach it" in row.note for row in rows)
