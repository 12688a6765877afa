"""`cluscomp compare`: datasets x keys x search parameters, and a report of what compression costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluscomp import errors
from cluscomp.cli import common, output
from cluscomp.cli.common import flag
from cluscomp.cli.failures import exits_by_contract
from cluscomp.cli.progress import StageProgress
from cluscomp.files import atomic_file
from cluscomp.vocabulary import IfExists

if TYPE_CHECKING:
    from cluscomp.eval.compare import CompareConfig, CompareResult

REPORT, PARQUET = "report.html", "results.parquet"


@exits_by_contract
def compare(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG.toml", help="Datasets, keys and search parameters.", show_default=False
        ),
    ],
    output_folder: Annotated[
        Path | None,
        flag("--output", "-o", help="Folder of results and report. (default: CONFIG.results)", env=False),
    ] = None,
    only_dataset: Annotated[
        list[str] | None, flag("--only-dataset", help="Only this dataset; may be repeated.", env=False)
    ] = None,
    only_key: Annotated[
        list[str] | None, flag("--only-key", help="Only this key; may be repeated.", env=False)
    ] = None,
    trained_on: Annotated[
        str | None,
        flag(
            "--trained-on",
            help="Dataset of the config on whose documents codes are trained a second time, to compare.",
            env=False,
        ),
    ] = None,
    if_exists: Annotated[
        IfExists,
        flag("--if-exists", help="What to do with rows that are there already: keep or measure again."),
    ] = "resume",
    keep_indexes: Annotated[
        bool, flag("--keep-indexes", help="Leave the built indexes in the output folder.", env=False)
    ] = False,
    parquet: Annotated[
        bool, flag("--parquet", help="Write results.parquet beside results.jsonl.", env=False)
    ] = False,
    report: Annotated[
        bool, flag("--report/--no-report", help="Write report.html (needs plotly).", env=False)
    ] = True,
    markdown: Annotated[
        Path | None, flag("--markdown", help="Write the tables to this Markdown file as well.", env=False)
    ] = None,
    seed: Annotated[
        int | None, flag("--seed", help="Seed of everything random. (default: the config's)", min=0)
    ] = None,
    threads: Annotated[
        int | None,
        flag("--threads", help="Threads of every library. (default: the config's, else all cores)", min=1),
    ] = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Measure quality, bytes, speed and losses of many keys on judged collections, beside other libraries.

    Texts are encoded once. Each row is kept in results.jsonl as soon as it is measured, with versions,
    machine and seed, so that an interrupted run goes on where it stopped. report.html holds the figures in
    one file.

    A config, whose paths are relative to its folder:

    encoder = "minilm"

    datasets = ["scifact", "npl"]

    keys = ["Flat", "OPQ48,IVF64,PQ48", "faiss:IVF64,PQ48", "hnswlib:M=16"]

    search = { nprobe = [4, 16, 64] }

    Example: cluscomp compare keys.toml --output results
    """
    from cluscomp.eval.compare import compare_indexes, read_config
    from cluscomp.eval.compare.config import train_others_on

    if report:
        errors.require("plotly", extra="report", why="report.html; --no-report does without it")
    config = read_config(file)
    if trained_on is not None:
        config = train_others_on(config, trained_on)
    config = _chosen(config, only_dataset, only_key)
    config = replace(
        config,
        seed=config.seed if seed is None else seed,
        threads=config.threads if threads is None else threads,
    )
    folder = output_folder or file.with_suffix(".results")
    with StageProgress(quiet=quiet) as progress:
        result = compare_indexes(
            config, folder, if_exists=if_exists, keep_indexes=keep_indexes, progress=progress
        )
    written = _write(result, report=report, parquet=parquet)
    if markdown is not None:
        written.append(_write_markdown(result, markdown, file))
    _warn(result)
    _show(result, written, as_json)


def _chosen(config: CompareConfig, datasets: list[str] | None, keys: list[str] | None) -> CompareConfig:
    """The config with the datasets and keys that were asked for."""
    names = [dataset.name for dataset in config.datasets]
    labels = {f"{key.library}:{key.key}": key for key in config.keys}
    for wanted in datasets or []:
        if wanted not in names:
            raise errors.UsageError(f"--only-dataset {wanted}: the config has {', '.join(names)}")
    asked = [key if key in labels else f"cluscomp:{key}" for key in keys or []]
    for wanted in asked:
        if wanted not in labels:
            raise errors.UsageError(
                f"--only-key {wanted.removeprefix('cluscomp:')}: the config has "
                f"{', '.join(key.removeprefix('cluscomp:') for key in labels)}"
            )
    return replace(
        config,
        datasets=tuple(d for d in config.datasets if not datasets or d.name in datasets),
        keys=tuple(key for name, key in labels.items() if not asked or name in asked),
    )


def _write(result: CompareResult, *, report: bool, parquet: bool) -> list[Path]:
    from cluscomp.eval.compare.results import write_parquet
    from cluscomp.eval.compare.run import RESULTS

    written = [result.folder / RESULTS]
    if parquet:
        write_parquet(result.rows, result.folder / PARQUET)
        written.append(result.folder / PARQUET)
    if report:
        from cluscomp.eval.report import write_report

        notes = [*result.config.notes, *result.skipped.values()]
        written.append(
            write_report(result.rows, result.folder / REPORT, title=result.config.title, notes=notes)
        )
    return written


def _write_markdown(result: CompareResult, path: Path, config: Path) -> Path:
    from cluscomp.eval.report.markdown import render_markdown

    command = f"cluscomp compare {config} --markdown {path}"
    notes = [*result.config.notes, *result.skipped.values()]
    text = render_markdown(result.rows, title=result.config.title, command=command, notes=notes)
    with atomic_file(path) as file:
        file.write(text.encode("utf-8"))
    return path


def _warn(result: CompareResult) -> None:
    for name, reason in result.skipped.items():
        output.note(f"warning: no rows of {name}: {reason}")
    for row in result.failed:
        output.note(f"warning: no rows of {row['label']} on {row['dataset']}: {row['error']}")


def _show(result: CompareResult, written: list[Path], as_json: bool) -> None:
    if as_json:
        output.result_json(
            {
                "measured": result.measured,
                "resumed": result.resumed,
                "failed": len(result.failed),
                "skipped": result.skipped,
                "files": [str(path) for path in written],
                "rows": result.rows,
            }
        )
        return
    from cluscomp.eval.compare.elsewhere import TRAINED_ON
    from cluscomp.eval.report.labels import elsewhere_cells

    recall = f"recall@{result.config.k}"
    columns = ["dataset", "key", "search", "nDCG@10", recall.capitalize(), "exact recall@10",
               "bytes / document", "queries / s", "p50 ms", "p99 ms"]  # fmt: skip
    elsewhere = any(row.get(TRAINED_ON) for row in result.good)
    if elsewhere:
        columns += ["elsewhere nDCG@10", "elsewhere exact"]
    cells = [[*_cells(row, recall), *elsewhere_cells(row) * elsewhere] for row in result.good]
    output.result_table(columns, cells)
    output.result(f"{result.measured} rows measured, {result.resumed} kept: {', '.join(map(str, written))}")


def _cells(row: dict[str, Any], recall: str) -> list[str]:
    from cluscomp.eval.report.labels import number, rounded, settings

    return [
        row["dataset"],
        row["label"],
        settings(row),
        number(row["ndcg@10"]),
        number(row[recall]),
        number(row["exact_recall@10"], 3),
        rounded(row["bytes_per_document"]),
        rounded(row["queries_per_second"]),
        rounded(row["latency_p50_ms"]),
        rounded(row["latency_p99_ms"]),
    ]
