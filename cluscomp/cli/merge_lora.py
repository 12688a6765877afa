"""`cluscomp merge-lora`: LoRA adapters into one of a chosen rank."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cluscomp.cli import common, output
from cluscomp.cli.common import flag
from cluscomp.cli.failures import exits_by_contract
from cluscomp.cli.progress import StageProgress
from cluscomp.errors import UsageError
from cluscomp.vocabulary import IfTaken, UnitClustering

if TYPE_CHECKING:
    from cluscomp.lora.report import MergeReport, ModuleReport

COLUMNS = ("module", "units", "rank", "energy kept", "cosine", "best", "largest cluster", "badly represented")


@exits_by_contract
def merge_lora(
    adapters: Annotated[
        list[Path],
        typer.Argument(metavar="ADAPTER...", help="Folders as PEFT saves them.", show_default=False),
    ],
    rank: Annotated[int | None, flag("--rank", help="Rank of the merged adapter.", min=1, env=False)] = None,
    output_folder: Annotated[
        Path | None, flag("--output", "-o", help="Folder of the merged adapter.", env=False)
    ] = None,
    weights: Annotated[
        str | None, flag("--weights", help="Factor of each adapter.", metavar="W,W,...", env=False)
    ] = None,
    rank_pattern: Annotated[
        list[str] | None,
        flag(
            "--rank-pattern", help="Another rank for some modules; repeatable.", metavar="REGEX=R", env=False
        ),
    ] = None,
    clustering: Annotated[
        UnitClustering, flag("--clustering", help="balanced: clusters of equal size.", env=False)
    ] = "kmeans",
    balance_norms: Annotated[
        bool, flag("--balance-norms/--no-balance-norms", help="Cluster units with |a| = |b|.", env=False)
    ] = False,
    parameter_reweighting: Annotated[
        bool,
        flag(
            "--parameter-reweighting/--no-parameter-reweighting",
            help="Give each mean the mean norm of its members.",
            env=False,
        ),
    ] = True,
    output_reweighting: Annotated[
        bool,
        flag(
            "--output-reweighting/--no-output-reweighting",
            help="Scale by the root of source rank / merged rank (reconstructed).",
            env=False,
        ),
    ] = True,
    base_model: Annotated[
        str | None,
        flag("--base-model", help="The base model, where adapters name it differently.", env=False),
    ] = None,
    if_exists: Annotated[IfTaken, flag("--if-exists", help="fail, or replace an earlier merge.")] = "fail",
    seed: common.Seed = 0,
    threads: common.Threads = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Merge LoRA adapters of one base model, or shrink one, by clustering their rank units.

    Shown per module: energy kept (squared norm beside that of the sum of the adapters), cosine with the sum,
    what the best update of that rank would keep, and units that their cluster represents badly.

    Example: cluscomp merge-lora law medicine --rank 16 --output both
    """
    if rank is None or output_folder is None:
        raise UsageError(f"{'--rank' if rank is None else '--output'} is missing")
    from cluscomp.lora.merge import merge_adapters

    common.set_threads(threads)
    with StageProgress(quiet=quiet) as progress:
        report = merge_adapters(
            adapters,
            rank=rank,
            output=output_folder,
            weights=_weights(weights),
            balance_norms=balance_norms,
            parameter_reweighting=parameter_reweighting,
            output_reweighting=output_reweighting,
            seed=seed,
            clustering=clustering,
            rank_pattern=_patterns(rank_pattern or []),
            base_model=base_model,
            if_exists=if_exists,
            progress=progress,
        )
    _show(report, output_folder, as_json)


def _weights(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--weights is {text!r}; write one number an adapter, as in 1,0.5") from None


def _patterns(texts: list[str]) -> dict[str, int]:
    patterns = {}
    for text in texts:
        pattern, _, number = text.rpartition("=")
        if not pattern or not number.isdecimal():
            raise UsageError(f"--rank-pattern is {text!r}; write REGEX=R, as in 'q_proj=8'")
        patterns[pattern] = int(number)
    return patterns


def _show(report: MergeReport, folder: Path, as_json: bool) -> None:
    if as_json:
        output.result_json({"output": str(folder), **report.to_json()})
        return
    output.result_table(COLUMNS, [_cells(module) for module in (*report.modules, report.total())])
    if report.wide:
        output.note(
            f"{len(report.wide)} tensors are float32, since float16 would lose them; first: {report.wide[0]}"
        )
    output.result(f"merged adapter: {folder}")


def _cells(module: ModuleReport) -> tuple[str, ...]:
    best = module.best_energy / module.sum_energy if module.sum_energy > 0 else 1.0
    return (
        module.module,
        str(sum(module.source_ranks)),
        str(module.rank),
        f"{module.energy_kept:.1%}",
        f"{module.cosine:.3f}",
        f"{best:.1%}",
        str(max(module.cluster_sizes, default=0)),
        str(len(module.poor_units)),
    )
