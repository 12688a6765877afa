"""`cluscomp bench builds`: whole builds as commands, by engines and beside `cluscomp plan`.

engines: the same rows by `build-index`, with `--shards 2`, and with `--shards 2 --engine ray`, in turns.
growth: builds of more and more rows under `--max-memory 2G`, and what `plan_scale` said just before each.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from cluscomp import native
from cluscomp.arrays import iter_blocks, normalize_rows
from cluscomp.bench.data import mixture
from cluscomp.bench.settings import Settings
from cluscomp.errors import UsageError
from cluscomp.indexes.build import plan_scale
from cluscomp.inputs.embeddings import open_embeddings
from cluscomp.progress import Progress, silent

DIM, NOISE = 384, 0.02
ENGINES, GROWTH = "engines", "growth"
ENGINES_KEY, GROWTH_KEY, QUICK_KEY = "OPQ48,IVF1024,PQ48", "IVF1024,PQ48", "IVF16,PQ48"
GROWTH_ROWS, QUICK_GROWTH = (100_000, 1_000_000, 4_000_000), (3000, 6000)
MAX_MEMORY = "2G"
COLUMNS = (
    "case", "key", "rows", "seconds", "one process / this", "planned s", "core-seconds", "peak MB",
    "planned MB",
)  # fmt: skip
_BLOCK, _LARGEST_BASE = 65_536, 1_000_000


@dataclass(frozen=True)
class BuildRow:
    """Medians over the rounds. seconds: of the whole command, start included. ratio: seconds of the build in
    one process over these; None for growth. planned_seconds: None for engines. processor_seconds: None where
    other processes work, too. peak, planned_peak: bytes of the largest process of a step.
    """

    case: str
    key: str
    rows: int
    seconds: float
    ratio: float | None
    planned_seconds: float | None
    processor_seconds: float | None
    peak: int
    planned_peak: int


@dataclass(frozen=True)
class _Done:
    seconds: float
    processor_seconds: float
    peak: int
    planned_peak: int


def bench_builds(settings: Settings, progress: Progress = silent) -> list[BuildRow]:
    """Measure the cases whose names contain `settings.only`.

    Rows are those of `settings.embeddings`, repeated with noise beyond their number and scaled to length 1,
    else a mixture; float16, in a file of the folder for temporary files.

    Raises UsageError where no case has that name, or a build fails.
    """
    cases = {name: case for name, case in ((ENGINES, _engines), (GROWTH, _growth)) if settings.only in name}
    if not cases:
        raise UsageError(f"no case of builds contains {settings.only!r}; they are {ENGINES} and {GROWTH}")
    with tempfile.TemporaryDirectory() as folder:
        return [row for case in cases.values() for row in case(settings, Path(folder), progress)]


def _engines(settings: Settings, folder: Path, progress: Progress) -> Iterator[BuildRow]:
    n, key = settings.rows(1_000_000, 6000), QUICK_KEY if settings.quick else ENGINES_KEY
    write_rows(folder / "x.npy", n, settings)
    ways: dict[str, list[str]] = {"one process": [], "2 shards": ["--shards", "2"]}
    if importlib.util.find_spec("ray") is not None:
        ways["2 shards, ray"] = ["--shards", "2", "--engine", "ray"]
    found: dict[str, list[_Done]] = {name: [] for name in ways}
    rounds = settings.repeat or 1
    for turn in range(rounds):
        for number, (name, flags) in enumerate(ways.items()):
            progress("engines", turn * len(ways) + number, rounds * len(ways))
            found[name].append(_build(folder, key, flags, settings))
    single = median(one.seconds for one in found["one process"])
    for name, runs in found.items():
        yield _row(f"{ENGINES}: {name}", key, n, runs, single=single, is_alone="ray" not in name)


def _growth(settings: Settings, folder: Path, progress: Progress) -> Iterator[BuildRow]:
    sizes: Sequence[int] = QUICK_GROWTH if settings.quick else GROWTH_ROWS
    sizes = sizes if settings.n is None else [settings.n]
    key = QUICK_KEY if settings.quick else GROWTH_KEY
    threads = settings.threads or native.get_num_threads()
    for number, n in enumerate(sizes):
        progress("growth", number, len(sizes))
        dim = write_rows(folder / "x.npy", n, settings)
        plan = plan_scale(
            n, dim, key, machines=f"1x{threads}x{MAX_MEMORY}", segments=1, measure=True, efficiency=1.0
        )
        done = _build(folder, key, ["--max-memory", MAX_MEMORY], settings)
        yield _row(GROWTH, key, n, [done], planned_seconds=plan.hours * 3600)


def _row(
    case: str, key: str, n: int, runs: Sequence[_Done], *, single: float | None = None,
    planned_seconds: float | None = None, is_alone: bool = True,
) -> BuildRow:  # fmt: skip
    seconds = median(one.seconds for one in runs)
    return BuildRow(
        case=case,
        key=key,
        rows=n,
        seconds=seconds,
        ratio=None if single is None else single / seconds,
        planned_seconds=planned_seconds,
        processor_seconds=median(one.processor_seconds for one in runs) if is_alone else None,
        peak=max(one.peak for one in runs),
        planned_peak=runs[0].planned_peak,
    )


def _build(folder: Path, key: str, flags: Sequence[str], settings: Settings) -> _Done:
    """Run a build as a command, and measure it from outside."""
    command = [sys.executable, "-m", "cluscomp", "build-index", "--embeddings", str(folder / "x.npy")]
    command += ["--index-key", key, "--output", str(folder / "x.index"), "--if-exists", "replace"]
    command += [*flags, "--seed", str(settings.seed), "--quiet", "--json"]
    if settings.threads is not None:
        command += ["--threads", str(settings.threads)]
    start, before = time.perf_counter(), _children_seconds()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise UsageError(f"a build ended with exit code {done.returncode}: {done.stderr.strip()}")
    facts: dict[str, Any] = json.loads(done.stdout)
    return _Done(seconds, _children_seconds() - before, facts["measured_peak"], facts["planned_peak"])


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def write_rows(path: Path, n: int, settings: Settings) -> int:
    """Write n float16 rows of length 1 into a .npy file; returns their dimension."""
    rng = np.random.default_rng(settings.seed)
    base = _base(n, settings)
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(n, base.shape[1]))
    for block in iter_blocks(n, _BLOCK):
        numbers = np.arange(block.start, block.stop)
        rows = base[numbers % len(base)]
        again = numbers >= len(base)
        rows[again] += rng.standard_normal((int(again.sum()), base.shape[1]), dtype=np.float32) * np.float32(
            NOISE
        )
        out[block] = normalize_rows(rows)
    out.flush()
    return int(base.shape[1])


def _base(n: int, settings: Settings) -> np.ndarray:
    """Rows that are repeated."""
    most = min(n, _LARGEST_BASE)
    if settings.embeddings is None:
        return mixture(most, DIM, settings.seed)
    source = open_embeddings(settings.embeddings)
    return normalize_rows(source.read(0, min(most, source.n)))


def cells(row: BuildRow) -> list[str]:
    """A row as text, by COLUMNS."""

    def number(value: float | None, digits: int) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    return [
        row.case, row.key, str(row.rows), number(row.seconds, 1), number(row.ratio, 2),
        number(row.planned_seconds, 1), number(row.processor_seconds, 1), number(row.peak / 1e6, 0),
        number(row.planned_peak / 1e6, 0),
    ]  # fmt: skip
