"""From samples to figures: medians, ratios, shares of the machine's limits; as JSON values and as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from cluscomp.bench.harness import OURS, Measured, Verdict
from cluscomp.machine import Peak

STEADY = 0.15
"""Largest share by which the peak may move around a case before its rows are marked."""
UNSTEADY = "~"

COLUMNS = (
    "benchmark", "case", "data", "contender", "median", "min..max", "baseline / ours", "GFLOP/s", "of peak",
    "GB/s", "of memory", "queries/s",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One contender in one case.

    seconds: median over the rounds; seconds_min, seconds_max: its spread; None where there is no time, and
    `note` says why. ratio: baseline's seconds over ours, median over the rounds (above 1: we are faster).
    gflops: operations of the plain method over seconds; peak_share: of the measured float32 peak (gpu:
    bfloat16, of the device). Likewise
    gbytes_per_s and memory_share for the bytes that the plain method reads, where memory is its limit.
    """

    benchmark: str
    case: str
    data: str
    contender: str
    threads: int
    seconds: float | None
    seconds_min: float | None
    seconds_max: float | None
    rounds: int
    ratio: float | None
    gflops: float | None
    peak_share: float | None
    gbytes_per_s: float | None
    memory_share: float | None
    queries_per_s: float | None
    passed: bool
    check: str
    note: str
    peak_moved: float = 0.0

    @property
    def steady(self) -> bool:
        """Whether the machine was as fast after the case as before it, but for STEADY."""
        return self.peak_moved <= STEADY


@dataclass
class Report:
    """All that a run found. peaks: limits of the machine by number of threads."""

    machine: dict[str, Any]
    baselines: dict[str, str]
    data: dict[str, str]
    quick: bool
    seed: int
    peaks: dict[int, Peak] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether all results were equal as far as the cases ask for."""
        return all(row.passed for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        rows = [{**asdict(row), "steady": row.steady} for row in self.rows]
        return {**asdict(self), "rows": rows, "passed": self.passed}

    def head(self) -> list[str]:
        """What the figures were taken with, a fact a line."""
        machine = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        baselines = ", ".join(f"{name} {version}" for name, version in self.baselines.items()) or "none"
        return [
            *(["quick run: small shapes, its times mean nothing"] if self.quick else []),
            f"machine: {machine}",
            f"baselines: {baselines}; seed {self.seed}",
            *(f"peak with {peak.text()}" for peak in self.peaks.values()),
            *(f"data {name}: {text}" for name, text in self.data.items()),
            *self.skipped,
            *self._unsteady(),
        ]

    def _unsteady(self) -> list[str]:
        moved = [row.peak_moved for row in self.rows if not row.steady]
        if not moved:
            return []
        limits = f"the peak moved by more than {STEADY:.0%} around such a case, by {max(moved):.0%} at most"
        return [f"{UNSTEADY} before a time: {limits}; measure it again with nothing else running"]

    def checks(self) -> list[str]:
        """Outcome of each case's check and its notes, a case a line."""
        lines = {}
        for row in self.rows:
            mark = "equal" if row.passed else "FAILED"
            notes = f"; {row.note}" if row.note else ""
            lines[row.benchmark, row.case] = f"{mark}: {row.benchmark} {row.case}: {row.check}{notes}"
        return list(lines.values())


def rows_of(benchmark: str, measured: Measured, peak: Peak, moved: float = 0.0) -> list[Row]:
    """One row for each contender of a case, also for those without a time. moved: `Row.peak_moved`."""
    return [_row(benchmark, measured, name, peak, moved) for name in (*measured.seconds, *measured.missing)]


def _row(benchmark: str, measured: Measured, name: str, peak: Peak, moved: float) -> Row:
    seconds = measured.seconds.get(name, ())
    middle = median(seconds) if seconds else None
    gflops = _rate(measured.work.flops, middle, 1e9)
    gbytes = _rate(measured.work.bytes, middle, 1e9)
    verdict: Verdict = measured.verdict
    return Row(
        benchmark=benchmark,
        case=measured.case,
        data=measured.data,
        contender=name,
        threads=peak.threads,
        seconds=middle,
        seconds_min=min(seconds, default=None),
        seconds_max=max(seconds, default=None),
        rounds=len(seconds),
        ratio=_ratio(measured, name),
        gflops=gflops,
        peak_share=None if gflops is None else gflops / (measured.work.peak_gflops or peak.gflops),
        gbytes_per_s=gbytes,
        memory_share=None if gbytes is None else gbytes / peak.gbytes_per_s,
        queries_per_s=_rate(measured.work.queries, middle, 1),
        passed=verdict.passed,
        check=verdict.detail,
        note="; ".join([*measured.notes, *([measured.missing[name]] if name in measured.missing else [])]),
        peak_moved=moved,
    )


def _rate(amount: float | None, seconds: float | None, unit: float) -> float | None:
    return None if amount is None or seconds is None else amount / seconds / unit


def _ratio(measured: Measured, name: str) -> float | None:
    """Median over the rounds of the baseline's time over ours."""
    ours, theirs = measured.seconds.get(OURS), measured.seconds.get(name)
    if name == OURS or not ours or not theirs:
        return None
    return median(their / our for their, our in zip(theirs, ours, strict=True))


# ---- tables ----------------------------------------------------------------------------------------


def cells(row: Row) -> tuple[str, ...]:
    """The row as texts under COLUMNS; what does not apply is "-"."""
    return (
        row.benchmark, row.case, row.data, row.contender,
        ("" if row.steady else UNSTEADY) + _text(row.seconds, _seconds) if row.passed else "FAILED",
        _spread(row),
        _text(row.ratio, lambda value: f"{value:.2f}"),
        _text(row.gflops, lambda value: f"{value:.0f}"),
        _text(row.peak_share, lambda value: f"{value:.0%}"),
        _text(row.gbytes_per_s, lambda value: f"{value:.1f}"),
        _text(row.memory_share, lambda value: f"{value:.0%}"),
        _text(row.queries_per_s, lambda value: f"{value:.0f}"),
    )  # fmt: skip


def markdown(report: Report) -> str:
    """The report as Markdown: facts, one table, and the checks."""
    lines = [f"- {line}" for line in report.head()]
    lines += ["", _line(COLUMNS), _line(["---"] * len(COLUMNS))]
    lines += [_line(cells(row)) for row in report.rows]
    lines += ["", "Checks:", "", *(f"- {line}" for line in report.checks())]
    return "\n".join(lines)


def _line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def _text(value: float | None, show: Any) -> str:
    return "-" if value is None else str(show(value))


def _spread(row: Row) -> str:
    if row.seconds_min is None or row.seconds_max is None:
        return "-"
    return f"{_seconds(row.seconds_min)}..{_seconds(row.seconds_max)}"


def _seconds(value: float) -> str:
    return f"{value * 1000:.2f} ms" if value < 0.1 else f"{value:.3f} s"
