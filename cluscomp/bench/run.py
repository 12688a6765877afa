"""One run: budgets, limits of the machine, then case after case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

from cluscomp import baselines, native
from cluscomp.bench import (
    assign,
    balanced,
    filter,
    flat,
    gpu,
    kmeans,
    lists,
    maxsim,
    pool,
    pq_encode,
    pq_train,
    rotate,
    scan,
    search_overhead,
    segments,
    seismic,
    sinkhorn,
    tenants,
)
from cluscomp.bench.data import DataSource
from cluscomp.bench.harness import Measured, Stopwatch
from cluscomp.bench.report import Report, rows_of
from cluscomp.bench.settings import Settings
from cluscomp.bench.workbench import Plan, Workbench
from cluscomp.checks import one_of
from cluscomp.errors import UsageError
from cluscomp.machine import Peak, best_of, describe_machine, measure_peak, moved_by
from cluscomp.progress import Progress, as_stage, silent

BENCHMARKS: dict[str, ModuleType] = {
    "assign": assign,
    "balanced": balanced,
    "filter": filter,
    "flat": flat,
    "gpu": gpu,
    "kmeans": kmeans,
    "lists": lists,
    "maxsim": maxsim,
    "pool": pool,
    "pq-encode": pq_encode,
    "pq-train": pq_train,
    "rotate": rotate,
    "scan": scan,
    "search-overhead": search_overhead,
    "segments": segments,
    "seismic": seismic,
    "sinkhorn": sinkhorn,
    "tenants": tenants,
}
"""Each has BASELINES, `plans(settings)`, THREADS where it does not use all, OWN for further ones of ours."""


@dataclass(frozen=True)
class _Job:
    name: str
    threads: int
    plan: Plan


def run_benchmarks(
    names: Sequence[str], settings: Settings, *, simd: str | None = None, progress: Progress = silent
) -> Report:
    """Run benchmarks out of BENCHMARKS and return all figures.

    simd: level forced on the native core and, where it can be chosen, on faiss. progress(stage, done, total).
    Thread budgets and levels are restored afterwards.
    Raises UsageError (unknown name, level or case), OptionalDependencyError (baseline not installed),
    MissingInputError (no collection in the folder given).
    """
    jobs = _jobs(names, settings)
    for name in settings.baselines:
        baselines.library(name)
    data = DataSource(settings, progress)
    with baselines.instruction_set(simd, settings.baselines) as faiss_level:
        versions = {name: baselines.version(name) for name in settings.baselines}
        if faiss_level:
            versions["faiss"] += f" ({faiss_level})"
        report = Report(describe_machine(), versions, data.descriptions, settings.quick, settings.seed)
        report.skipped = _without_counterpart(names, settings) + _not_installed(names, settings)
        measured = []
        for job in jobs:
            with baselines.thread_budget(job.threads, settings.baselines):
                before = _note_peak(job.threads, settings, report.peaks)
                outcomes = _run(job, settings, data, progress)
                moved = moved_by(before, _note_peak(job.threads, settings, report.peaks))
            measured += [(job, outcome, moved) for outcome in outcomes]
    report.rows = [
        row
        for job, outcome, moved in measured
        for row in rows_of(job.name, outcome, report.peaks[job.threads], moved)
    ]
    return report


def _jobs(names: Sequence[str], settings: Settings) -> list[_Job]:
    for name in names:
        one_of("benchmark", name, BENCHMARKS)
    jobs = []
    for name in names:
        module = BENCHMARKS[name]
        usual: int = getattr(module, "THREADS", native.get_num_threads())
        threads = settings.threads or usual
        jobs += [_Job(name, threads, plan) for plan in module.plans(settings)]
    chosen = [job for job in jobs if settings.only in job.plan.name]
    if not chosen:
        known = "; ".join(job.plan.name for job in jobs)
        raise UsageError(f"no case has {settings.only!r} in its name; there are: {known}")
    return chosen


def _without_counterpart(names: Sequence[str], settings: Settings) -> list[str]:
    return [
        f"{baseline} has nothing to compare with {name}"
        for name in names
        for baseline in settings.baselines
        if baseline not in BENCHMARKS[name].BASELINES
    ]


def _not_installed(names: Sequence[str], settings: Settings) -> list[str]:
    return [
        f"{absent} takes no part, since it is not installed: {baselines.BASELINES[absent].install}"
        for absent in settings.absent
        if any(absent in BENCHMARKS[name].BASELINES for name in names)
    ]


def _run(job: _Job, settings: Settings, data: DataSource, progress: Progress) -> list[Measured]:
    stage = f"{job.name} {job.plan.name}"
    stopwatch = Stopwatch(
        rounds=settings.rounds,
        min_seconds=0.0 if settings.quick else 1.0,
        progress=as_stage(progress, stage),
    )
    return job.plan.run(Workbench(settings, data, stopwatch))


def _note_peak(threads: int, settings: Settings, peaks: dict[int, Peak]) -> Peak:
    """The limits now. `peaks` keeps the best ones of the run: other programs can only lower them."""
    if settings.quick and threads in peaks:
        return peaks[threads]
    found = measure_peak(threads, quick=settings.quick)
    peaks[threads] = found if threads not in peaks else best_of(peaks[threads], found)
    return found
