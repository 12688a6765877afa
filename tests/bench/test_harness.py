"""Turns, medians and verdicts, with contenders and a clock that are made up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cluscomp.bench.harness import Case, Contender, Stopwatch, Verdict, Work, measure
from cluscomp.bench.report import Report, cells, markdown, rows_of
from cluscomp.machine import Peak, moved_by

NO_WORK = Work()
PEAK = Peak(threads=2, gflops=100.0, library="NumPy", side=8, gbytes_per_s=10.0)


class Scene:
    """A clock that moves only while a contender runs, and a diary of who ran when."""

    def __init__(self):
        self.now = 0.0
        self.diary = []

    def contender(self, name, seconds, output=0):
        seconds = iter(seconds)

        def run():
            self.diary.append(name)
            self.now += next(seconds)
            return output

        return Contender(name, run)

    def stopwatch(self, rounds, **options):
        return Stopwatch(
            rounds=rounds, clock=lambda: self.now, sleep=lambda _: None, **{"min_seconds": 0, **options}
        )


def case(*contenders, passed=True, work=NO_WORK):
    return Case("n=1", "noise", contenders, lambda outputs: Verdict(passed, f"saw {sorted(outputs)}"), work)


def test_one_warm_up_each_then_turns():
    scene = Scene()
    ours = scene.contender("cluscomp", [9, 1, 1, 1])
    faiss = scene.contender("faiss", [9, 2, 2, 2])
    measured = measure(case(ours, faiss), scene.stopwatch(3))
    assert scene.diary == ["cluscomp", "faiss"] * 4
    assert measured.seconds == {"cluscomp": [1, 1, 1], "faiss": [2, 2, 2]}, "the warm-up does not count"
    assert measured.verdict == Verdict(True, "saw ['cluscomp', 'faiss']")


def test_the_ratio_is_taken_round_by_round():
    scene = Scene()
    # Medians are 2 and 4, whose ratio is 2; the rounds' ratios are 4, 2 and 0.5, or 3 where the machine hiccups.
    ours = scene.contender("cluscomp", [0, 1, 2, 20])
    faiss = scene.contender("faiss", [0, 4, 2, 60])
    measured = measure(case(ours, faiss, work=Work(flops=4e11, bytes=8e10, queries=8)), scene.stopwatch(3))
    first, second = rows_of("assign", measured, PEAK)
    assert (first.ratio, second.ratio) == (None, 3)
    assert (second.seconds, second.seconds_min, second.seconds_max, second.rounds) == (4, 2, 60, 3)
    assert (second.gflops, second.peak_share) == (100, 1)
    assert (second.gbytes_per_s, second.memory_share) == (20, 2)
    assert second.queries_per_s == 2
    assert first.gflops == 200


def test_unequal_results_are_not_timed_and_fail_the_report():
    scene = Scene()
    ours, faiss = scene.contender("cluscomp", [1]), scene.contender("faiss", [1])
    measured = measure(case(ours, faiss, passed=False), scene.stopwatch(5))
    assert scene.diary == ["cluscomp", "faiss"], "only the warm-up ran"
    report = Report({}, {}, {}, quick=False, seed=0, rows=rows_of("assign", measured, PEAK))
    assert not report.passed and report.to_json()["passed"] is False
    assert [(row.contender, row.seconds, row.note) for row in report.rows] == [
        ("cluscomp", None, "not timed"),
        ("faiss", None, "not timed"),
    ]
    assert "| FAILED |" in markdown(report) and "FAILED: assign n=1: saw" in markdown(report)


def test_rows_taken_while_the_peak_moved_are_marked():
    before, after = replace(PEAK, gflops=100.0), replace(PEAK, gflops=84.0)
    moved = moved_by(before, after)
    assert moved == moved_by(after, before) == pytest.approx(0.16) and moved_by(PEAK, PEAK) == 0
    scene = Scene()
    measured = measure(case(scene.contender("cluscomp", [1, 1])), scene.stopwatch(1))
    rows = rows_of("assign", measured, PEAK, 0.15) + rows_of("kmeans", measured, PEAK, moved)
    report = Report({}, {}, {}, quick=False, seed=0, rows=rows)
    assert [cells(row)[4] for row in rows] == ["1.000 s", "~1.000 s"]
    assert [row["steady"] for row in report.to_json()["rows"]] == [True, False]
    assert [line for line in report.head() if "moved by more than 15%" in line and "by 16% at most" in line]
    assert not any("moved" in line for line in Report({}, {}, {}, quick=False, seed=0, rows=rows[:1]).head())


def test_short_work_goes_on_until_it_was_timed_for_long_enough():
    scene = Scene()
    stopwatch = scene.stopwatch(2, min_seconds=3.0)
    assert stopwatch.alternate({"a": scene.contender("a", [1] * 99).run}) == {"a": [1, 1, 1]}
    endless = stopwatch.alternate({"a": scene.contender("a", [0] * 99).run})
    assert len(endless["a"]) == 20, "ten times the rounds at most"


def test_progress_ends_at_the_total():
    scene, calls = Scene(), []
    stopwatch = scene.stopwatch(
        2, min_seconds=5.0, progress=lambda _, done, total: calls.append((done, total))
    )
    stopwatch.alternate({"a": scene.contender("a", [1] * 9).run})
    assert calls == [(1, 2), (2, 2)]


def test_an_error_of_a_contender_is_not_swallowed():
    def run():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure(case(Contender("cluscomp", run)), Scene().stopwatch(1))
