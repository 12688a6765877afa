"""`cluscomp bench`: our speed beside that of other libraries, on this machine, after a check of equality."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluscomp.cli import common, output
from cluscomp.cli.common import flag
from cluscomp.cli.failures import exits_by_contract
from cluscomp.cli.progress import StageProgress
from cluscomp.errors import UsageError

if TYPE_CHECKING:
    from cluscomp.bench.report import Report
    from cluscomp.bench.settings import Settings

ALL, SERVE, BUILDS = "all", "serve", "builds"
CHECK_FAILED = 1


@exits_by_contract
def bench(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="assign, balanced, filter, flat, gpu, kmeans, lists, maxsim, pool, pq-encode, pq-train, "
            "rotate, scan, search-overhead, segments, seismic, sinkhorn, tenants, or all (gpu only where "
            "there is one); serve, with --index; builds.",
            show_default=False,
        ),
    ],
    vs: Annotated[
        str | None,
        flag(
            "--vs",
            help="Other libraries: faiss, torch, scann, hnswlib, pyseismic, pot (without it: faiss, scann, "
            "hnswlib and pyseismic where installed).",
            env=False,
            metavar="A,B",
        ),
    ] = None,
    repeat: Annotated[
        int | None, flag("--repeat", help="Rounds (without it: 5, quick 2).", env=False, min=1)
    ] = None,
    quick: Annotated[
        bool, flag("--quick", help="Small shapes, to try the command; its times mean nothing.", env=False)
    ] = False,
    n: Annotated[
        int | None, flag("--n", help="Rows of every case.", env=False, min=1000, metavar="ROWS")
    ] = None,
    only: Annotated[
        str, flag("--only", help="Only cases whose name contains this.", env=False, metavar="TEXT")
    ] = "",
    simd: Annotated[
        str | None,
        flag(
            "--simd",
            help="Instruction set of the native core, and of faiss where it can be chosen.",
            env=False,
            metavar="LEVEL",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        flag(
            "--data",
            help="Folder with the collection scifact, for real token vectors.",
            env=False,
            metavar="FOLDER",
        ),
    ] = None,
    embeddings: Annotated[
        Path | None,
        flag(
            "--embeddings",
            help="Vectors of 384 dimensions to measure with, in the place of token vectors.",
            env=False,
            metavar="FILE",
        ),
    ] = None,
    code_bytes: Annotated[
        int | None,
        flag(
            "--bytes",
            help="scan: codes alone of so many bytes a vector, without rows for a rerank.",
            env=False,
            min=1,
            metavar="BYTES",
        ),
    ] = None,
    index: Annotated[
        Path | None, flag("--index", help="serve: folder of the index that is served.", env=False)
    ] = None,
    seconds: Annotated[
        float, flag("--seconds", help="serve: length of each measurement.", env=False, min=0.1, max=60)
    ] = 4.0,
    as_markdown: Annotated[bool, flag("--markdown", help="Print Markdown.", env=False)] = False,
    seed: common.Seed = 0,
    threads: common.Threads = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Compare the speed of our kernels with that of other libraries on this machine.

    All contenders run in this process, in turns, after a warm-up and a check that their results are equal.
    The exit code is 1 when a check fails.

    serve measures searches over HTTP: one at a time, as many as are answered, and half and twice as many that
    arrive at random moments; --vs faiss adds a bare route over the same codes.

    builds runs whole builds as commands: a million rows in one process and in 2 shards, also on Ray (--only
    engines), and 100 000 to 4 million rows beside what `cluscomp plan` says (--only growth), of the rows of
    --embeddings, repeated with noise.
    """
    if as_json and as_markdown:
        raise UsageError("--json and --markdown exclude each other; leave one of them out")
    if code_bytes is not None and name != "scan":
        raise UsageError("--bytes belongs to `bench scan`; leave it out")
    if name == SERVE or index is not None:
        _serve(name, index, vs, seconds, repeat, seed, quiet, as_json)
        return
    from cluscomp import native
    from cluscomp.bench import BENCHMARKS, Settings, run_benchmarks
    from cluscomp.bench.settings import absent, choose

    settings = Settings(
        baselines=choose(vs),
        threads=threads,
        repeat=repeat,
        quick=quick,
        n=n,
        seed=seed,
        data=data,
        embeddings=embeddings,
        absent=absent(vs),
        only=only,
        code_bytes=code_bytes,
    )
    if name == BUILDS:
        _builds(settings, quiet, as_json)
        return
    every = [known for known in BENCHMARKS if known != "gpu" or native.cuda_available()]
    names = every if name == ALL else [name]
    with StageProgress(quiet=quiet) as progress:
        report = run_benchmarks(names, settings, simd=simd, progress=progress)
    _show(report, as_json=as_json, as_markdown=as_markdown)
    if not report.passed:
        output.note("error: results differ beyond what the checks allow; see the cases marked FAILED")
        raise typer.Exit(CHECK_FAILED)


def _show(report: Report, *, as_json: bool, as_markdown: bool) -> None:
    from cluscomp.bench.report import COLUMNS, cells, markdown

    if as_json:
        output.result_json(report.to_json())
    elif as_markdown:
        output.result(markdown(report))
    else:
        for line in report.head():
            output.result(line)
        output.result_table(COLUMNS, [cells(row) for row in report.rows])
        for line in report.checks():
            output.result(line)


def _builds(settings: Settings, quiet: bool, as_json: bool) -> None:
    from dataclasses import asdict

    from cluscomp.bench.builds import COLUMNS, bench_builds, cells

    with StageProgress(quiet=quiet) as progress:
        rows = bench_builds(settings, progress)
    if as_json:
        output.result_json([asdict(row) for row in rows])
    else:
        output.result_table(COLUMNS, [cells(row) for row in rows])


def _serve(
    name: str,
    index: Path | None,
    vs: str | None,
    seconds: float,
    repeat: int | None,
    seed: int,
    quiet: bool,
    as_json: bool,
) -> None:
    if name != SERVE or index is None:
        raise UsageError(f"--index FOLDER belongs to `bench {SERVE}`, which needs it")
    from dataclasses import asdict

    from cluscomp.bench.serve import COLUMNS, bench_serve, cells

    peers = [peer for peer in (vs or "").split(",") if peer]
    with StageProgress(quiet=quiet) as progress:
        rows = bench_serve(
            index, seconds=seconds, rounds=repeat or 3, peers=peers, seed=seed, progress=progress
        )
    if as_json:
        output.result_json([asdict(row) for row in rows])
    else:
        output.result_table(COLUMNS, [cells(row) for row in rows])
