"""`cluscomp train crisp`: a multi-vector encoder that loses little when its vectors are pooled."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cluscomp.cli import common, output
from cluscomp.cli.common import flag
from cluscomp.cli.failures import exits_by_contract
from cluscomp.cli.progress import StageProgress
from cluscomp.errors import UsageError
from cluscomp.vocabulary import IfExists, PoolMethod

if TYPE_CHECKING:
    from cluscomp.training.crisp.train import CrispReport, CrispSettings

LINES = 10  # of losses in a log


@exits_by_contract
def train_crisp(
    corpus: Annotated[
        Path | None,
        flag("--corpus", help="A BEIR folder, or a .jsonl file of query and positive."),
    ] = None,
    encoder: Annotated[
        str | None, flag("--encoder", help="Model to start from: 'minilm', hub name or folder.")
    ] = None,
    budget: Annotated[
        str,
        flag("--budget", help="Vectors kept per document: 8, a share (25%) or none.", env=False),
    ] = "8",
    query_budget: Annotated[str, flag("--query-budget", help="Vectors kept per query.", env=False)] = "none",
    output_folder: Annotated[
        Path | None, flag("--output", "-o", help="Folder of the trained model.", env=False)
    ] = None,
    split: Annotated[str, flag("--split", help="Judgements to train on.")] = "train",
    method: Annotated[PoolMethod, flag("--method", help="How vectors are grouped.")] = "ward",
    renormalize: Annotated[
        bool, flag("--renormalize/--plain-means", help="Scale means to length 1.", env=False)
    ] = True,
    epochs: Annotated[int, flag("--epochs", help="Passes over all pairs.", min=1)] = 2,
    batch_size: Annotated[int, flag("--batch-size", help="Pairs a step.", min=2)] = 32,
    learning_rate: Annotated[float, flag("--learning-rate", help="Peak learning rate.")] = 1e-4,
    scale: Annotated[float, flag("--scale", help="Factor applied to scores in the loss.")] = 1.0,
    max_length: Annotated[
        int | None, flag("--max-length", help="Tokens read while training. (default: the model's)", min=3)
    ] = None,
    save_every: Annotated[int, flag("--save-every", help="Steps between checkpoints.", min=1)] = 25,
    device: Annotated[str | None, flag("--device", help="torch device. (default: CUDA, else CPU)")] = None,
    if_exists: Annotated[IfExists, flag("--if-exists", help="What to do with an earlier run.")] = "fail",
    dry_run: common.DryRun = False,
    seed: common.Seed = 0,
    threads: common.Threads = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Fine-tune an encoder with its token vectors pooled in every forward pass (CRISP).

    The folder loads with --encoder FOLDER --encoder-kind multivector (or tokens); the index pools by its key.
    Several processes: torchrun --nproc-per-node N -m cluscomp -- train crisp ... (a batch is shared by all).

    Example: cluscomp train crisp --corpus scifact --encoder minilm --budget 8 --output crisp8
    """
    if corpus is None or encoder is None or output_folder is None:
        missing = {"--corpus": corpus, "--encoder": encoder, "--output": output_folder}
        raise UsageError(f"{next(name for name, value in missing.items() if value is None)} is missing")
    from cluscomp.training.crisp.pooling import PoolingRule
    from cluscomp.training.crisp.train import CrispSettings
    from cluscomp.training.crisp.train import train_crisp as train
    from cluscomp.training.distributed import rank_and_size, stop_processes

    common.set_threads(threads)
    options = {"method": method, "renormalize": renormalize, "seed": seed}
    settings = CrispSettings(
        documents=PoolingRule.parse(budget, **options),
        queries=PoolingRule.parse(query_budget, **options),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        scale=scale,
        max_length=max_length,
        seed=seed,
    )
    with StageProgress(quiet=quiet) as progress:
        losses = _Losses(progress, quiet)
        report = train(
            corpus,
            encoder,
            output_folder,
            settings,
            split=split,
            if_exists=if_exists,
            dry_run=dry_run,
            save_every=save_every,
            device=device,
            progress=losses.progress,
            report=losses.report,
        )
    if rank_and_size()[0] == 0:
        _show(report, settings, output_folder, dry_run, as_json)
    stop_processes()


class _Losses:
    """Steps as a stage, and now and then a line with the mean loss since the last."""

    def __init__(self, progress: StageProgress, quiet: bool) -> None:
        self._progress, self._quiet = progress, quiet
        self._recent: list[float] = []

    def report(self, stage: str, step: int, metrics: dict[str, float]) -> None:
        self._recent.append(metrics["loss"])

    def progress(self, stage: str, done: int, total: int) -> None:
        if not self._quiet and (done * LINES // total > (done - 1) * LINES // total):
            output.note(f"step {done} of {total}: loss {sum(self._recent) / len(self._recent):.4f}")
            self._recent.clear()
        self._progress(stage, done, total)


def _show(report: CrispReport, settings: CrispSettings, folder: Path, dry_run: bool, as_json: bool) -> None:
    if as_json:
        output.result_json({"output": str(folder), "dry_run": dry_run, **report.to_json()})
        return
    output.result(f"pairs: {report.pairs}, steps: {report.steps}")
    output.result(f"vectors kept: {settings.documents} a document, {settings.queries} a query")
    if dry_run:
        return
    part = max(1, len(report.losses) // LINES)
    first, last = report.losses[:part], report.losses[-part:]
    output.result(f"loss: {sum(first) / len(first):.4f} at first, {sum(last) / len(last):.4f} at last")
    output.result(f"trained model: {folder}")
